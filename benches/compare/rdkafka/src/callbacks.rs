//! What librdkafka calls with every delivery.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;

use anyhow::Result;
use rdkafka::ClientContext;
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// Counts deliveries and failures.
#[derive(Clone, Default)]
pub struct Count {
    acked: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl Count {
    pub fn check(&self, count: u64) -> Result<()> {
        crate::check(&self.acked, &self.failed, count)
    }
}

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = match result {
            Ok(_) => &self.acked,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::AcqRel);
    }
}

/// Counts them, and wakes the thread that waits for them.
#[derive(Clone)]
pub struct Wake {
    count: Count,
    waits: Thread,
}

impl Wake {
    pub fn this_thread() -> Self {
        Self {
            count: Count::default(),
            waits: std::thread::current(),
        }
    }

    /// Waits until so many are acknowledged, or one has failed.
    pub fn wait_for(&self, count: u64) -> Result<()> {
        let (acked, failed) = (&self.count.acked, &self.count.failed);
        while acked.load(Ordering::Acquire) + failed.load(Ordering::Acquire) < count {
            std::thread::park();
        }
        self.count.check(count)
    }
}

impl ClientContext for Wake {}

impl ProducerContext for Wake {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.count.delivery(result, ());
        self.waits.unpark();
    }
}
