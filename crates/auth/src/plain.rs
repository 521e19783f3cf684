//! SASL PLAIN (RFC 4616), the client's side.
//!
//! The password travels readable, so the listener should be TLS.

use crate::{AuthError, Credentials, Mechanism, Nonce, Secret, Step};

pub(crate) const PLAIN: &str = "PLAIN";

/// A user name and password for PLAIN.
#[derive(Debug, Clone)]
pub struct PlainCredentials {
    user: String,
    password: Secret,
}

impl PlainCredentials {
    /// Checks what PLAIN can carry.
    ///
    /// # Errors
    ///
    /// [`AuthError::InvalidCredentials`] if either is empty or contains a NUL byte.
    pub fn new(user: impl Into<String>, password: impl Into<Secret>) -> Result<Self, AuthError> {
        let (user, password) = (user.into(), password.into());
        let problem = if user.is_empty() {
            "the user name is empty"
        } else if password.expose().is_empty() {
            "the password is empty"
        } else if user.as_bytes().contains(&0) {
            "the user name contains a NUL, which PLAIN uses as its separator"
        } else if password.expose().contains(&0) {
            "the password contains a NUL, which PLAIN uses as its separator"
        } else {
            return Ok(Self { user, password });
        };
        Err(AuthError::InvalidCredentials {
            mechanism: PLAIN,
            problem,
        })
    }
}

impl Credentials for PlainCredentials {
    fn mechanism_name(&self) -> &'static str {
        PLAIN
    }

    fn start(&self, _nonce: Nonce) -> Box<dyn Mechanism> {
        Box::new(PlainClient::Start(Secret::concat(&[
            b"\0",
            self.user.as_bytes(),
            b"\0",
            self.password.expose(),
        ])))
    }
}

#[derive(Debug)]
enum PlainClient {
    Start(Secret),
    Sent,
    Ended,
}

impl Mechanism for PlainClient {
    fn name(&self) -> &'static str {
        PLAIN
    }

    fn step(&mut self, challenge: Option<&[u8]>) -> Result<Step, AuthError> {
        let state = std::mem::replace(self, Self::Ended); // I3
        match (state, challenge) {
            (Self::Start(message), None | Some([])) => {
                *self = Self::Sent;
                Ok(Step::Send(message))
            }
            (Self::Sent, Some([])) => Ok(Step::Done),
            (Self::Sent, Some(_)) => Err(AuthError::Malformed {
                mechanism: PLAIN,
                message: "closing",
                problem: "it should be empty",
            }),
            _ => Err(AuthError::OutOfTurn { mechanism: PLAIN }),
        }
    }
}

#[cfg(test)]
mod tests;
