//! How long something went on, by whichever of many: requests in flight, waiting senders.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::NodeMetrics;
use crate::shared::{Shared, lock};

/// The time in which at least one of something was under way.
#[derive(Debug, Default)]
pub(super) struct Span {
    count: usize,
    since: Option<Instant>,
    total: Duration,
}

impl Span {
    pub(super) fn begin(&mut self, now: Instant) {
        self.count += 1;
        self.since.get_or_insert(now);
    }

    pub(super) fn end(&mut self, now: Instant) {
        self.count = self.count.saturating_sub(1);
        if self.count == 0 {
            self.total = self.total(now);
            self.since = None;
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn total(&self, now: Instant) -> Duration {
        let running = self.since.map(|since| now.saturating_duration_since(since));
        self.total + running.unwrap_or_default()
    }
}

/// The requests of one producer.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) busy: Span,
    nodes: BTreeMap<i32, Node>,
}

#[derive(Debug, Default)]
struct Node {
    busy: Span,
    full: Span,
    counts: NodeMetrics,
    /// The newest time for which it asked to be left alone.
    muted: Option<(Instant, Instant)>,
}

impl Flow {
    /// A request is on its way. Returns when its broker had asked to be left alone last.
    pub(super) fn sent(
        &mut self,
        node: i32,
        bytes: u64,
        max_in_flight: usize,
        now: Instant,
    ) -> Option<(Instant, Instant)> {
        self.busy.begin(now);
        let node = self.nodes.entry(node).or_default();
        node.busy.begin(now);
        if node.busy.count() == max_in_flight {
            node.full.begin(now);
        }
        node.counts.requests += 1;
        node.counts.bytes += bytes;
        node.muted
    }

    /// A request has come to its end, with an answer if there is a round trip.
    pub(super) fn ended(
        &mut self,
        node: i32,
        round_trip: Option<Duration>,
        max_in_flight: usize,
        now: Instant,
    ) {
        self.busy.end(now);
        let node = self.nodes.entry(node).or_default();
        if node.busy.count() == max_in_flight {
            node.full.end(now);
        }
        node.busy.end(now);
        if let Some(round_trip) = round_trip {
            node.counts.answered += 1;
            node.counts.round_trips += round_trip;
        }
    }

    /// A broker asks to be left alone.
    pub(super) fn throttled(&mut self, node: i32, time: Duration, now: Instant) {
        let node = self.nodes.entry(node).or_default();
        let until = now + time;
        let muted = node.muted.filter(|(_, until)| *until > now);
        let (from, before) = muted.unwrap_or((now, now));
        if until > before {
            node.counts.throttled += until - before;
            node.muted = Some((from, until));
        }
    }

    pub(super) fn nodes(&self, now: Instant) -> BTreeMap<i32, NodeMetrics> {
        let nodes = self.nodes.iter();
        nodes
            .map(|(id, node)| {
                let ahead = node.muted.map(|(_, until)| until);
                let ahead = ahead.map(|until| until.saturating_duration_since(now));
                let metrics = NodeMetrics {
                    busy: node.busy.total(now),
                    full: node.full.total(now),
                    in_flight: node.busy.count(),
                    throttled: node.counts.throttled - ahead.unwrap_or_default(),
                    ..node.counts
                };
                (*id, metrics)
            })
            .collect()
    }
}

/// What may take a while: waiting for something, compressing.
#[derive(Debug, Default)]
pub(crate) struct Clocked(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    span: Span,
    sum: super::Times,
}

impl Clocked {
    pub(super) fn read(&self, now: Instant) -> super::Times {
        let state = lock(&self.0);
        super::Times {
            any: state.span.total(now),
            ..state.sum
        }
    }
}

/// Goes on until it is dropped.
pub(crate) struct Timed<'a> {
    shared: &'a Shared,
    times: &'a Clocked,
    since: Instant,
}

impl<'a> Timed<'a> {
    pub(crate) fn wait_for_memory(shared: &'a Shared) -> Self {
        Self::begin(shared, &shared.metrics.memory)
    }

    pub(crate) fn wait_for_metadata(shared: &'a Shared) -> Self {
        Self::begin(shared, &shared.metrics.metadata)
    }

    pub(crate) fn compressing(shared: &'a Shared) -> Self {
        Self::begin(shared, &shared.metrics.compression)
    }

    fn begin(shared: &'a Shared, times: &'a Clocked) -> Self {
        let since = shared.now();
        lock(&times.0).span.begin(since);
        Self {
            shared,
            times,
            since,
        }
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let now = self.shared.now();
        let mut state = lock(&self.times.0);
        state.span.end(now);
        state.sum.count += 1;
        state.sum.total += now.saturating_duration_since(self.since);
    }
}
