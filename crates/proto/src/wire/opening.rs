//! From the first byte to the first request of the user: ApiVersions, then SASL.

mod sasl;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use milena_auth::{AuthError, Credentials, Mechanism, Nonce, Step};
use milena_codec::frame::{self, Frame};
use milena_codec::messages::{ApiVersionsRequest, ApiVersionsResponse};
use milena_codec::{ApiKey, EncodeError, ErrorCode, Request, Str, decode};

use self::sasl::Sasl;
use super::error::ApiKeyName;
use super::{BrokerVersions, OpeningError, WireError};

/// How the client introduces itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientIdentity {
    /// `client.id`: in every request's header, for quotas and logs.
    pub client_id: Option<Str>,
    /// The library's name (KIP-511).
    pub software_name: Str,
    /// The library's version (KIP-511).
    pub software_version: Str,
}

/// Where in the opening something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpeningStage {
    /// Asking for the broker's versions.
    ApiVersions,
    /// Agreeing on a SASL mechanism.
    SaslHandshake,
    /// Logging in.
    SaslAuthenticate,
}

impl fmt::Display for OpeningStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiVersions => ApiKey::ApiVersions.name(),
            Self::SaslHandshake => ApiKey::SaslHandshake.name(),
            Self::SaslAuthenticate => ApiKey::SaslAuthenticate.name(),
        })
    }
}

/// What the driver has to do next.
#[derive(Debug)]
pub enum Action {
    /// Send this, then pass the answer to [`Opening::handle_frame`].
    Send(Frame),
    /// Run this, elsewhere if it is heavy, and pass what comes out to
    /// [`Opening::handle_stepped`].
    Step(Exchange),
    /// The connection is ready for a [`Pipeline`](super::Pipeline).
    Done(Opened),
}

/// What opening has found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What the broker can do.
    pub versions: Arc<BrokerVersions>,
    /// The first correlation id that has not been used.
    pub next_id: i32,
    /// How long the login lasts, in milliseconds (KIP-368); `None` if it does not end.
    pub session_lifetime_ms: Option<u64>,
}

/// One step of a SASL mechanism, with all that it needs.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Box<dyn Mechanism>,
    challenge: Option<Bytes>,
}

impl Exchange {
    /// Whether [`run`](Self::run) takes milliseconds of CPU.
    pub fn is_heavy(&self) -> bool {
        self.mechanism.is_heavy(self.challenge.as_deref())
    }

    /// Takes the step.
    pub fn run(mut self) -> Stepped {
        let result = self.mechanism.step(self.challenge.as_deref());
        Stepped {
            mechanism: self.mechanism,
            result,
        }
    }
}

/// The result of an [`Exchange`].
#[derive(Debug)]
pub struct Stepped {
    mechanism: Box<dyn Mechanism>,
    result: Result<Step, AuthError>,
}

/// The state machine of an opening. Begin with [`Opening::start`], do what each [`Action`] says;
/// the first error ends it and the connection.
#[derive(Debug)]
pub struct Opening {
    identity: ClientIdentity,
    next_id: i32,
    sasl: Option<Sasl>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// ApiVersions in this version is unanswered; `retried` after one was refused.
    Versions {
        version: i16,
        retried: bool,
    },
    Sasl(Arc<BrokerVersions>),
    Ended,
}

impl Opening {
    /// An opening that logs in with `credentials`, if there are any. The nonce is for them.
    pub fn new(identity: ClientIdentity, credentials: Option<(&dyn Credentials, Nonce)>) -> Self {
        Self {
            identity,
            next_id: 0,
            sasl: credentials.map(|(credentials, nonce)| {
                Sasl::new(credentials.mechanism_name(), credentials.start(nonce))
            }),
            state: State::Versions {
                version: ApiKey::ApiVersions.stable_versions().max,
                retried: false,
            },
        }
    }

    /// Where the opening stands.
    pub fn stage(&self) -> OpeningStage {
        match (&self.state, &self.sasl) {
            (State::Sasl(_), Some(sasl)) => sasl.stage(),
            _ => OpeningStage::ApiVersions,
        }
    }

    /// The first thing to do.
    pub fn start(&mut self) -> Result<Action, OpeningError> {
        let version = match self.state {
            State::Versions { version, .. } => version,
            _ => ApiKey::ApiVersions.stable_versions().min,
        };
        self.ask_versions(version)
    }

    /// Takes the answer to what was sent last.
    pub fn handle_frame(&mut self, frame: Bytes) -> Result<Action, OpeningError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Versions { version, retried } => self.handle_versions(frame, version, retried),
            State::Sasl(versions) => self.handle_sasl(frame, versions),
            State::Ended => Err(self.wire(WireError::Unexpected)),
        }
    }

    /// Takes the result of a step.
    pub fn handle_stepped(&mut self, stepped: Stepped) -> Result<Action, OpeningError> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let (State::Sasl(versions), Some(mut sasl)) = (state, self.sasl.take()) else {
            return Err(self.wire(WireError::Unexpected));
        };
        let failed = |error| OpeningError::Auth {
            mechanism: sasl.name(),
            error,
        };
        let Step::Send(message) = stepped.result.map_err(failed)? else {
            return Ok(Action::Done(Opened {
                versions,
                next_id: self.next_id,
                session_lifetime_ms: sasl.session_lifetime_ms(),
            }));
        };
        let request = sasl.authenticate(stepped.mechanism, &message)?;
        let version = authenticate_version(&versions).ok_or(OpeningError::NoSasl)?;
        self.state = State::Sasl(versions);
        self.sasl = Some(sasl);
        self.send(&request, version)
    }

    fn ask_versions(&mut self, version: i16) -> Result<Action, OpeningError> {
        let request = ApiVersionsRequest {
            client_software_name: self.identity.software_name.clone(),
            client_software_version: self.identity.software_version.clone(),
            ..ApiVersionsRequest::default()
        };
        self.send(&request, version)
    }

    fn handle_versions(
        &mut self,
        frame: Bytes,
        version: i16,
        retried: bool,
    ) -> Result<Action, OpeningError> {
        let body = self.body(frame, ApiKey::ApiVersions, version)?;
        let answer = self.read_versions(body, version)?;
        match ErrorCode::from(answer.error_code) {
            ErrorCode::None => self.negotiated(answer.into()),
            error @ ErrorCode::UnsupportedVersion if retried || version == 0 => {
                Err(OpeningError::NoCommonVersion { error }) // I2
            }
            error @ ErrorCode::UnsupportedVersion => {
                let lower = Self::version_to_retry(&answer.into(), version)
                    .ok_or(OpeningError::NoCommonVersion { error })?;
                self.state = State::Versions {
                    version: lower,
                    retried: true,
                };
                self.ask_versions(lower)
            }
            error => Err(OpeningError::Refused { error }),
        }
    }

    /// The answer to ApiVersions; a broker that does not know the version answers in version 0.
    fn read_versions(
        &self,
        body: Bytes,
        version: i16,
    ) -> Result<ApiVersionsResponse, OpeningError> {
        let unsupported = ErrorCode::UnsupportedVersion.code().to_be_bytes();
        let version = if body.starts_with(&unsupported) {
            0
        } else {
            version
        };
        decode(body, version).map_err(|error| self.wire(error.into()))
    }

    /// The version to ask in after `refused`, given what the refusal lists: Kafka before 2.4
    /// lists nothing and takes version 0.
    fn version_to_retry(listed: &BrokerVersions, refused: i16) -> Option<i16> {
        let mut ours = ApiKey::ApiVersions.stable_versions();
        ours.max = ours.max.min(refused.saturating_sub(1));
        match listed.range(ApiKey::ApiVersions) {
            Some(range) => Some(range.intersect(ours)?.max),
            None => Some(ours.min),
        }
    }

    fn negotiated(&mut self, versions: BrokerVersions) -> Result<Action, OpeningError> {
        let versions = Arc::new(versions);
        let Some(sasl) = &mut self.sasl else {
            return Ok(Action::Done(Opened {
                versions,
                next_id: self.next_id,
                session_lifetime_ms: None,
            }));
        };
        let request = sasl.handshake(&versions)?;
        self.state = State::Sasl(versions);
        self.send(&request, sasl::HANDSHAKE_VERSION)
    }

    fn handle_sasl(
        &mut self,
        frame: Bytes,
        versions: Arc<BrokerVersions>,
    ) -> Result<Action, OpeningError> {
        let stage = self.sasl.as_ref().map(Sasl::stage);
        let (key, version) = match stage {
            Some(OpeningStage::SaslAuthenticate) => (
                ApiKey::SaslAuthenticate,
                authenticate_version(&versions).ok_or(OpeningError::NoSasl)?,
            ),
            _ => (ApiKey::SaslHandshake, sasl::HANDSHAKE_VERSION),
        };
        self.state = State::Sasl(versions);
        let body = self.body(frame, key, version)?;
        let Some(sasl) = &mut self.sasl else {
            return Err(OpeningError::NoSasl);
        };
        sasl.handle_answer(body, version).map(Action::Step)
    }

    fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<Action, OpeningError> {
        let client_id = self.identity.client_id.clone();
        let frame = frame::request(request, version, self.next_id, client_id)
            .map_err(|error| encode_failed::<R>(error, self.stage()))?;
        self.next_id = self.next_id.saturating_add(1);
        Ok(Action::Send(frame))
    }

    /// Checks the correlation id of the only answer that can come.
    fn body(&self, frame: Bytes, key: ApiKey, version: i16) -> Result<Bytes, OpeningError> {
        let expected = self.next_id.saturating_sub(1);
        match frame::read_response(frame, key, version) {
            Ok((found, body)) if found == expected => Ok(body),
            Ok((found, _)) => Err(self.wire(WireError::Correlation {
                api: ApiKeyName(key),
                expected,
                found,
            })),
            Err(error) => Err(self.wire(error.into())),
        }
    }

    fn wire(&self, error: WireError) -> OpeningError {
        OpeningError::Wire {
            stage: self.stage(),
            error,
        }
    }
}

fn authenticate_version(versions: &BrokerVersions) -> Option<i16> {
    let key = ApiKey::SaslAuthenticate;
    versions.newest(key, key.stable_versions())
}

/// Only an over-long client id or SASL message cannot be encoded.
fn encode_failed<R: Request>(error: EncodeError, stage: OpeningStage) -> OpeningError {
    OpeningError::Encode {
        stage,
        message: R::NAME,
        error,
    }
}

#[cfg(test)]
mod tests;
