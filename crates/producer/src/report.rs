//! What became of the records nobody watched.

use std::sync::Arc;

use milena_proto::sequencer::Fate;

use crate::FailedBatch;

/// At most so many failed batches are kept for the next report.
const KEPT: usize = 16;
/// They hold their records' memory, which `buffer_memory` does not count any more: from the second on
/// they have to fit into this part of it.
pub(crate) const KEPT_PART: usize = 32;

/// What became of records since the report before: counts, and the first failed batches.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DeliveryReport {
    /// Records that were acknowledged.
    pub delivered: u64,
    /// Records that failed and are not in the log.
    pub not_written: u64,
    /// Records that failed and may be in the log.
    pub maybe_written: u64,
    /// The first failed batches: one, and up to 16 if those after it take no more than a thirty-second
    /// of `buffer_memory`. `on_failed_batch` sees all of them.
    pub failures: Vec<Arc<FailedBatch>>,
    kept_bytes: usize,
}

/// What [`Producer::close`](crate::Producer::close) reports.
pub type CloseReport = DeliveryReport;

impl DeliveryReport {
    /// Whether no record failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.not_written == 0 && self.maybe_written == 0
    }

    pub(crate) fn count_delivered(&mut self, records: u32) {
        self.delivered += u64::from(records);
    }

    /// Counts a failed batch, and keeps it if it is the first or these bytes have room for it.
    pub(crate) fn count_failed(&mut self, batch: &Arc<FailedBatch>, room: usize) {
        let records = u64::from(batch.len());
        match batch.fate() {
            Fate::NotWritten => self.not_written += records,
            Fate::MaybeWritten => self.maybe_written += records,
        }
        let first = self.failures.is_empty();
        let kept_bytes = self.kept_bytes + batch.bytes();
        if first || (self.failures.len() < KEPT && kept_bytes <= room) {
            self.kept_bytes = if first { 0 } else { kept_bytes };
            self.failures.push(Arc::clone(batch));
        }
    }
}

/// Records failed since the report before, among them perhaps some that were sent before the flush
/// began.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{} records were not delivered: {} not written, {} maybe written{}",
    .report.not_written + .report.maybe_written,
    .report.not_written,
    .report.maybe_written,
    first(.report)
)]
pub struct FlushError {
    /// What became of the records.
    pub report: DeliveryReport,
}

fn first(report: &DeliveryReport) -> String {
    match report.failures.first() {
        None => String::new(),
        Some(batch) => format!(
            "; the first, of partition {} of topic {}: {}",
            batch.partition(),
            batch.topic(),
            batch.cause()
        ),
    }
}
