//! The name of a transaction that this or another process can still complete.

use std::fmt;
use std::str::FromStr;

use super::{Complete, Identity, Level};

/// What was decided when the token was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intent {
    /// A commit was sent, and may have been executed.
    Commit,
    /// The same, and at V1 a lost addition may have re-opened the transaction after the commit: that
    /// an abort succeeds would prove nothing.
    CommitOnly,
    /// An abort was asked for, so that it is not committed.
    Abort,
    /// Nothing: the transaction is prepared (KIP-939).
    Prepared,
}

/// A transaction whose end is unknown or outstanding. With the transactional id, which its user
/// keeps, it is all that is needed to complete it.
///
/// As text: `1:commit:2:4000:7`, which is the form's version, the intent, the level, the producer id
/// and the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The transaction's.
    pub identity: Identity,
    /// What was decided.
    pub intent: Intent,
    /// The transaction's.
    pub level: Level,
}

impl Token {
    /// Whether the transaction may be completed like that: what was to be aborted cannot be
    /// committed, and some that may be committed cannot be aborted.
    #[must_use]
    pub const fn allows(&self, complete: Complete) -> bool {
        !matches!(
            (self.intent, complete),
            (Intent::Abort, Complete::Commit) | (Intent::CommitOnly, Complete::Abort)
        )
    }

    /// Whether the transaction may be committed already.
    #[must_use]
    pub const fn may_be_committed(&self) -> bool {
        matches!(self.intent, Intent::Commit | Intent::CommitOnly)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let intent = match self.intent {
            Intent::Commit => "commit",
            Intent::CommitOnly => "commit-only",
            Intent::Abort => "abort",
            Intent::Prepared => "prepared",
        };
        let level = match self.level {
            Level::V1 => 1,
            Level::V2 => 2,
        };
        let Identity { producer_id, epoch } = self.identity;
        write!(f, "1:{intent}:{level}:{producer_id}:{epoch}")
    }
}

/// The text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a transaction's token; one looks like 1:commit:2:4000:7")]
pub struct ParseTokenError;

impl FromStr for Token {
    type Err = ParseTokenError;

    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or(ParseTokenError);
        if next()? != "1" {
            return Err(ParseTokenError);
        }
        let intent = match next()? {
            "commit" => Intent::Commit,
            "commit-only" => Intent::CommitOnly,
            "abort" => Intent::Abort,
            "prepared" => Intent::Prepared,
            _ => return Err(ParseTokenError),
        };
        let level = match next()? {
            "1" => Level::V1,
            "2" => Level::V2,
            _ => return Err(ParseTokenError),
        };
        let producer_id: i64 = next()?.parse().map_err(|_| ParseTokenError)?;
        let epoch: i16 = next()?.parse().map_err(|_| ParseTokenError)?;
        let whole = parts.next().is_none() && producer_id >= 0 && epoch >= 0;
        whole
            .then_some(Self {
                identity: Identity { producer_id, epoch },
                intent,
                level,
            })
            .ok_or(ParseTokenError)
    }
}
