//! When to try an address again, shared by all lanes to it.

use std::time::{Duration, Instant};

use milena_proto::backoff::Backoff;

use crate::NetConfig;

/// What past attempts to connect to one address teach.
#[derive(Debug)]
pub(crate) struct Reconnect {
    pause: Backoff,
    patience: Backoff,
    not_before: Option<Instant>,
    failed_at: Option<Instant>,
}

impl Reconnect {
    pub(crate) fn new(config: &NetConfig) -> Self {
        Self {
            pause: Backoff::new(config.reconnect_backoff, config.reconnect_backoff_max),
            patience: Backoff::new(
                config.connection_setup_timeout,
                config.connection_setup_timeout_max,
            ),
            not_before: None,
            failed_at: None,
        }
    }

    /// When the next attempt may begin.
    pub(crate) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// How long the next attempt may take (KIP-601).
    pub(crate) fn patience(&self, random: u64) -> Duration {
        self.patience.clone().next(random)
    }

    /// An attempt that began at `started` has failed. Attempts that ran side by side count once.
    pub(crate) fn failed(&mut self, started: Instant, now: Instant, random: u64) {
        if self.failed_at.is_some_and(|failed| started < failed) {
            return;
        }
        self.failed_at = Some(now);
        self.not_before = now.checked_add(self.pause.next(random));
        let _ = self.patience.next(random);
    }

    /// The address works.
    pub(crate) fn succeeded(&mut self) {
        self.pause.reset();
        self.patience.reset();
        self.not_before = None;
        self.failed_at = None;
    }
}
