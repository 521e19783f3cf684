use milena_accumulator::Limits;
use milena_codec::Uuid;
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

fn handle() -> TopicHandle {
    TopicHandle::new(Str::from_static("orders"), 1000)
}

#[test]
fn a_given_partition_wins_over_the_key_and_must_exist() {
    let topic = topic(&[Some(1), None, Some(1)]);
    let record = Record::to("orders").key("k").partition(1);
    assert_eq!(handle().choose(&record, &topic, || 0).unwrap(), 1);
    let record = Record::to("orders").partition(3);
    let error = handle().choose(&record, &topic, || 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic orders has no partition 3, only 0 to 2"
    );
}

#[test]
fn a_key_chooses_as_java_does_even_a_partition_without_leader() {
    let topic = topic(&[None; 12]);
    let record = Record::to("orders").key("customer-42");
    assert_eq!(handle().choose(&record, &topic, || 5).unwrap(), 9);
}

#[test]
fn without_a_key_partitions_without_leader_are_left_at_once() {
    let handle = handle();
    let record = Record::to("orders").value("v");
    let all = topic(&[Some(1), Some(1), Some(1)]);
    let first = handle.choose(&record, &all, || 1).unwrap();
    assert_eq!(handle.choose(&record, &all, || 2).unwrap(), first);
    let mut leaders = [Some(1); 3];
    leaders[first as usize] = None;
    let fewer = topic(&leaders);
    for chance in 0..10 {
        assert_ne!(handle.choose(&record, &fewer, || chance).unwrap(), first);
    }
}

#[test]
fn a_partition_is_made_once() {
    let accumulator = Arc::new(Accumulator::new(Limits::default()));
    let handle = handle();
    let first = handle.partition(2, &accumulator, || 7);
    let second = handle.partition(2, &accumulator, || 8);
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!((first.slot, first.index), (7, 2));
}
