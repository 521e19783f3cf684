use super::*;

fn candidate(index: i32, queued: u32) -> Candidate {
    Candidate {
        index,
        queued,
        is_stalled: false,
        is_near: false,
    }
}

fn stalled(index: i32) -> Candidate {
    Candidate {
        is_stalled: true,
        ..candidate(index, 0)
    }
}

fn near(index: i32) -> Candidate {
    Candidate {
        is_near: true,
        ..candidate(index, 0)
    }
}

fn indexes(candidates: &[Candidate]) -> Vec<i32> {
    preferred(candidates).map(|(index, _)| index).collect()
}

#[test]
fn what_waits_goes_with_each_partition() {
    let preferred: Vec<_> = preferred(&[candidate(0, 3), candidate(2, 0)]).collect();
    assert_eq!(preferred, [(0, 3), (2, 0)]);
}

#[test]
fn partitions_of_a_leader_that_takes_nothing_are_left_out_unless_all_are() {
    let one = [candidate(0, 3), stalled(1), candidate(2, 0)];
    assert_eq!(indexes(&one), [0, 2]);
    assert_eq!(indexes(&[stalled(0), stalled(1)]), [0, 1]);
}

#[test]
fn the_own_rack_comes_first_while_a_leader_there_takes_something() {
    assert_eq!(indexes(&[candidate(0, 0), near(1), near(2)]), [1, 2]);
    let far_away = Candidate {
        is_stalled: true,
        ..near(1)
    };
    assert_eq!(indexes(&[candidate(0, 0), far_away, stalled(2)]), [0]);
    assert_eq!(indexes(&[candidate(0, 0), candidate(1, 0)]), [0, 1]);
}

#[test]
fn counts_are_good_for_a_while_and_for_the_same_metadata_only() {
    let now = tokio::time::Instant::now().into_std();
    let snapshot = Arc::new(Snapshot::default());
    let mut balance = Balance::default();
    assert!(!balance.is_good(now, &snapshot));
    balance.counted_at = Some(now);
    balance.seen = Some(Arc::clone(&snapshot));
    assert!(balance.is_good(now + KEPT_FOR / 2, &snapshot));
    assert!(!balance.is_good(now + KEPT_FOR, &snapshot));
    assert!(!balance.is_good(now, &Arc::new(Snapshot::default())));
}
