//! A batch that the broker finds too large is divided in its place.

use super::entry::{Entry, Place};
use super::{BatchId, Event, Sequencer, advance};

impl Sequencer {
    /// The batch that was [`TooLarge`](Event::TooLarge) is these now: ids with their numbers of
    /// records, which add up to its own. Returns whether it was still here and being divided.
    pub fn handle_split(&mut self, id: BatchId, pieces: &[(BatchId, u32)]) -> bool {
        let records = pieces.iter().map(|(_, records)| u64::from(*records));
        let records: u64 = records.sum();
        let Some((index, whole)) = self.entry_mut(id) else {
            return false;
        };
        if !whole.splitting || records != u64::from(whole.records) {
            return false;
        }
        let whole = *whole;
        self.queue.remove(index);
        let mut before = 0;
        for (at, (id, records)) in (index..).zip(pieces) {
            self.queue.insert(at, piece(&whole, *id, before, *records));
            before = before.saturating_add(*records);
        }
        true
    }

    // I10
    pub(super) fn may_split(&self, index: usize) -> bool {
        let entry = self.queue.get(index);
        entry.is_some_and(|entry| !entry.doubt && entry.records > 1)
    }

    pub(super) fn begin_split(&mut self, index: usize) {
        if let Some(entry) = self.queue.get_mut(index) {
            entry.splitting = true;
            let id = entry.id;
            self.events.push_back(Event::TooLarge { id });
        }
    }
}

fn piece(whole: &Entry, id: BatchId, before: u32, records: u32) -> Entry {
    let place = Place {
        records: whole.place.records.saturating_add(before),
        ..whole.place
    };
    let mut piece = Entry::new(id, place, records);
    piece.attempts = whole.attempts;
    piece.stamp = whole.stamp.map(|mut stamp| {
        if stamp.base_sequence >= 0 {
            stamp.base_sequence = advance(stamp.base_sequence, before);
        }
        stamp
    });
    piece
}
