use milena_codec::messages::{
    FetchRequest, InitProducerIdRequest, MetadataRequest, ProduceRequest,
};
use milena_codec::{ApiKey, ErrorCode};

use super::fault::Verdict;
use super::*;
use crate::testing::{Client, batch, fetch_request, only, produce_request, settings};

fn on_produce(client: &mut Client, verdict: Verdict) {
    client.model.set_faults(Some(Box::new(move |request| {
        if request.api == ApiKey::Produce {
            verdict
        } else {
            Verdict::Pass
        }
    })));
}

fn batches(client: &Client) -> usize {
    client.model.log("t", 0).unwrap().len()
}

#[test]
fn faults_do_what_they_say() {
    let request = |client: &Client| produce_request(client.topic_id(), 0, batch(&["a"]), -1, 9);
    let table = [(Verdict::Disconnect, 0), (Verdict::ApplyThenDisconnect, 1)];
    for (verdict, appended) in table {
        let mut client = Client::new();
        on_produce(&mut client, verdict);
        let produce = request(&client);
        assert_eq!(client.send(&produce, 9), Outcome::Close);
        assert_eq!(batches(&client), appended, "{verdict:?}");
        assert_eq!(client.send(&produce, 9), Outcome::Close);
    }
    let code = ErrorCode::NotLeaderOrFollower;
    for (verdict, appended, offset) in [
        (Verdict::Error(code), 0, -1),
        (Verdict::ApplyThenError(code), 1, 0),
    ] {
        let mut client = Client::new();
        on_produce(&mut client, verdict);
        let answer = client.produce(0, batch(&["a"]), 9);
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (code.code(), offset)
        );
        assert_eq!(batches(&client), appended);
    }
}

#[test]
fn a_delayed_request_is_carried_out_even_if_its_client_has_gone() {
    let mut client = Client::new();
    on_produce(&mut client, Verdict::Delay(Duration::from_secs(2)));
    let produce = produce_request(client.topic_id(), 0, batch(&["a"]), -1, 9);
    assert_eq!(client.send(&produce, 9), Outcome::Parked);
    assert!(matches!(client.send(&produce, 9), Outcome::Busy(_)));
    client.pass(Duration::from_secs(2));
    assert!(client.released::<ProduceRequest>(9).is_some());
    assert_eq!(batches(&client), 1);

    assert_eq!(client.send(&produce, 9), Outcome::Parked);
    client.model.disconnect(client.connection);
    client.pass(Duration::from_secs(2));
    assert_eq!(batches(&client), 2);
    assert!(client.model.poll_release().is_none());
    assert!(client.model.connections.is_empty());
}

#[test]
fn silence_lasts() {
    let mut client = Client::new();
    on_produce(&mut client, Verdict::Silence);
    let produce = produce_request(client.topic_id(), 0, batch(&["a"]), -1, 9);
    assert_eq!(client.send(&produce, 9), Outcome::Parked);
    assert!(!client.model.will_answer(client.connection));
    assert_eq!(client.model.poll_timeout(), None);
    client.pass(Duration::from_secs(1 << 30));
    assert!(client.model.poll_release().is_none());
    assert_eq!(batches(&client), 0);
}

#[test]
fn errors_can_be_made_at_every_version_of_the_apis_that_take_them() {
    let code = ErrorCode::UnknownServerError;
    let mut client = Client::new();
    client
        .model
        .set_faults(Some(Box::new(move |_| Verdict::Error(code))));
    let id = client.topic_id();
    for version in ApiKey::Produce.stable_versions().iter() {
        let answer = client.produce(0, batch(&["a"]), version);
        assert_eq!(answer.error_code, code.code());
    }
    for version in ApiKey::Fetch.stable_versions().iter() {
        let answer = client.call(&fetch_request(id, 0, 0, version), version);
        assert_eq!(only(answer).error_code, code.code());
        if version >= 7 {
            let in_session = FetchRequest {
                session_id: 1,
                session_epoch: 1,
                ..FetchRequest::default()
            };
            assert_eq!(client.call(&in_session, version).error_code, code.code());
        }
    }
    for version in ApiKey::InitProducerId.stable_versions().iter() {
        let answer = client.call(&InitProducerIdRequest::default(), version);
        assert_eq!((answer.error_code, answer.producer_id), (code.code(), -1));
    }
}

#[test]
fn a_killed_node_breaks_its_connections_and_a_stopped_one_answers_first() {
    for kill in [true, false] {
        let mut client = Client::of(settings(3));
        let leader = client.at_leader(0);
        client.produce(0, batch(&["a"]), 9);
        let wait = FetchRequest {
            max_wait_ms: 9000,
            ..fetch_request(client.topic_id(), 0, 1, 10)
        };
        assert_eq!(client.send(&wait, 10), Outcome::Parked);
        if kill {
            client.model.kill_node(leader).unwrap();
        } else {
            client.model.stop_node(leader).unwrap();
            let data = only(client.released::<FetchRequest>(10).unwrap());
            assert_eq!(
                ErrorCode::from(data.error_code),
                ErrorCode::NotLeaderOrFollower
            );
        }
        let closed: Vec<_> = std::iter::from_fn(|| client.model.poll_release()).collect();
        assert!(closed.contains(&(client.connection, Outcome::Close)));
        assert_eq!(client.model.connect(leader), None, "it refuses connections");
        let (next, epoch) = client.model.leader("t", 0).unwrap();
        assert!(next.is_some_and(|next| next != leader) && epoch == 1);
        client.at_leader(0);
        let data = only(client.call(&fetch_request(client.topic_id(), 0, 0, 12), 12));
        assert!(
            !data.records.unwrap().is_empty(),
            "replicas have everything"
        );
        client.model.start_node(leader).unwrap();
        assert_eq!(client.model.leader("t", 0).unwrap(), (next, 1));
    }
}

#[test]
fn the_last_replica_in_sync_leads_again_only_when_it_is_back() {
    let mut client = Client::of(settings(3));
    let (first, _) = client.model.leader("t", 0).unwrap();
    let first = first.unwrap();
    let (second, third) = (first % 3 + 1, (first + 1) % 3 + 1);
    for node in [second, third, first] {
        client.model.kill_node(node).unwrap();
    }
    assert_eq!(client.model.leader("t", 0).unwrap(), (None, 1));
    client.model.start_node(second).unwrap();
    assert_eq!(
        client.model.leader("t", 0).unwrap().0,
        None,
        "it may lack records"
    );
    client.at(second);
    let answer = client.call(
        &MetadataRequest {
            topics: None,
            ..MetadataRequest::default()
        },
        9,
    );
    let partition = &answer.topics[0].partitions[0];
    assert_eq!(
        ErrorCode::from(partition.error_code),
        ErrorCode::LeaderNotAvailable
    );
    assert_eq!(answer.brokers.len(), 1);
    client.model.start_node(first).unwrap();
    assert_eq!(client.model.leader("t", 0).unwrap(), (Some(first), 2));
}

#[test]
fn requests_are_remembered_up_to_a_limit() {
    let mut client = Client::of(ClusterSettings {
        request_log: 3,
        ..settings(1)
    });
    for version in 0..=8 {
        client.call(
            &MetadataRequest {
                topics: Some(Vec::new()),
                ..MetadataRequest::default()
            },
            version,
        );
    }
    let seen: Vec<i16> = client
        .model
        .requests()
        .map(|record| record.request.version)
        .collect();
    assert_eq!(seen, [6, 7, 8]);
    let last = client.model.requests().last().unwrap();
    assert_eq!(last.request.client_id.as_deref(), Some("test"));
    assert_eq!(last.fate, Fate::Judged(Verdict::Pass));
}

#[test]
fn a_cold_coordinator_answers_once_that_it_loads() {
    let mut client = Client::of(ClusterSettings {
        cold_start: true,
        ..settings(1)
    });
    let codes: Vec<i16> = (0..3)
        .map(|_| client.call(&idempotent(), 4).error_code)
        .collect();
    assert_eq!(codes, [ErrorCode::CoordinatorLoadInProgress.code(), 0, 0]);
}

fn idempotent() -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: None,
        ..InitProducerIdRequest::default()
    }
}
