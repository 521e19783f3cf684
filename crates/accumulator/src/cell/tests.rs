use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

#[allow(clippy::disallowed_methods)]
fn cell<T>() -> Cell<T, ()> {
    Cell::new(0, (), Instant::now())
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn all_pollers_are_woken_once_by_the_outcome() {
    let cell = cell();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let context = Context::from_waker(&waker);
    let mut slots: Vec<Slot> = (0..3).map(|_| Slot::default()).collect();
    for slot in &mut slots {
        assert!(cell.poll(0, slot, &context).is_pending());
        assert!(cell.poll(0, slot, &context).is_pending());
    }
    cell.forget(&mut slots[1]);
    assert!(cell.resolve(0, 7));
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    assert_eq!(cell.poll(0, &mut slots[0], &context), Poll::Ready(&7));
}

#[test]
fn only_the_first_outcome_counts() {
    let cell = cell();
    assert!(cell.resolve(0, "first"));
    assert!(!cell.resolve(0, "second"));
    assert_eq!(cell.outcome(0), Some(&"first"));
}

#[test]
fn places_of_pollers_that_left_are_used_again() {
    let cell = cell::<()>();
    let context = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        let mut slot = Slot::default();
        assert!(cell.poll(0, &mut slot, &context).is_pending());
        cell.forget(&mut slot);
    }
    assert_eq!(lock(&cell.wakers).slots.len(), 1);
}

#[test]
fn a_divided_batch_resolves_range_by_range_each_once() {
    let cell = cell();
    assert!(cell.divide(0, &[3, 10]));
    assert!(cell.resolve(5, "behind"));
    assert!(!cell.resolve(9, "again"));
    assert_eq!((cell.outcome(2), cell.outcome(3)), (None, Some(&"behind")));
    assert!(!cell.is_resolved());
    assert!(cell.divide(0, &[1, 3]));
    assert!(cell.resolve(0, "first") && cell.resolve(2, "second"));
    let outcomes: Vec<_> = (0..10).map(|index| *cell.outcome(index).unwrap()).collect();
    assert_eq!(outcomes[..4], ["first", "second", "second", "behind"]);
    assert!(cell.is_resolved());
    assert!(!cell.divide(0, &[1]));
}

#[test]
fn a_poller_of_another_range_is_woken_and_can_wait_on() {
    let cell = cell();
    assert!(cell.divide(0, &[1, 2]));
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let context = Context::from_waker(&waker);
    let mut slot = Slot::default();
    assert!(cell.poll(1, &mut slot, &context).is_pending());
    cell.resolve(0, 'a');
    assert!(cell.poll(1, &mut slot, &context).is_pending());
    cell.resolve(1, 'b');
    assert_eq!(cell.poll(1, &mut slot, &context), Poll::Ready(&'b'));
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
}
