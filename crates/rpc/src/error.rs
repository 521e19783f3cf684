//! Why a call, a look-up or a connection to a cluster failed.

use std::fmt;
use std::time::Duration;

use milena_codec::{ErrorCode, Str};
use milena_net::Address;
use thiserror::Error;

use crate::CoordinatorKind;

/// Why a call to the cluster failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The only attempt, or one that is not worth repeating, failed.
    #[error(transparent)]
    Attempt(#[from] milena_net::CallError),
    /// The cluster has no such broker.
    #[error("no broker with node id {node} is known; it may have left the cluster")]
    UnknownNode {
        /// The node id.
        node: i32,
    },
    /// There was no leader to send to until the deadline.
    #[error("partition {partition} of topic {topic} has no known leader{}", because(.cause))]
    NoLeader {
        /// The topic.
        topic: Str,
        /// The partition's index.
        partition: i32,
        /// What the brokers said of the topic or partition.
        cause: Option<ErrorCode>,
    },
    /// The brokers refuse to name the coordinator.
    #[error("the coordinator of {kind} {key:?} cannot be found: {}", said(*.code, .message))]
    NoCoordinator {
        /// What for.
        kind: CoordinatorKind,
        /// The group or transactional id.
        key: Str,
        /// The broker's error.
        code: ErrorCode,
        /// The broker's words, if it had any.
        message: Option<Str>,
    },
    /// The deadline passed, over all attempts.
    #[error(transparent)]
    TimedOut(Box<TimedOut>),
    /// The client has been closed.
    #[error("the client has been closed")]
    Closed,
}

impl CallError {
    /// Whether a broker may have received, and so executed, the request.
    pub fn was_sent(&self) -> bool {
        match self {
            Self::Attempt(error) => error.was_sent(),
            Self::TimedOut(error) => error.sent,
            _ => false,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Attempt(error) => error.is_retriable(),
            Self::NoCoordinator { code, .. } => code.is_retriable(),
            Self::UnknownNode { .. } | Self::NoLeader { .. } | Self::TimedOut(_) => true,
            Self::Closed => false,
        }
    }

    /// Whether nothing helps but a change of settings, of the broker or of the request.
    pub fn is_fatal(&self) -> bool {
        !self.is_retriable()
    }
}

/// A deadline that passed: where the time went, and what went wrong meanwhile.
#[derive(Clone, Debug, Error)]
pub struct TimedOut {
    /// What was to be done, such as "ListOffsets" or "looking up topic orders".
    pub what: String,
    /// How long it was tried.
    pub after: Duration,
    /// Where that time went.
    pub spent: TimeSpent,
    /// How many times it was tried.
    pub attempts: u32,
    /// Whether a broker may have received a request.
    pub sent: bool,
    /// The last retriable error that a broker answered with.
    pub last_answer: Option<ErrorCode>,
    /// The last failure of each broker that failed.
    pub failures: Vec<BrokerFailure>,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.after.as_secs_f64();
        write!(f, "{} timed out after {after:.1} s (", self.what)?;
        write!(f, "{}; {} attempts)", self.spent, self.attempts)?;
        if let Some(code) = self.last_answer {
            write!(f, "; the last answer was {code}")?;
        }
        if self.failures.is_empty() && self.last_answer.is_none() {
            f.write_str("; no broker reported a failure, they are slow or silent")?;
        }
        list(f, &self.failures)
    }
}

/// Where the time of a call went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeSpent {
    /// Finding out where to send: waiting for metadata or a coordinator.
    pub routing: Duration,
    /// In attempts: connecting, queueing, in flight.
    pub attempts: Duration,
    /// Waiting between attempts.
    pub backoff: Duration,
    /// Leaving alone a broker that asked for it.
    pub throttled: Duration,
}

impl fmt::Display for TimeSpent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.routing, "waiting for metadata"),
            (self.attempts, "in attempts"),
            (self.backoff, "in backoff"),
            (self.throttled, "throttled"),
        ];
        let spent = parts.iter().filter(|(time, _)| !time.is_zero());
        let texts: Vec<String> = spent
            .map(|(time, place)| format!("{:.1} s {place}", time.as_secs_f64()))
            .collect();
        if texts.is_empty() {
            return f.write_str("no time was left to try");
        }
        f.write_str(&texts.join(", "))
    }
}

/// The last failure of one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerFailure {
    /// Where it was tried.
    pub address: Address,
    /// The last failure there.
    pub cause: milena_net::CallError,
}

impl fmt::Display for BrokerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            // Its own text repeats the address.
            milena_net::CallError::Connect { cause, .. } => {
                write!(f, "{}: {cause}", self.address)
            }
            cause => cause.fmt(f),
        }
    }
}

/// Why no cluster could be connected to.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ConnectClusterError {
    /// There is no address to begin with.
    #[error("no bootstrap server is given; name at least one as host:port")]
    NoAddress,
    /// No bootstrap server gave an answer of use.
    #[error("no bootstrap server could be used{}", listed(.failures))]
    Unreachable {
        /// The last failure at each address.
        failures: Vec<BrokerFailure>,
    },
    /// A bootstrap server answered, but not with a cluster.
    #[error("{address} answered, but not with a cluster: {cause}")]
    Refused {
        /// Which.
        address: Address,
        /// What it said.
        cause: milena_metadata::AnswerError,
    },
}

impl ConnectClusterError {
    /// Whether a bootstrap server refused the login, which waiting does not cure.
    pub fn is_authentication(&self) -> bool {
        let Self::Unreachable { failures } = self else {
            return false;
        };
        failures.iter().any(|failure| {
            matches!(
                &failure.cause,
                milena_net::CallError::Connect {
                    cause: milena_net::ConnectError::Authentication { .. },
                    ..
                }
            )
        })
    }

    /// Whether connecting may succeed later without anybody changing anything.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NoAddress => false,
            Self::Unreachable { failures } => {
                failures.iter().any(|failure| failure.cause.is_retriable())
            }
            Self::Refused { .. } => true,
        }
    }
}

/// Why a topic could not be looked up.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The cluster has no such topic.
    #[error("topic {name} does not exist{}; create it, or correct the name", meant(.similar))]
    Unknown {
        /// The name.
        name: Str,
        /// Known topics with similar names, the closest first.
        similar: Vec<Str>,
    },
    /// The user may not see the topic, or it does not exist: Kafka does not tell which.
    #[error("topic {name} may not be described by this user; grant DESCRIBE on it")]
    NotAuthorized {
        /// The name.
        name: Str,
    },
    /// The name breaks Kafka's rules.
    #[error(
        "{name:?} cannot be a topic's name: 1 to 249 letters, digits, '.', '_' and '-' are \
         allowed, except \".\" and \"..\""
    )]
    InvalidName {
        /// The name.
        name: Str,
    },
    /// The brokers refuse with an error that waiting does not cure.
    #[error("topic {name} cannot be looked up: {code}")]
    Refused {
        /// The name.
        name: Str,
        /// Their error.
        code: ErrorCode,
    },
    /// The deadline passed before the topic had a partition with a leader.
    #[error(transparent)]
    TimedOut(Box<TimedOut>),
    /// The client has been closed.
    #[error("the client has been closed")]
    Closed,
}

impl TopicError {
    /// Whether looking it up may succeed later without anybody changing anything.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::TimedOut(_))
    }
}

/// What an operation met on its way, for the error that may end it.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) spent: TimeSpent,
    pub(crate) attempts: u32,
    pub(crate) sent: bool,
    pub(crate) last_answer: Option<ErrorCode>,
    pub(crate) failures: Vec<BrokerFailure>,
}

impl Journal {
    /// Keeps the last failure of each address; but running out of time says less than a failure
    /// before it.
    pub(crate) fn failed(&mut self, address: &Address, cause: &milena_net::CallError) {
        self.sent |= cause.was_sent();
        let failure = BrokerFailure {
            address: address.clone(),
            cause: cause.clone(),
        };
        let vague = matches!(cause, milena_net::CallError::TimedOut { .. });
        match self.failures.iter_mut().find(|f| f.address == *address) {
            Some(_) if vague => {}
            Some(known) => *known = failure,
            None => self.failures.push(failure),
        }
    }

    pub(crate) fn timed_out(self, what: impl Into<String>, after: Duration) -> Box<TimedOut> {
        Box::new(TimedOut {
            what: what.into(),
            after,
            spent: self.spent,
            attempts: self.attempts,
            sent: self.sent,
            last_answer: self.last_answer,
            failures: self.failures,
        })
    }
}

fn list(f: &mut impl fmt::Write, failures: &[BrokerFailure]) -> fmt::Result {
    for failure in failures {
        write!(f, "; {failure}")?;
    }
    Ok(())
}

fn listed(failures: &[BrokerFailure]) -> String {
    let each: Vec<String> = failures.iter().map(ToString::to_string).collect();
    format!(": {}", each.join("; "))
}

fn because(cause: &Option<ErrorCode>) -> String {
    cause.map_or_else(String::new, |code| format!(": {code}"))
}

fn said(code: ErrorCode, message: &Option<Str>) -> String {
    match message {
        Some(message) if !message.is_empty() => format!("{code} (\"{message}\")"),
        _ => code.to_string(),
    }
}

fn meant(similar: &[Str]) -> String {
    match similar {
        [] => String::new(),
        names => format!(" (similar: {})", names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
