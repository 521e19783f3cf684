//! The broker's side of PLAIN.

use super::{CredentialStore, ServerAuthError, ServerMechanism, ServerStep};
use crate::Secret;
use crate::plain::PLAIN as MECHANISM;

/// One PLAIN exchange, seen from the broker.
#[derive(Debug, Default)]
pub struct PlainServer {
    ended: bool,
}

impl PlainServer {
    /// Awaits the client's only message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl ServerMechanism for PlainServer {
    fn name(&self) -> &'static str {
        MECHANISM
    }

    fn step(
        &mut self,
        response: &[u8],
        store: &dyn CredentialStore,
    ) -> Result<ServerStep, ServerAuthError> {
        if std::mem::replace(&mut self.ended, true) {
            return Err(ServerAuthError::OutOfTurn {
                mechanism: MECHANISM,
            });
        }
        let (authorization_id, user, password) = parse(response)?;
        if !authorization_id.is_empty() && authorization_id != user {
            return Err(ServerAuthError::ForeignAuthorizationId {
                mechanism: MECHANISM,
            });
        }
        if store.plain_password(user) != Some(Secret::from(password)) {
            return Err(ServerAuthError::InvalidCredentials {
                mechanism: MECHANISM,
            });
        }
        Ok(ServerStep::Done {
            answer: Vec::new(),
            user: user.to_owned(),
            token_auth: false,
        })
    }
}

fn parse(response: &[u8]) -> Result<(&str, &str, &str), ServerAuthError> {
    let malformed = |problem| ServerAuthError::Malformed {
        mechanism: MECHANISM,
        problem,
    };
    let text = std::str::from_utf8(response).map_err(|_| malformed("it is not UTF-8"))?;
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (_, Some(""), ..) => Err(malformed("the user name is empty")),
        (_, _, Some(""), _) => Err(malformed("the password is empty")),
        (Some(id), Some(user), Some(password), None) => Ok((id, user, password)),
        _ => Err(malformed("it does not have exactly three parts")),
    }
}
