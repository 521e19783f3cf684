//! What holds for all APIs: every advertised version is answered, nothing hostile panics, and the
//! same inputs give the same bytes.

use milena_codec::messages::*;
use milena_codec::{ApiKey, Bytes, Request, frame};

use crate::model::Outcome;
use crate::model::profile::{KafkaVersion, SERVED};
use crate::model::settings::ClusterSettings;
use crate::testing::{Client, batch, fetch_request, produce_request, settings};

/// Calls `$use` with a default request of each API that is carried out.
macro_rules! for_each_api {
    ($use:ident!($($argument:tt)*)) => {
        $use!($($argument)* ProduceRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
            OffsetCommitRequest, OffsetFetchRequest, FindCoordinatorRequest, ApiVersionsRequest,
            CreateTopicsRequest, DeleteTopicsRequest, DeleteRecordsRequest, InitProducerIdRequest,
            OffsetForLeaderEpochRequest, DescribeConfigsRequest, AlterConfigsRequest,
            CreatePartitionsRequest, IncrementalAlterConfigsRequest, DescribeClusterRequest,
            DescribeTopicPartitionsRequest, AddPartitionsToTxnRequest, AddOffsetsToTxnRequest,
            EndTxnRequest, TxnOffsetCommitRequest, DescribeProducersRequest,
            DescribeTransactionsRequest, ListTransactionsRequest)
    };
}

macro_rules! answered {
    ($client:ident, $seen:ident, $($request:ident),*) => {$(
        for version in $client.model.settings.range($request::KEY).unwrap().iter() {
            let outcome = $client.send(&$request::default(), version);
            // An empty Produce asks for no acknowledgement.
            let silent = $request::KEY == ApiKey::Produce && outcome == Outcome::Silent;
            if !silent {
                let Outcome::Answer(frame) = outcome else {
                    panic!("{} v{version}: {outcome:?}", $request::KEY.name());
                };
                $client.decode::<$request>(frame, version);
            }
        }
        $seen.push($request::KEY);
    )*};
}

macro_rules! bodies {
    ($all:ident, $($request:ident),*) => {$(
        for version in $request::KEY.stable_versions().iter() {
            let request = frame::request(&$request::default(), version, 1, None).unwrap();
            $all.push(request.into_bytes().slice(4..));
        }
    )*};
}

#[test]
fn every_advertised_version_of_every_api_is_answered() {
    let mut client = Client::new();
    let mut seen: Vec<ApiKey> = Vec::new();
    for_each_api!(answered!(client, seen,));
    seen.sort();
    let mut served = SERVED.to_vec();
    served.sort();
    assert_eq!(seen, served);
}

#[test]
fn an_older_release_has_its_own_ranges() {
    let version = KafkaVersion::V2_1;
    let old = ClusterSettings {
        version,
        ..settings(1)
    };
    let mut client = Client::of(old);
    let answer = client.call(&ApiVersionsRequest::default(), 2);
    let max = |api: ApiKey| {
        answer
            .api_keys
            .iter()
            .find(|key| key.api_key == api.code())
            .map(|key| key.max_version)
    };
    assert_eq!(max(ApiKey::Produce), Some(7));
    assert_eq!(max(ApiKey::Fetch), Some(10));
    assert_eq!(max(ApiKey::DescribeCluster), None);
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    assert_eq!(client.call(&all, 7).topics.len(), 1);
    assert_eq!(client.send(&all, 8), Outcome::Close);
}

#[test]
fn api_versions_lists_exactly_what_is_carried_out() {
    let mut client = Client::new();
    for version in 0..=4 {
        let named = version >= 3;
        let name = if named { "test" } else { "" };
        let request = ApiVersionsRequest {
            client_software_name: name.into(),
            client_software_version: name.into(),
            ..ApiVersionsRequest::default()
        };
        let answer = client.call(&request, version);
        assert_eq!(answer.error_code, 0);
        assert_eq!(answer.api_keys.len(), SERVED.len());
        for listed in &answer.api_keys {
            let key = ApiKey::from_code(listed.api_key).unwrap();
            let range = key.stable_versions();
            let min = if key == ApiKey::Produce { 0 } else { range.min };
            assert_eq!(
                (listed.min_version, listed.max_version),
                (min, range.max),
                "{key:?}"
            );
        }
        assert_eq!(answer.finalized_features.len(), 2 * usize::from(named));
    }
}

#[test]
fn a_too_new_api_versions_is_answered_in_the_form_of_version_0() {
    for (version, listed) in [(KafkaVersion::V4_3, 1), (KafkaVersion::V2_1, 0)] {
        let mut client = Client::of(ClusterSettings {
            version,
            ..settings(1)
        });
        let too_new = [0, 18, 0, 99, 0, 0, 0, 7, 0, 1, b'x', 0, 2, b'a', 2, b'b', 0];
        let Outcome::Answer(frame) = client.send_bytes(Bytes::copy_from_slice(&too_new)) else {
            panic!("no answer");
        };
        let body = frame.into_bytes().slice(4..);
        let (correlation_id, body) = frame::read_response(body, ApiKey::ApiVersions, 0).unwrap();
        let answer: ApiVersionsResponse = milena_codec::decode(body, 0).unwrap();
        assert_eq!(
            (correlation_id, answer.error_code, answer.api_keys.len()),
            (7, 35, listed)
        );
    }
}

#[test]
fn a_client_must_give_its_software_a_name() {
    let mut client = Client::new();
    let answer = client.call(&ApiVersionsRequest::default(), 3);
    assert_eq!((answer.error_code, answer.api_keys.len()), (42, 0));
}

#[test]
fn unknown_apis_and_versions_close_the_connection() {
    for (key, version) in [
        (11, 5),
        (1, 3),
        (1, 19),
        (0, 2),
        (0, -1),
        (999, 0),
        (-1, 0),
        (71, 0),
    ] {
        let mut client = Client::new();
        let mut frame = vec![0; 40];
        frame[..2].copy_from_slice(&i16::to_be_bytes(key));
        frame[2..4].copy_from_slice(&i16::to_be_bytes(version));
        assert_eq!(
            client.send_bytes(frame.into()),
            Outcome::Close,
            "{key} v{version}"
        );
        assert_eq!(
            client.send(&MetadataRequest::default(), 9),
            Outcome::Close,
            "it stays closed"
        );
    }
}

#[test]
fn hostile_frames_never_panic() {
    let mut all: Vec<Bytes> = Vec::new();
    for_each_api!(bodies!(all,));
    let mut client = Client::new();
    let id = client.topic_id();
    for version in [3, 9, 13] {
        let request = produce_request(id, 0, batch(&["a", "b"]), -1, version);
        all.push(
            frame::request(&request, version, 1, None)
                .unwrap()
                .into_bytes()
                .slice(4..),
        );
    }
    for version in [4, 11, 12, 18] {
        let request = fetch_request(id, 0, 0, version);
        all.push(
            frame::request(&request, version, 1, None)
                .unwrap()
                .into_bytes()
                .slice(4..),
        );
    }
    let mut random = crate::model::random::SplitMix::new(1);
    for frame in &all {
        for end in 0..frame.len() {
            client.at(1);
            client.send_bytes(frame.slice(..end));
        }
        for at in 0..frame.len().min(160) {
            let mut bent = frame.to_vec();
            bent[at] ^= 1 << (random.next() % 8);
            client.at(1);
            client.send_bytes(bent.into());
            client.pass(std::time::Duration::from_secs(1));
        }
    }
    for size in 0..200 {
        let garbage: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
        client.at(1);
        client.send_bytes(garbage.into());
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let run = |seed| {
        let mut client = Client::of(ClusterSettings {
            seed,
            ..settings(3)
        });
        let mut all: Vec<Outcome> = Vec::new();
        let id = client.topic_id();
        client.at_leader(0);
        all.push(client.send(
            &MetadataRequest {
                topics: None,
                ..MetadataRequest::default()
            },
            12,
        ));
        all.push(client.send(&produce_request(id, 0, batch(&["a"]), -1, 9), 9));
        let mut fetch = fetch_request(id, 0, 0, 13);
        fetch.session_epoch = 0;
        all.push(client.send(&fetch, 13));
        all.push(client.send(&CreateTopicsRequest::default(), 7));
        all
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn the_finalized_transaction_version_can_change_at_run_time() {
    let mut client = Client::new();
    let ask = |client: &mut Client, version| {
        let request = ApiVersionsRequest {
            client_software_name: "test".into(),
            client_software_version: "1".into(),
            ..ApiVersionsRequest::default()
        };
        let answer = client.call(&request, version);
        let finalized = answer.finalized_features.iter();
        let mut levels = finalized.filter(|feature| &*feature.name == "transaction.version");
        let level = levels.next().map(|feature| feature.max_version_level);
        let supported = answer.supported_features.len();
        (level, supported, answer.finalized_features_epoch)
    };
    assert_eq!(ask(&mut client, 3), (Some(2), 1, 1), "level 0 is hidden");
    assert_eq!(ask(&mut client, 4), (Some(2), 2, 1));
    client.model.set_transaction_version(1);
    assert_eq!(ask(&mut client, 4), (Some(1), 2, 2));
    client.model.set_transaction_version(0);
    assert_eq!(ask(&mut client, 4), (None, 2, 3));
}

macro_rules! refused_with {
    ($client:ident, $code:ident, $($request:ident),*) => {$(
        for version in $request::KEY.stable_versions().iter() {
            let outcome = $client.send(&$request::default(), version);
            let Outcome::Answer(frame) = outcome else {
                panic!("{} v{version}: {outcome:?}", $request::KEY.name());
            };
            let answer = $client.decode::<$request>(frame, version);
            let text = format!("{answer:?}");
            let coded = text.contains(&format!("error_code: {}", $code.code()));
            assert!(coded || !text.contains("error_code"), "{} v{version}", $request::KEY.name());
        }
    )*};
}

#[test]
fn a_made_error_reaches_every_version_of_the_apis_of_transactions() {
    let code = milena_codec::ErrorCode::CoordinatorNotAvailable;
    let mut client = Client::new();
    let verdict = crate::Verdict::Error(code);
    client.model.set_faults(Some(Box::new(move |_| verdict)));
    refused_with!(
        client,
        code,
        InitProducerIdRequest,
        AddOffsetsToTxnRequest,
        EndTxnRequest,
        ListTransactionsRequest
    );
}

#[test]
fn transactions_and_producers_can_be_listed_and_described() {
    let mut client = Client::new();
    let who = client.init("a");
    client.init("b");
    let batch = crate::testing::data(who, 0, &["x", "y"]);
    client.write("a", batch, 0, 12).unwrap();
    let list = |client: &mut Client, request: &ListTransactionsRequest| {
        let answer = client.call(request, 2);
        let listed = answer.transaction_states.into_iter();
        let one = |state: list_transactions_response::TransactionState| {
            format!("{} {}", state.transactional_id, state.transaction_state)
        };
        (
            listed.map(one).collect::<Vec<_>>(),
            answer.unknown_state_filters.len(),
        )
    };
    let all = ListTransactionsRequest {
        duration_filter: -1,
        ..ListTransactionsRequest::default()
    };
    assert_eq!(list(&mut client, &all).0, ["a Ongoing", "b Empty"]);
    let open = ListTransactionsRequest {
        state_filters: vec!["Ongoing".into(), "Odd".into()],
        ..all
    };
    assert_eq!(list(&mut client, &open), (vec!["a Ongoing".into()], 1));
    let ids = DescribeTransactionsRequest {
        transactional_ids: vec!["a".into(), "nobody".into()],
        ..DescribeTransactionsRequest::default()
    };
    let described = client.call(&ids, 0).transaction_states;
    assert_eq!(
        (described[0].producer_id, described[0].topics.len()),
        (who.0, 1)
    );
    let unknown = milena_codec::ErrorCode::TransactionalIdNotFound;
    assert_eq!(described[1].error_code, unknown.code());
    let producers = DescribeProducersRequest {
        topics: vec![describe_producers_request::TopicRequest {
            name: "t".into(),
            partition_indexes: vec![0],
            ..describe_producers_request::TopicRequest::default()
        }],
        ..DescribeProducersRequest::default()
    };
    let known = &client.call(&producers, 0).topics[0].partitions[0].active_producers[0];
    assert_eq!(
        (known.last_sequence, known.current_txn_start_offset),
        (1, 0)
    );
}
