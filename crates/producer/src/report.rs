//! What became of the records nobody watched.

use std::sync::Arc;

use milena_proto::sequencer::Fate;

use crate::FailedBatch;

/// At most so many failed batches are kept for the next report: they hold their records' memory.
const KEPT: usize = 16;

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
    /// The first failed batches, at most 16. `on_failed_batch` sees all of them.
    pub failures: Vec<Arc<FailedBatch>>,
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

    pub(crate) fn count_failed(&mut self, batch: &Arc<FailedBatch>) {
        let records = u64::from(batch.len());
        match batch.fate() {
            Fate::NotWritten => self.not_written += records,
            Fate::MaybeWritten => self.maybe_written += records,
        }
        if self.failures.len() < KEPT {
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
