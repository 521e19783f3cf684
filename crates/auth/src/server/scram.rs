//! The broker's side of SCRAM.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{CredentialStore, ServerAuthError, ServerMechanism, ServerStep};
use crate::scram::message::{self, ClientFinal, ClientFirst, Flaw};
use crate::{Nonce, ScramCredential, ScramHash};

/// One SCRAM exchange, seen from the broker.
#[derive(Debug)]
pub struct ScramServer {
    hash: ScramHash,
    nonce: Nonce,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    AwaitingFinal(Box<Pending>),
    Ended,
}

/// The exchange after the first round.
#[derive(Debug)]
struct Pending {
    user: String,
    token_auth: bool,
    credential: ScramCredential,
    gs2_header: String,
    nonce: String,
    /// `client-first-bare,server-first`.
    transcript: String,
}

impl ScramServer {
    /// Awaits the client's first message; the nonce must be new for every exchange.
    #[must_use]
    pub fn new(hash: ScramHash, nonce: Nonce) -> Self {
        Self {
            hash,
            nonce,
            state: State::Start,
        }
    }
}

impl ServerMechanism for ScramServer {
    fn name(&self) -> &'static str {
        self.hash.mechanism_name()
    }

    fn step(
        &mut self,
        response: &[u8],
        store: &dyn CredentialStore,
    ) -> Result<ServerStep, ServerAuthError> {
        let state = std::mem::replace(&mut self.state, State::Ended); // I3
        match state {
            State::Start => self.server_first(response, store),
            State::AwaitingFinal(pending) => self.server_final(*pending, response),
            State::Ended => Err(ServerAuthError::OutOfTurn {
                mechanism: self.name(),
            }),
        }
    }
}

impl ScramServer {
    fn server_first(
        &mut self,
        client_first: &[u8],
        store: &dyn CredentialStore,
    ) -> Result<ServerStep, ServerAuthError> {
        let mechanism = self.name();
        let text = self.read(message::text(client_first))?;
        let first = self.read(ClientFirst::parse(text))?;
        if first.authorization_id.is_some_and(|id| id != first.user) {
            return Err(ServerAuthError::ForeignAuthorizationId { mechanism });
        }
        let found = if first.token_auth {
            store.token_credential(self.hash, &first.user)
        } else {
            let credential = store.scram_credential(self.hash, &first.user);
            credential.map(|credential| (first.user, credential))
        };
        let (user, credential) = found
            .filter(|(_, credential)| credential.hash() == self.hash)
            .ok_or(ServerAuthError::InvalidCredentials { mechanism })?;

        let nonce = format!("{}{}", first.nonce, self.nonce.as_str());
        let server_first = credential.server_first(&nonce);
        self.state = State::AwaitingFinal(Box::new(Pending {
            user,
            token_auth: first.token_auth,
            credential,
            gs2_header: first.gs2_header.to_owned(),
            nonce,
            transcript: format!("{},{server_first}", first.bare),
        }));
        Ok(ServerStep::Continue(server_first.into_bytes()))
    }

    fn server_final(
        &self,
        pending: Pending,
        client_final: &[u8],
    ) -> Result<ServerStep, ServerAuthError> {
        let mechanism = self.name();
        let text = self.read(message::text(client_final))?;
        let last = self.read(ClientFinal::parse(text))?;
        if last.channel_binding != pending.gs2_header.as_bytes() {
            let problem = "its channel binding (c=) does not repeat the first message's header";
            return Err(ServerAuthError::Malformed { mechanism, problem });
        }
        if last.nonce != pending.nonce {
            let problem = "its nonce is not that of this exchange";
            return Err(ServerAuthError::Malformed { mechanism, problem });
        }
        let auth_message = format!("{},{}", pending.transcript, last.without_proof);
        let signature = pending
            .credential
            .verify(last.proof, auth_message.as_bytes())
            .ok_or(ServerAuthError::InvalidCredentials { mechanism })?;
        Ok(ServerStep::Done {
            answer: format!("v={}", STANDARD.encode(signature.expose())).into_bytes(),
            user: pending.user,
            token_auth: pending.token_auth,
        })
    }

    fn read<T>(&self, parsed: Result<T, Flaw>) -> Result<T, ServerAuthError> {
        parsed.map_err(|flaw| ServerAuthError::Malformed {
            mechanism: self.name(),
            problem: match flaw {
                Flaw::Malformed(problem) => problem,
                Flaw::MandatoryExtension => "it demands an unknown extension (m=)",
            },
        })
    }
}
