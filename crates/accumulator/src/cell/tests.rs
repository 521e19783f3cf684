use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn all_pollers_are_woken_once_by_the_outcome() {
    let cell = Cell::new(0);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let context = Context::from_waker(&waker);
    let mut slots: Vec<Slot> = (0..3).map(|_| Slot::default()).collect();
    for slot in &mut slots {
        assert!(cell.poll(slot, &context).is_pending());
        assert!(cell.poll(slot, &context).is_pending());
    }
    cell.forget(&mut slots[1]);
    assert!(cell.resolve(7));
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    assert_eq!(cell.poll(&mut slots[0], &context), Poll::Ready(&7));
}

#[test]
fn only_the_first_outcome_counts() {
    let cell = Cell::new(0);
    assert!(cell.resolve("first"));
    assert!(!cell.resolve("second"));
    assert_eq!(cell.outcome(), Some(&"first"));
}

#[test]
fn places_of_pollers_that_left_are_used_again() {
    let cell = Cell::<()>::new(0);
    let context = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        let mut slot = Slot::default();
        assert!(cell.poll(&mut slot, &context).is_pending());
        cell.forget(&mut slot);
    }
    assert_eq!(lock(&cell.wakers).slots.len(), 1);
}
