//! How the partition goes on after a hole in its sequence numbers, or after the broker's state
//! turned out to be another.

use super::entry::{Entry, Place};
use super::{Bump, BumpReason, Event, Fate, Identity, Sequencer};

/// Why nothing is stamped until no stamped batch is in flight or in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settling {
    /// Clean batches left, this one last: their sequence numbers are free.
    Gap(Place),
    /// Batches left, this one last, and one of them in doubt.
    Doubt(Place),
    /// The broker's state fits no stamp, whatever becomes of the other batches.
    State(BumpReason),
}

impl Sequencer {
    /// A batch has left without success, and those stamped after it may have lost their footing.
    pub(super) fn leave_hole(&mut self, left: &Entry, fate: Fate) {
        let Some(stamp) = left.stamp.filter(|_| self.idempotent) else {
            return;
        };
        let later = |entry: &&Entry| entry.place > left.place && entry.is_under(self.identity);
        if self
            .window()
            .filter(later)
            .any(|entry| entry.success.is_some())
        {
            return;
        }
        if fate == Fate::NotWritten && self.window().find(later).is_none() {
            self.next = stamp.base_sequence;
            return;
        }
        // I8
        self.settling = Some(match (self.settling, fate) {
            (Some(Settling::State(reason)), _) => Settling::State(reason),
            (Some(Settling::Doubt(last)), _) => Settling::Doubt(last.max(left.place)),
            (Some(Settling::Gap(last)), Fate::NotWritten) => Settling::Gap(last.max(left.place)),
            (Some(Settling::Gap(last)), Fate::MaybeWritten) => {
                Settling::Doubt(last.max(left.place))
            }
            (None, Fate::NotWritten) => Settling::Gap(left.place),
            (None, Fate::MaybeWritten) => Settling::Doubt(left.place),
        });
    }

    /// A success shows that what left before it was written.
    pub(super) fn close_hole(&mut self, succeeded: Place) {
        if let Some(Settling::Gap(last) | Settling::Doubt(last)) = self.settling
            && succeeded > last
        {
            self.settling = None;
        }
    }

    /// Goes on after a hole, if no batch is in flight or in doubt any more.
    pub(super) fn settle(&mut self) {
        let Some(settling) = self.settling else {
            return;
        };
        // I9
        if self.window().any(Entry::is_uncertain) {
            return;
        }
        match settling {
            Settling::Gap(_) => {
                self.unstamp();
                self.next = self.expected;
            }
            Settling::Doubt(_) => self.restart(BumpReason::InDoubt),
            Settling::State(reason) => self.restart(reason),
        }
    }

    /// Goes on under the next epoch: its own next one, or in transactions the one that the
    /// coordinator gives. No batch may be in flight or in doubt.
    pub(super) fn restart(&mut self, reason: BumpReason) {
        self.unstamp();
        let Some(from) = self.identity.take() else {
            return;
        };
        match from.epoch.checked_add(1).filter(|_| !self.transactional) {
            Some(epoch) => self.identity = Some(Identity { epoch, ..from }),
            None => self.left = Some(from),
        }
        (self.next, self.expected, self.proven) = (0, 0, None);
        let to = self.identity;
        self.events
            .push_back(Event::Bumped(Bump { from, to, reason }));
    }

    pub(super) fn unstamp(&mut self) {
        self.settling = None;
        let clean = |entry: &&mut Entry| entry.success.is_none();
        let stamped = self.stamped();
        for entry in self.queue.iter_mut().take(stamped).filter(clean) {
            entry.stamp = None; // I1
        }
    }
}
