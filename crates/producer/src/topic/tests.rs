use milena_codec::Uuid;
use milena_partitioner::Partitioning;
use milena_rpc::Partition as Known;

use super::*;

fn topic(leaders: &[Option<i32>]) -> Arc<Topic> {
    let partitions = leaders.iter().zip(0..).map(|(leader, index)| Known {
        index,
        leader: *leader,
        leader_epoch: None,
        replicas: Vec::new(),
        isr: Vec::new(),
        offline: Vec::new(),
        error: None,
    });
    Arc::new(Topic {
        name: Str::from_static("orders"),
        id: Uuid::ZERO,
        is_internal: false,
        partitions: partitions.collect(),
        error: None,
    })
}

fn state() -> TopicState {
    let config = ProducerConfig {
        batch_size: 1000,
        ..ProducerConfig::default()
    };
    TopicState::new(Str::from_static("orders"), &config)
}

fn chosen(state: &TopicState, chooser: &Chooser, record: &Record<'_>, chance: u64) -> i32 {
    let view = state.view().unwrap();
    choose(record, (state, &view, chooser), || chance, || None).partition
}

#[test]
fn a_given_partition_wins_over_the_key() {
    let state = state();
    state.see(Some(&topic(&[Some(1), None, Some(1)])));
    let record = Record::to("orders").key("k").partition(1);
    assert_eq!(chosen(&state, &state.chooser, &record, 0), 1);
}

#[test]
fn a_key_chooses_as_java_does_even_a_partition_without_leader() {
    let state = state();
    state.see(Some(&topic(&[None; 12])));
    let record = Record::to("orders").key("customer-42");
    assert_eq!(chosen(&state, &state.chooser, &record, 5), 9);
}

#[test]
fn keys_are_ignored_and_partitioners_taken_as_the_settings_say() {
    let record = Record::to("orders").key("customer-42");
    for (partitioner, ignore_keys, partition) in [
        (Partitioning::Java, true, 5),
        ("consistent".parse().unwrap(), false, 5),
        ("sarama_hash".parse().unwrap(), false, 6),
    ] {
        let config = ProducerConfig {
            partitioner,
            partitioner_ignore_keys: ignore_keys,
            ..ProducerConfig::default()
        };
        let state = TopicState::new(Str::from_static("orders"), &config);
        state.see(Some(&topic(&[Some(1); 12])));
        assert_eq!(chosen(&state, &state.chooser, &record, 5), partition);
        let handle = TopicHandle::new(Arc::new(state), 0);
        let again = chosen(&handle.topic, &handle.clone().chooser, &record, 5);
        assert_eq!(again, partition);
    }
}

#[test]
fn without_a_key_partitions_without_leader_are_left_at_once() {
    let state = state();
    let record = Record::to("orders").value("v");
    state.see(Some(&topic(&[Some(1), Some(1), Some(1)])));
    let first = chosen(&state, &state.chooser, &record, 1);
    assert_eq!(chosen(&state, &state.chooser, &record, 2), first);
    let mut leaders = [Some(1); 3];
    leaders[first as usize] = None;
    state.see(Some(&topic(&leaders)));
    for chance in 0..10 {
        assert_ne!(chosen(&state, &state.chooser, &record, chance), first);
    }
}

#[test]
fn handles_choose_each_for_itself() {
    let state = Arc::new(state());
    state.see(Some(&topic(&[Some(1); 64])));
    let record = Record::to("orders").value("v");
    let handles = [0, 1].map(|producer| TopicHandle::new(Arc::clone(&state), producer));
    let [one, other] = [(0, &handles[0]), (u64::MAX / 2, &handles[1])]
        .map(|(chance, handle)| chosen(&state, &handle.chooser, &record, chance));
    assert_ne!(one, other);
}

#[test]
fn a_handle_needs_no_lock_until_the_metadata_says_something_new() {
    let state = Arc::new(state());
    state.see(Some(&topic(&[Some(1), Some(2)])));
    let handle = TopicHandle::new(Arc::clone(&state), 0);
    state.see(Some(&topic(&[Some(2), Some(1)])));
    assert!(handle.own_view().is_some());
    state.see(Some(&topic(&[Some(2), Some(1), Some(1)])));
    assert!(handle.own_view().is_none());
    assert_eq!(handle.partitions(), Some(3));
    state.see(None);
    assert_eq!(handle.partitions(), None);
}
