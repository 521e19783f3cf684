//! Receipts that are outstanding, in the order of their records.

use std::collections::VecDeque;

use milena::{DeliveryError, Fate, Receipt};

/// At most so many receipts; every one is awaited in its turn.
pub(super) struct Window {
    receipts: VecDeque<Receipt>,
    limit: usize,
    pub(super) acked: u64,
    pub(super) not_written: u64,
    pub(super) maybe_written: u64,
    pub(super) first_failure: Option<DeliveryError>,
}

impl Window {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            receipts: VecDeque::new(),
            limit,
            acked: 0,
            not_written: 0,
            maybe_written: 0,
            first_failure: None,
        }
    }

    /// Takes a receipt; if that fills the window, waits for the oldest quarter.
    pub(super) async fn push(&mut self, receipt: Receipt) {
        self.receipts.push_back(receipt);
        if self.receipts.len() >= self.limit {
            self.settle(self.limit.div_ceil(4)).await;
        }
    }

    /// Waits for all that are left.
    pub(super) async fn drain(&mut self) {
        self.settle(self.receipts.len()).await;
    }

    pub(super) fn failed(&self) -> u64 {
        self.not_written + self.maybe_written
    }

    async fn settle(&mut self, count: usize) {
        for receipt in self.receipts.drain(..count) {
            let Err(error) = receipt.await else {
                self.acked += 1;
                continue;
            };
            match error.fate() {
                Fate::NotWritten => self.not_written += 1,
                Fate::MaybeWritten => self.maybe_written += 1,
            }
            self.first_failure.get_or_insert(error);
        }
    }
}
