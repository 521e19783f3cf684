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

fn state() -> TopicState {
    TopicState::new(Str::from_static("orders"), 1000)
}

/// Where `record` goes, as `local` sees it.
fn chosen(state: &TopicState, local: &mut Local, record: &Record<'_>, chance: u64) -> i32 {
    let (view, sticky) = local.look(state);
    choose(record, view.unwrap(), sticky, || chance)
}

#[test]
fn a_given_partition_wins_over_the_key() {
    let state = state();
    state.see(Some(&topic(&[Some(1), None, Some(1)])));
    let record = Record::to("orders").key("k").partition(1);
    assert_eq!(chosen(&state, &mut Local::new(1000), &record, 0), 1);
}

#[test]
fn a_key_chooses_as_java_does_even_a_partition_without_leader() {
    let state = state();
    state.see(Some(&topic(&[None; 12])));
    let record = Record::to("orders").key("customer-42");
    assert_eq!(chosen(&state, &mut Local::new(1000), &record, 5), 9);
}

#[test]
fn without_a_key_partitions_without_leader_are_left_at_once() {
    let (state, mut local) = (state(), Local::new(1000));
    let record = Record::to("orders").value("v");
    state.see(Some(&topic(&[Some(1), Some(1), Some(1)])));
    let first = chosen(&state, &mut local, &record, 1);
    assert_eq!(chosen(&state, &mut local, &record, 2), first);
    let mut leaders = [Some(1); 3];
    leaders[first as usize] = None;
    state.see(Some(&topic(&leaders)));
    for chance in 0..10 {
        assert_ne!(chosen(&state, &mut local, &record, chance), first);
    }
}

#[test]
fn handles_choose_each_for_itself() {
    let state = Arc::new(state());
    state.see(Some(&topic(&[Some(1); 64])));
    let record = Record::to("orders").value("v");
    let handles = [0, 1].map(|producer| TopicHandle::new(Arc::clone(&state), producer));
    let [one, other] = [(0, &handles[0]), (u64::MAX / 2, &handles[1])]
        .map(|(chance, handle)| chosen(&state, &mut lock(&handle.local), &record, chance));
    assert_ne!(one, other);
}

#[test]
fn a_topic_that_vanishes_from_the_metadata_has_to_be_looked_up_again() {
    let (state, mut local) = (state(), Local::new(1000));
    state.see(Some(&topic(&[Some(1)])));
    assert!(local.look(&state).0.is_some());
    state.see(None);
    assert!(local.look(&state).0.is_none());
}
