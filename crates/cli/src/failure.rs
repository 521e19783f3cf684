//! What a command ends with.

use std::fmt;
use std::process::ExitCode;

use milena::{ConnectError, TopicError};

/// How a command that did not simply succeed ended. The codes are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It failed, or did only a part.
    Failed = 1,
    /// The command line or a setting is wrong.
    Usage = 2,
    /// The broker does not let us: authentication or authorisation.
    Refused = 3,
    /// Nothing answered in time.
    Unreachable = 4,
    /// It was interrupted; what had been accepted was flushed.
    Interrupted = 130,
}

/// An error to print and the code to end with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub exit: Exit,
    pub message: String,
    /// What else must be said, such as how much was done before.
    pub more: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
            more: Vec::new(),
        }
    }

    /// A failure of the command itself.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// A wrong command line or setting.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Also says this.
    pub(crate) fn and(mut self, more: impl Into<String>) -> Self {
        self.more.push(more.into());
        self
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl From<&TopicError> for Exit {
    fn from(error: &TopicError) -> Self {
        match error {
            TopicError::NotAuthorized { .. } => Self::Refused,
            TopicError::TimedOut(_) => Self::Unreachable,
            _ => Self::Failed,
        }
    }
}

impl From<TopicError> for Failure {
    fn from(error: TopicError) -> Self {
        Self::new((&error).into(), error)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let exit = match &error {
            ConnectError::Cluster(cause) if cause.is_authentication() => Exit::Refused,
            ConnectError::Cluster(_) => Exit::Unreachable,
            _ => Exit::Usage,
        };
        Self::new(exit, error)
    }
}
