use super::*;

fn max(key: ApiKey, context: CapContext) -> i16 {
    cap(key, context).max
}

#[test]
fn unstable_versions_are_used_only_on_request() {
    let plain = CapContext::default();
    let unstable = CapContext {
        unstable: true,
        ..plain
    };
    assert_eq!(max(ApiKey::InitProducerId, plain), 5);
    assert_eq!(max(ApiKey::InitProducerId, unstable), 6);
}

#[test]
fn a_client_adds_partitions_to_a_transaction_as_a_client() {
    assert_eq!(max(ApiKey::AddPartitionsToTxn, CapContext::default()), 3);
}

#[test]
fn inside_a_transaction_of_level_one_the_newest_versions_are_not_used() {
    let in_level = |level| CapContext {
        transaction: Some(level),
        ..CapContext::default()
    };
    let one = in_level(TransactionLevel::One);
    assert_eq!(max(ApiKey::Produce, one), 11);
    assert_eq!(max(ApiKey::TxnOffsetCommit, one), 4);
    assert_eq!(max(ApiKey::EndTxn, one), 4);
    let two = in_level(TransactionLevel::Two);
    assert_eq!(max(ApiKey::Produce, two), 13);
    assert_eq!(max(ApiKey::EndTxn, two), 5);
    assert_eq!(max(ApiKey::Fetch, one), max(ApiKey::Fetch, two));
}

#[test]
fn requests_that_cannot_name_every_topic_by_id_use_names() {
    let unknown = CapContext {
        topic_id_unknown: true,
        ..CapContext::default()
    };
    assert_eq!(max(ApiKey::Produce, unknown), 12);
    assert_eq!(max(ApiKey::Fetch, unknown), 12);
    assert_eq!(max(ApiKey::OffsetCommit, unknown), 9);
    assert_eq!(max(ApiKey::OffsetFetch, unknown), 9);
}

#[test]
fn every_cap_leaves_versions_to_use() {
    for key in ApiKey::ALL {
        for transaction in [None, Some(TransactionLevel::One)] {
            let context = CapContext {
                transaction,
                topic_id_unknown: true,
                unstable: false,
            };
            let range = cap(*key, context);
            assert!(range.min <= range.max, "{key:?}");
        }
    }
}
