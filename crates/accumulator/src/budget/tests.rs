use std::pin::pin;
use std::task::Waker;

use super::*;

fn poll(future: Pin<&mut Reserve>) -> Poll<Reservation> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn budget(limit: usize) -> Arc<Budget> {
    Arc::new(Budget::new(limit))
}

#[test]
fn what_does_not_fit_waits_until_enough_is_given_back() {
    let budget = budget(10);
    let first = budget.try_reserve(6).unwrap();
    let second = budget.try_reserve(3).unwrap();
    assert!(budget.try_reserve(2).is_none());
    let mut waits = pin!(budget.reserve(5));
    assert!(poll(waits.as_mut()).is_pending());
    drop(second);
    assert!(poll(waits.as_mut()).is_pending());
    drop(first);
    assert!(matches!(poll(waits.as_mut()), Poll::Ready(got) if got.bytes() == 5));
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_small_request_does_not_overtake_a_large_one_that_waits() {
    let budget = budget(10);
    let held = budget.try_reserve(6).unwrap();
    let mut large = pin!(budget.reserve(8));
    assert!(poll(large.as_mut()).is_pending());
    assert!(budget.try_reserve(1).is_none());
    let mut small = pin!(budget.reserve(1));
    assert!(poll(small.as_mut()).is_pending());
    drop(held);
    assert!(poll(large.as_mut()).is_ready());
    assert!(poll(small.as_mut()).is_ready());
}

#[test]
fn a_dropped_waiter_lets_the_next_one_through() {
    let budget = budget(10);
    let held = budget.try_reserve(9).unwrap();
    let mut large = Box::pin(budget.reserve(8));
    let mut small = pin!(budget.reserve(1));
    assert!(poll(large.as_mut()).is_pending());
    assert!(poll(small.as_mut()).is_pending());
    drop(large);
    assert!(poll(small.as_mut()).is_ready());
    drop(held);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_waiter_dropped_after_its_grant_gives_the_bytes_back() {
    let budget = budget(10);
    let held = budget.try_reserve(9).unwrap();
    let mut granted = Box::pin(budget.reserve(5));
    assert!(poll(granted.as_mut()).is_pending());
    drop(held);
    assert_eq!(budget.used(), 5);
    drop(granted);
    assert_eq!(budget.used(), 0);
    assert!(!budget.is_contended());
}

#[test]
fn more_than_the_limit_is_cut_to_it() {
    let budget = budget(10);
    assert!(matches!(poll(pin!(budget.reserve(99))), Poll::Ready(got) if got.bytes() == 10));
}

#[test]
fn reservations_merge_and_shrink() {
    let budget = budget(10);
    let mut all = Reservation::none(&budget);
    all.absorb(budget.try_reserve(4).unwrap());
    all.absorb(budget.try_reserve(5).unwrap());
    assert_eq!((all.bytes(), budget.used()), (9, 9));
    all.shrink_to(2);
    all.shrink_to(7);
    assert_eq!((all.bytes(), budget.used()), (2, 2));
    drop(all);
    assert_eq!(budget.used(), 0);
}
