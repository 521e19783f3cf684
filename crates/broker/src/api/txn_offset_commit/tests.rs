use milena_codec::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use milena_codec::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use milena_codec::messages::{OffsetCommitRequest, OffsetFetchRequest, offset_commit_request};

use milena_codec::Str;

use super::*;
use crate::testing::{Client, Who, settings};

fn request(who: Who, offset: i64) -> TxnOffsetCommitRequest {
    TxnOffsetCommitRequest {
        transactional_id: "a".into(),
        group_id: "g".into(),
        producer_id: who.0,
        producer_epoch: who.1,
        generation_id: -1,
        topics: vec![TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![TxnOffsetCommitRequestPartition {
                committed_offset: offset,
                ..TxnOffsetCommitRequestPartition::default()
            }],
            ..TxnOffsetCommitRequestTopic::default()
        }],
        ..TxnOffsetCommitRequest::default()
    }
}

fn commit(client: &mut Client, request: &TxnOffsetCommitRequest, version: i16) -> ErrorCode {
    let answer = client.call(request, version);
    ErrorCode::from(answer.topics[0].partitions[0].error_code)
}

/// The offset of group `g`, asked for with and without `require_stable`.
fn offset(client: &mut Client) -> (Result<i64, ErrorCode>, i64) {
    let mut ask = |require_stable| {
        let asked = OffsetFetchRequest {
            require_stable,
            groups: vec![OffsetFetchRequestGroup {
                group_id: "g".into(),
                topics: Some(vec![OffsetFetchRequestTopics {
                    name: "t".into(),
                    partition_indexes: vec![0],
                    ..OffsetFetchRequestTopics::default()
                }]),
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        };
        let found = client.call(&asked, 9).groups[0].topics[0].partitions[0].clone();
        match ErrorCode::from(found.error_code) {
            ErrorCode::None => Ok(found.committed_offset),
            code => Err(code),
        }
    };
    (ask(true), ask(false).unwrap())
}

#[test]
fn offsets_count_when_the_transaction_commits() {
    let unstable = Err(ErrorCode::UnstableOffsetCommit);
    let mut client = Client::new();
    let mut who = client.init("a");
    for (version, sent, committed, before, after) in
        [(5, 7, true, -1, 7), (5, 8, false, 7, 7), (3, 9, true, 7, 9)]
    {
        if version < 5 {
            client.add_offsets("a", who, 3).unwrap();
        }
        assert_eq!(
            commit(&mut client, &request(who, sent), version),
            ErrorCode::None
        );
        assert_eq!(offset(&mut client), (unstable, before));
        who = client.end("a", who, committed, 5).unwrap();
        assert_eq!(offset(&mut client), (unstable, before), "prepared");
        client.markers();
        assert_eq!(offset(&mut client), (Ok(after), after));
    }
}

#[test]
fn a_later_plain_commit_is_not_undone() {
    let mut client = Client::new();
    let who = client.init("a");
    assert_eq!(commit(&mut client, &request(who, 7), 5), ErrorCode::None);
    let plain = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![offset_commit_request::OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![offset_commit_request::OffsetCommitRequestPartition {
                committed_offset: 50,
                ..offset_commit_request::OffsetCommitRequestPartition::default()
            }],
            ..offset_commit_request::OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    client.call(&plain, 8);
    client.end("a", who, true, 5).unwrap();
    client.markers();
    assert_eq!(offset(&mut client), (Ok(50), 50));
}

#[test]
fn what_is_wrong_is_answered_as_the_real_broker_does() {
    let mut client = Client::new();
    let who = client.init("a");
    for (version, expected) in [
        (0, ErrorCode::InvalidTxnState),
        (3, ErrorCode::InvalidTxnState),
        (4, ErrorCode::TransactionAbortable),
    ] {
        assert_eq!(commit(&mut client, &request(who, 7), version), expected);
    }
    let fenced = request((who.0, who.1 + 1), 7);
    assert_eq!(
        commit(&mut client, &fenced, 5),
        ErrorCode::InvalidProducerEpoch
    );
    let other = request((who.0 + 9, who.1), 7);
    assert_eq!(
        commit(&mut client, &other, 5),
        ErrorCode::InvalidProducerIdMapping
    );
    let member = TxnOffsetCommitRequest {
        generation_id: 3,
        member_id: "me".into(),
        ..request(who, 7)
    };
    assert_eq!(
        commit(&mut client, &member, 5),
        ErrorCode::IllegalGeneration
    );
    assert_eq!(commit(&mut client, &request(who, 7), 5), ErrorCode::None);
    assert_eq!(commit(&mut client, &member, 5), ErrorCode::UnknownMemberId);
    let nameless = TxnOffsetCommitRequest {
        group_id: Str::new(),
        ..request(who, 7)
    };
    assert_eq!(commit(&mut client, &nameless, 5), ErrorCode::InvalidGroupId);
}

#[test]
fn only_the_groups_coordinator_takes_offsets() {
    let mut client = Client::of(settings(3));
    let at = client.model.transaction_coordinator("a").unwrap();
    client.at(at);
    let who = client.init("a");
    let group = find_coordinator::node(&client.model, "g").unwrap();
    client.at(group % 3 + 1);
    assert_eq!(
        commit(&mut client, &request(who, 7), 5),
        ErrorCode::NotCoordinator
    );
    client.at(group);
    assert_eq!(commit(&mut client, &request(who, 7), 5), ErrorCode::None);
}
