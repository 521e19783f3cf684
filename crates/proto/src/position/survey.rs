//! How far fetched bytes reach, told from batch headers that nothing has checked yet.

use milena_codec::Bytes;
use milena_records::Batches;

/// How far fetched bytes reach, by their batches' headers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Where the next fetch goes on: behind the last whole batch.
    pub next_offset: i64,
    /// Whole batches, among them ones that lie below the offset asked for.
    pub batches: usize,
    /// The bytes of a last batch that was cut off; they are ignored.
    pub cut: usize,
    /// Whether something unreadable stands at the end of what can be walked.
    pub damaged: bool,
}

/// Walks the batch headers in `bytes`, fetched from `offset`. Nothing is checked.
#[must_use]
pub fn survey(bytes: &Bytes, offset: i64) -> Survey {
    let mut walk = Batches::new(bytes.clone());
    let mut survey = Survey {
        next_offset: offset,
        batches: 0,
        cut: 0,
        damaged: false,
    };
    for batch in walk.by_ref() {
        let Ok(batch) = batch else {
            survey.damaged = true;
            return survey;
        };
        survey.batches = survey.batches.saturating_add(1);
        let next = batch.header().last_offset().saturating_add(1);
        survey.next_offset = survey.next_offset.max(next);
    }
    survey.cut = walk.remaining();
    survey
}
