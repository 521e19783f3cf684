//! The SASL part of an opening: one handshake, then rounds of SaslAuthenticate.

use bytes::Bytes;
use milena_auth::{Mechanism, Secret};
use milena_codec::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use milena_codec::{ApiKey, ErrorCode, Message, Str, decode};

use super::super::{BrokerVersions, OpeningError, OpeningStage, WireError};
use super::Exchange;

/// Version 1 announces SaslAuthenticate frames (KIP-152); version 0, raw tokens on the socket, is
/// for brokers before 1.0.
pub(super) const HANDSHAKE_VERSION: i16 = 1;

/// More than any mechanism needs.
const MAX_ROUNDS: u8 = 16;

#[derive(Debug)]
pub(super) struct Sasl {
    name: &'static str,
    /// Away while a step is being taken.
    mechanism: Option<Box<dyn Mechanism>>,
    shaken: bool,
    rounds: u8,
    session_lifetime_ms: i64,
}

impl Sasl {
    pub(super) fn new(name: &'static str, mechanism: Box<dyn Mechanism>) -> Self {
        Self {
            name,
            mechanism: Some(mechanism),
            shaken: false,
            rounds: 0,
            session_lifetime_ms: 0,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn stage(&self) -> OpeningStage {
        if self.shaken {
            OpeningStage::SaslAuthenticate
        } else {
            OpeningStage::SaslHandshake
        }
    }

    pub(super) fn session_lifetime_ms(&self) -> Option<u64> {
        u64::try_from(self.session_lifetime_ms)
            .ok()
            .filter(|lifetime| *lifetime > 0)
    }

    pub(super) fn handshake(
        &self,
        versions: &BrokerVersions,
    ) -> Result<SaslHandshakeRequest, OpeningError> {
        let offered = versions.range(ApiKey::SaslHandshake);
        if !offered.is_some_and(|range| range.contains(HANDSHAKE_VERSION)) {
            return Err(OpeningError::NoSasl);
        }
        Ok(SaslHandshakeRequest {
            mechanism: Str::from_static(self.name),
        })
    }

    /// The next message of the mechanism.
    pub(super) fn authenticate(
        &mut self,
        mechanism: Box<dyn Mechanism>,
        message: &Secret,
    ) -> Result<SaslAuthenticateRequest, OpeningError> {
        self.mechanism = Some(mechanism);
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds > MAX_ROUNDS {
            return Err(OpeningError::TooManyRounds {
                mechanism: self.name,
                rounds: MAX_ROUNDS,
            });
        }
        Ok(SaslAuthenticateRequest {
            auth_bytes: Bytes::copy_from_slice(message.expose()),
            ..SaslAuthenticateRequest::default()
        })
    }

    /// Takes an answer to the handshake or to a message.
    pub(super) fn handle_answer(
        &mut self,
        body: Bytes,
        version: i16,
    ) -> Result<Exchange, OpeningError> {
        let challenge = if self.shaken {
            Some(self.read_challenge(body, version)?)
        } else {
            self.read_handshake(body)?;
            self.shaken = true;
            None
        };
        match self.mechanism.take() {
            Some(mechanism) => Ok(Exchange {
                mechanism,
                challenge,
            }),
            None => Err(self.wire(WireError::Unexpected)),
        }
    }

    fn read_handshake(&self, body: Bytes) -> Result<(), OpeningError> {
        let answer: SaslHandshakeResponse = self.decode(body, HANDSHAKE_VERSION)?;
        match ErrorCode::from(answer.error_code) {
            ErrorCode::None => Ok(()),
            ErrorCode::UnsupportedSaslMechanism => Err(OpeningError::MechanismNotOffered {
                mechanism: self.name,
                offered: answer
                    .mechanisms
                    .iter()
                    .map(|name| printable(name))
                    .collect(),
            }),
            error => Err(OpeningError::HandshakeRefused {
                mechanism: self.name,
                error,
            }),
        }
    }

    fn read_challenge(&mut self, body: Bytes, version: i16) -> Result<Bytes, OpeningError> {
        let answer: SaslAuthenticateResponse = self.decode(body, version)?;
        match ErrorCode::from(answer.error_code) {
            ErrorCode::None => {
                self.session_lifetime_ms = answer.session_lifetime_ms;
                Ok(answer.auth_bytes)
            }
            error => {
                let reason = answer.error_message.filter(|reason| !reason.is_empty());
                Err(OpeningError::Denied {
                    mechanism: self.name,
                    error,
                    reason: printable(reason.as_deref().unwrap_or(error.meaning())),
                })
            }
        }
    }

    fn decode<M: Message>(&self, body: Bytes, version: i16) -> Result<M, OpeningError> {
        decode(body, version).map_err(|error| self.wire(error.into()))
    }

    fn wire(&self, error: WireError) -> OpeningError {
        OpeningError::Wire {
            stage: self.stage(),
            error,
        }
    }
}

/// A peer's words without control characters, cut to a length fit for an error message.
fn printable(text: &str) -> String {
    const LONGEST: usize = 300;
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(LONGEST).map(shown).collect()
}
