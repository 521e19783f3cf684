use super::*;

fn segments(limit: usize) -> Arc<Segments> {
    Arc::new(Segments::new(Arc::new(Budget::new(limit))))
}

fn idle(segments: &Segments) -> usize {
    lock(&segments.idle).bytes
}

#[test]
fn a_frozen_segment_comes_back_with_its_last_share() {
    let segments = segments(1 << 20);
    let mut segment = segments.take(4096);
    segment.extend_from_slice(b"bytes");
    let shared = segments.freeze(segment);
    let other = shared.slice(1..);
    drop(shared);
    assert_eq!(idle(&segments), 0);
    drop(other);
    assert_eq!(idle(&segments), 4096);
    assert_eq!(segments.take(4096), b"");
    assert_eq!(idle(&segments), 0);
}

#[test]
fn idle_segments_leave_room_for_what_is_reserved() {
    let segments = segments(8192);
    let held: Vec<_> = (0..2).map(|_| segments.take(4096)).collect();
    for segment in held {
        segments.give(segment);
    }
    assert_eq!(idle(&segments), 8192);
    let reserved = segments.budget.try_reserve(6000).unwrap();
    let _new = segments.take(1024);
    assert!(idle(&segments) + reserved.bytes() <= 8192 + 512);
}

#[test]
fn segments_of_odd_sizes_are_not_kept() {
    let segments = segments(1 << 20);
    for capacity in [1000, 70_000, 1 << 18] {
        let mut segment = segments.take(capacity);
        segment.push(1);
        drop(segments.freeze(segment));
    }
    assert_eq!(idle(&segments), 0);
}
