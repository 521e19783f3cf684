//! What a producer's throughput is limited by, in one word.
//!
//! A verdict is made of what was counted between two snapshots. The first rule that holds decides:
//!
//! | | verdict | when |
//! |---|---|---|
//! | 1 | [`Throttle`](Verdict::Throttle) | a broker had asked to be left alone in ≥ 20 % of the time |
//! | 2 | [`CompressionCpu`](Verdict::CompressionCpu) | some batch was being compressed in ≥ 50 % of the time, and no broker was full in as much |
//! | 3 | [`LocalBuffer`](Verdict::LocalBuffer) | senders waited for memory in ≥ 10 % of the time, no broker was full in ≥ 50 %, and at least a quarter of `buffer_memory` was in flight: open batches and what segments leave unused take the rest |
//! | 4 | [`HotLeader`](Verdict::HotLeader) | one broker's load is ≥ 50 %, and that of all others, of which there is one at least, less than half of it |
//! | 5 | [`RoundTrip`](Verdict::RoundTrip), saturated | some broker's load is ≥ 50 % |
//! | 6 | [`LocalBuffer`](Verdict::LocalBuffer) | senders waited for memory in ≥ 10 % of the time |
//! | 7 | [`RoundTrip`](Verdict::RoundTrip) | a request was in flight in ≥ 50 % of the time: senders wait for outcomes |
//! | 8 | [`Starved`](Verdict::Starved) | otherwise |
//!
//! A broker is full while it has `max_in_flight` requests in flight. Its load is the time in which it
//! was full or, if senders waited for memory in ≥ 10 % of the time, in which it had any request in
//! flight. What is in flight is the throughput times the mean round trip.
//!
//! Not for latencies: a producer whose linger delays every record may be `Starved` all the same.

use std::fmt;
use std::time::Duration;

use crate::metrics::NodeMetrics;
use crate::{MetricsSnapshot, Producer};

/// Of the time, to be the limit.
const MOSTLY: f64 = 0.5;
/// Of the time, for throttling to be the limit.
const THROTTLED: f64 = 0.2;
/// Of the time, for senders to be held up.
const HELD_UP: f64 = 0.1;

/// What limits a producer; see the [module](self) for the rules.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// There is nothing to send: the program is the limit.
    Starved {
        /// The share of time with nothing in flight.
        share: f64,
    },
    /// `buffer_memory` is too small for what could be on its way.
    LocalBuffer {
        /// The share of time in which a `send` waited for memory.
        share: f64,
        /// How long all `send`s waited together, as far as their waits have ended.
        waited: Duration,
    },
    /// The network and the brokers' answers are the limit.
    RoundTrip {
        /// The share of time in which requests were in flight; if saturated, as many as may be.
        share: f64,
        /// The mean time from a request to its answer; zero if none was answered.
        round_trip: Duration,
        /// Bytes that were in flight on average: throughput times round trip.
        bdp: u64,
        /// Whether there was more to send than could be in flight. If not, senders wait for
        /// outcomes before they send on.
        saturated: bool,
    },
    /// A broker enforces a quota.
    Throttle {
        /// The broker's node id.
        node: i32,
        /// The share of time in which it had asked to be left alone.
        share: f64,
        /// The time.
        throttled: Duration,
    },
    /// One broker takes far more than the others.
    HotLeader {
        /// Its node id.
        node: i32,
        /// The share of time in which it was the limit.
        share: f64,
        /// Its share of all bytes sent.
        bytes: f64,
    },
    /// Compressing is slower than sending.
    CompressionCpu {
        /// The share of time in which a batch was being compressed.
        share: f64,
    },
}

/// A setting to change, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The setting, or what to change in the program or the cluster.
    pub setting: &'static str,
    /// What to do with it.
    pub advice: &'static str,
}

impl Verdict {
    /// The verdict over the time between two snapshots of the same producer.
    #[must_use]
    pub fn between(earlier: &MetricsSnapshot, later: &MetricsSnapshot) -> Self {
        Window::between(earlier, later).judge()
    }

    /// The share of time for which it holds, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        match self {
            Self::Starved { share }
            | Self::LocalBuffer { share, .. }
            | Self::RoundTrip { share, .. }
            | Self::Throttle { share, .. }
            | Self::HotLeader { share, .. }
            | Self::CompressionCpu { share } => *share,
        }
    }

    /// What may help.
    #[must_use]
    pub fn suggestion(&self) -> Suggestion {
        let (setting, advice) = match self {
            Self::Starved { .. } => (
                "the program",
                "nothing of the producer holds records up; send more at once, or from more tasks",
            ),
            Self::LocalBuffer { .. } => ("buffer_memory (buffer.memory)", "raise it"),
            Self::RoundTrip {
                saturated: true, ..
            } => (
                "batch_size (batch.size)",
                "raise it together with max_request_size, turn compression on, or spread the \
                 topic over more partitions and brokers",
            ),
            Self::RoundTrip { .. } => (
                "the program",
                "keep receipts and await them later, or send from more tasks: each waits for its \
                 round trip",
            ),
            Self::Throttle { .. } => (
                "producer_byte_rate (a quota of the cluster)",
                "have it raised for this client id or user, or send less, for example compressed",
            ),
            Self::HotLeader { .. } => (
                "the topic's partitions",
                "spread keys more evenly, or have partition leaders moved to other brokers",
            ),
            Self::CompressionCpu { .. } => (
                "compression (compression.type)",
                "use a faster codec such as lz4, or a lower compression_level",
            ),
        };
        Suggestion { setting, advice }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.share() * 100.0;
        match self {
            Self::Starved { .. } => write!(f, "starved: nothing in flight {percent:.0} %"),
            Self::LocalBuffer { waited, .. } => write!(
                f,
                "local buffer: send waited for memory {percent:.0} % (in all {waited:.1?})"
            ),
            Self::RoundTrip {
                round_trip, bdp, ..
            } => write!(
                f,
                "round trip: requests in flight {percent:.0} % ({round_trip:.1?} each, {bdp} bytes \
                 in flight)"
            ),
            Self::Throttle {
                node, throttled, ..
            } => write!(
                f,
                "throttle: broker {node} asked to wait {percent:.0} % ({throttled:.1?})"
            ),
            Self::HotLeader { node, bytes, .. } => write!(
                f,
                "hot leader: broker {node} was the limit {percent:.0} %, with {:.0} % of the bytes",
                bytes * 100.0
            ),
            Self::CompressionCpu { .. } => {
                write!(f, "compression: batches being compressed {percent:.0} %")
            }
        }?;
        let Suggestion { setting, advice } = self.suggestion();
        write!(f, " of the time; {setting}: {advice}")
    }
}

impl Producer {
    /// What the producer was limited by since the last call, or since it was made. One user's
    /// calls shorten another's time: who shares a producer keeps [`metrics`](Self::metrics) of their
    /// own and uses [`Verdict::between`].
    pub fn verdict(&self) -> Verdict {
        let shared = self.shared();
        let now = shared.snapshot();
        match shared.metrics.judge(now.clone()) {
            Some(before) => Verdict::between(&before, &now),
            None => Window::since_birth(&now).judge(),
        }
    }
}

/// What the rules look at.
#[derive(Clone, Debug, Default)]
struct Window {
    elapsed: Duration,
    /// Time with a request in flight, to whichever broker.
    busy: Duration,
    compressing: Duration,
    /// Time with a sender that waited for memory.
    held_up: Duration,
    waited: Duration,
    buffer: usize,
    nodes: Vec<(i32, NodeMetrics)>,
}

impl Window {
    fn since_birth(now: &MetricsSnapshot) -> Self {
        Self {
            elapsed: now.uptime,
            busy: now.busy,
            compressing: now.compression.any,
            held_up: now.memory_waits.any,
            waited: now.memory_waits.total,
            buffer: now.buffer_total,
            nodes: now.nodes.iter().map(|(id, node)| (*id, *node)).collect(),
        }
    }

    fn between(before: &MetricsSnapshot, now: &MetricsSnapshot) -> Self {
        let whole = Self::since_birth(now);
        let nodes = whole.nodes.into_iter().map(|(id, node)| {
            let before = before.nodes.get(&id).copied().unwrap_or_default();
            (id, since(node, before))
        });
        let waits = before.memory_waits;
        Self {
            elapsed: whole.elapsed.saturating_sub(before.uptime),
            busy: whole.busy.saturating_sub(before.busy),
            compressing: whole.compressing.saturating_sub(before.compression.any),
            held_up: whole.held_up.saturating_sub(waits.any),
            waited: whole.waited.saturating_sub(waits.total),
            buffer: whole.buffer,
            nodes: nodes.collect(),
        }
    }

    fn judge(&self) -> Verdict {
        let held_up = self.share(self.held_up) >= HELD_UP;
        let full = self.most(|node| self.share(node.full));
        let has_room = full.is_none_or(|(_, share)| share < MOSTLY);
        let buffer = Verdict::LocalBuffer {
            share: self.share(self.held_up),
            waited: self.waited,
        };
        if let Some((node, share)) = self.most(|node| self.share(node.throttled))
            && share >= THROTTLED
        {
            let throttled = self.node(node).throttled;
            return Verdict::Throttle {
                node,
                share,
                throttled,
            };
        }
        let compressing = self.share(self.compressing);
        if compressing >= MOSTLY && has_room {
            return Verdict::CompressionCpu { share: compressing };
        }
        if held_up && has_room && self.bdp() * 4 >= self.buffer as u64 {
            return buffer;
        }
        if let Some(limited) = self.judge_brokers(held_up) {
            return limited;
        }
        match self.share(self.busy) {
            _ if held_up => buffer,
            share if share >= MOSTLY => self.round_trip_is(share, false),
            share => Verdict::Starved { share: 1.0 - share },
        }
    }

    /// Rules 4 and 5.
    fn judge_brokers(&self, held_up: bool) -> Option<Verdict> {
        let load = |node: &NodeMetrics| match held_up {
            true => self.share(node.full.max(node.busy)),
            false => self.share(node.full),
        };
        let (hottest, share) = self.most(load).filter(|(_, share)| *share >= MOSTLY)?;
        let others = self.nodes.iter().filter(|(id, _)| *id != hottest);
        let second = others.map(|(_, node)| load(node)).reduce(f64::max);
        if second.is_some_and(|second| second < share / 2.0) {
            let all: u64 = self.nodes.iter().map(|(_, node)| node.bytes).sum();
            return Some(Verdict::HotLeader {
                node: hottest,
                share,
                bytes: self.node(hottest).bytes as f64 / all.max(1) as f64,
            });
        }
        Some(self.round_trip_is(share, true))
    }

    fn round_trip_is(&self, share: f64, saturated: bool) -> Verdict {
        Verdict::RoundTrip {
            share,
            round_trip: self.round_trip(),
            bdp: self.bdp(),
            saturated,
        }
    }

    fn share(&self, time: Duration) -> f64 {
        let elapsed = self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        (time.as_secs_f64() / elapsed).min(1.0)
    }

    /// The node with the most of something.
    fn most(&self, of: impl Fn(&NodeMetrics) -> f64) -> Option<(i32, f64)> {
        let nodes = self.nodes.iter().map(|(id, node)| (*id, of(node)));
        nodes.max_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    fn node(&self, id: i32) -> NodeMetrics {
        let found = self.nodes.iter().find(|(known, _)| *known == id);
        found.map(|(_, node)| *node).unwrap_or_default()
    }

    fn round_trip(&self) -> Duration {
        let sum: Duration = self.nodes.iter().map(|(_, node)| node.round_trips).sum();
        let answered: u64 = self.nodes.iter().map(|(_, node)| node.answered).sum();
        sum.div_f64(answered.max(1) as f64)
    }

    fn bdp(&self) -> u64 {
        let bytes: u64 = self.nodes.iter().map(|(_, node)| node.bytes).sum();
        (bytes as f64 * self.share(self.round_trip())) as u64
    }
}

fn since(now: NodeMetrics, before: NodeMetrics) -> NodeMetrics {
    NodeMetrics {
        requests: now.requests.saturating_sub(before.requests),
        bytes: now.bytes.saturating_sub(before.bytes),
        answered: now.answered.saturating_sub(before.answered),
        round_trips: now.round_trips.saturating_sub(before.round_trips),
        busy: now.busy.saturating_sub(before.busy),
        full: now.full.saturating_sub(before.full),
        throttled: now.throttled.saturating_sub(before.throttled),
        in_flight: now.in_flight,
    }
}

#[cfg(test)]
mod tests;
