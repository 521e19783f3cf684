//! Why an operation, or its part for one item, failed.

use std::fmt;

use milena_codec::{ErrorCode, Str};
use milena_rpc::CallError;
use thiserror::Error;

/// Why a whole operation failed: nothing is known about any item.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The cluster could not be asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The brokers are too old to choose the number of partitions or replicas (KIP-464, 2.4).
    #[error(
        "the brokers cannot choose for topic {topic}; set its number of partitions and its \
         replication factor"
    )]
    DefaultsUnsupported {
        /// The first topic that leaves it to them.
        topic: Str,
    },
}

/// Why an operation failed for one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemError {
    /// What the item is, such as "topic".
    pub kind: &'static str,
    /// Its name.
    pub name: Str,
    /// The broker's error.
    pub code: ErrorCode,
    /// The broker's words, if it had any.
    pub message: Option<Str>,
}

impl std::error::Error for ItemError {}

impl ItemError {
    pub(crate) fn check(
        kind: &'static str,
        name: &Str,
        code: i16,
        message: Option<&Str>,
    ) -> Result<(), Self> {
        ErrorCode::from(code).check().map_err(|code| Self {
            kind,
            name: name.clone(),
            code,
            message: message.filter(|message| !message.is_empty()).cloned(),
        })
    }

    /// The answer says nothing about the item.
    pub(crate) fn unanswered(kind: &'static str, name: &Str) -> Self {
        Self {
            kind,
            name: name.clone(),
            code: ErrorCode::UnknownServerError,
            message: Some(Str::from_static("the broker's answer leaves it out")),
        }
    }

    /// Whether the same may succeed later without anybody changing anything.
    pub fn is_retriable(&self) -> bool {
        self.code.is_retriable()
    }
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.kind, self.name)?;
        match plain(self.code) {
            Some((what, fix)) => {
                f.write_str(what)?;
                self.quote(f)?;
                write!(f, "; {fix}")
            }
            None => {
                write!(f, "failed: {}", self.code)?;
                self.quote(f)
            }
        }
    }
}

impl ItemError {
    fn quote(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, " (\"{message}\")"),
            None => Ok(()),
        }
    }
}

/// What is wrong, and the fix, where a code says it clearly.
fn plain(code: ErrorCode) -> Option<(&'static str, &'static str)> {
    Some(match code {
        ErrorCode::TopicAlreadyExists => (
            "exists already",
            "use it, delete it first, or choose another name",
        ),
        ErrorCode::UnknownTopicOrPartition => ("does not exist", "check the name, or create it"),
        ErrorCode::InvalidTopicException => (
            "has a name that is not allowed",
            "use 1 to 249 letters, digits, '.', '_' and '-'",
        ),
        ErrorCode::InvalidPartitions => (
            "cannot have this number of partitions",
            "it must be positive, and can only grow",
        ),
        ErrorCode::InvalidReplicationFactor => (
            "cannot have this replication factor",
            "it must be positive and at most the number of brokers",
        ),
        ErrorCode::InvalidConfig => (
            "has a setting that is not valid",
            "check its configuration's names and values",
        ),
        ErrorCode::PolicyViolation => (
            "violates the cluster's policy",
            "ask who runs the cluster what is allowed",
        ),
        ErrorCode::TopicAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed => (
            "is not this user's to work on",
            "grant the user the operation",
        ),
        ErrorCode::TopicDeletionDisabled => (
            "cannot be deleted, the brokers forbid it",
            "set delete.topic.enable=true on them",
        ),
        ErrorCode::RequestTimedOut => (
            "was not finished in time, and may still be",
            "look whether it is before trying again",
        ),
        ErrorCode::ThrottlingQuotaExceeded => (
            "was refused for a quota on such changes",
            "try again later, or raise the quota",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
