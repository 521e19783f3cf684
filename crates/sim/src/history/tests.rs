use super::*;

fn at(id: u64, offset: i64) -> Logged {
    Logged { id, offset }
}

fn told(ends: &[End]) -> History {
    let mut history = History::default();
    for end in ends {
        let id = history.accept();
        match *end {
            End::Acknowledged(offset) => history.acknowledged(id, offset),
            End::Failed(fate) => history.failed(id, fate),
        }
    }
    history
}

const ACKED: End = End::Acknowledged(None);
const MAYBE: End = End::Failed(Fate::MaybeWritten);
const NOT: End = End::Failed(Fate::NotWritten);

#[test]
fn each_disagreement_has_its_name() {
    let check = |ends: &[End], log: &[Logged], promise| told(ends).check(log, promise).map(|_| ());
    let all = Promise::OrderOfAll;
    assert_eq!(check(&[ACKED, MAYBE, NOT], &[at(0, 0)], all), Ok(()));
    assert_eq!(check(&[ACKED], &[], all), Err(Violation::Lost(0)));
    let twice = [at(0, 0), at(0, 1)];
    assert_eq!(check(&[ACKED], &twice, all), Err(Violation::Duplicated(0)));
    assert_eq!(check(&[MAYBE], &twice, all), Err(Violation::Duplicated(0)));
    assert_eq!(check(&[ACKED], &twice, Promise::AtLeastOnce), Ok(()));
    assert_eq!(check(&[NOT], &[at(0, 0)], all), Err(Violation::Lie(0)));
    let said = [End::Acknowledged(Some(3))];
    assert_eq!(check(&said, &[at(0, 4)], all), Err(Violation::Misplaced(0)));
    let swapped = [at(1, 0), at(0, 1)];
    let reordered = Err(Violation::Reordered(0));
    assert_eq!(check(&[ACKED, ACKED], &swapped, all), reordered);
    assert_eq!(check(&[MAYBE, ACKED], &swapped, all), reordered);
    let acked = Promise::OrderOfAcknowledged;
    assert_eq!(check(&[MAYBE, ACKED], &swapped, acked), Ok(()));
}

#[test]
fn every_batch_ends_exactly_once() {
    let mut history = told(&[NOT]);
    let id = history.accept();
    let stuck = Err(Violation::Stuck(id));
    assert_eq!(history.check(&[], Promise::OrderOfAll), stuck);
    history.failed(0, Fate::MaybeWritten);
    let twice = Err(Violation::ToldTwice(0));
    assert_eq!(history.check(&[], Promise::OrderOfAll), twice);
}

#[test]
fn acknowledgements_out_of_order_are_found_whatever_the_log_says() {
    let mut history = History::default();
    let (first, second) = (history.accept(), history.accept());
    history.acknowledged(second, None);
    history.acknowledged(first, None);
    let log = [at(first, 0), at(second, 1)];
    let reordered = Err(Violation::Reordered(first));
    assert_eq!(history.check(&log, Promise::OrderOfAll), reordered);
}
