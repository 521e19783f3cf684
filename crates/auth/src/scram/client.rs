//! The client's side of SCRAM.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::message::{self, Flaw, GS2_HEADER, ServerFinal, ServerFirst};
use super::{HEAVY_ITERATIONS, ScramHash, xor};
use crate::{AuthError, Credentials, Mechanism, Nonce, Secret, Step};

const MAX_REASON_LEN: usize = 200;

/// A user name and password, or a delegation token, for SCRAM.
#[derive(Debug, Clone)]
pub struct ScramCredentials {
    hash: ScramHash,
    user: String,
    password: Secret,
    token_auth: bool,
}

impl ScramCredentials {
    /// Logs in as a user. Neither string is normalised, as Kafka normalises neither; its brokers
    /// accept only ASCII user names under SCRAM.
    ///
    /// # Errors
    ///
    /// [`AuthError::InvalidCredentials`] if either is empty or the user name contains a NUL byte.
    pub fn new(
        hash: ScramHash,
        user: impl Into<String>,
        password: impl Into<Secret>,
    ) -> Result<Self, AuthError> {
        let (user, password) = (user.into(), password.into());
        let problem = if user.is_empty() {
            "the user name is empty"
        } else if password.expose().is_empty() {
            "the password is empty"
        } else if user.as_bytes().contains(&0) {
            "the user name contains a NUL"
        } else {
            return Ok(Self {
                hash,
                user,
                password,
                token_auth: false,
            });
        };
        Err(AuthError::InvalidCredentials {
            mechanism: hash.mechanism_name(),
            problem,
        })
    }

    /// Logs in as the owner of a delegation token (KIP-48), by the token's id and its HMAC in
    /// base64, as Kafka's tools print it.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn delegation_token(
        hash: ScramHash,
        token_id: impl Into<String>,
        hmac: impl Into<Secret>,
    ) -> Result<Self, AuthError> {
        Ok(Self {
            token_auth: true,
            ..Self::new(hash, token_id, hmac)?
        })
    }
}

impl Credentials for ScramCredentials {
    fn mechanism_name(&self) -> &'static str {
        self.hash.mechanism_name()
    }

    fn start(&self, nonce: Nonce) -> Box<dyn Mechanism> {
        Box::new(ScramClient {
            credentials: self.clone(),
            nonce,
            state: State::Start,
        })
    }
}

#[derive(Debug)]
struct ScramClient {
    credentials: ScramCredentials,
    nonce: Nonce,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    AwaitingFirst { client_first_bare: String },
    AwaitingFinal { server_signature: Secret },
    Ended,
}

impl Mechanism for ScramClient {
    fn name(&self) -> &'static str {
        self.credentials.mechanism_name()
    }

    fn step(&mut self, challenge: Option<&[u8]>) -> Result<Step, AuthError> {
        let state = std::mem::replace(&mut self.state, State::Ended); // I3
        match (state, challenge) {
            (State::Start, None | Some([])) => Ok(self.client_first()),
            (State::AwaitingFirst { client_first_bare }, Some(server_first)) => {
                self.client_final(&client_first_bare, server_first)
            }
            (State::AwaitingFinal { server_signature }, Some(server_final)) => {
                self.verify(&server_signature, server_final)
            }
            _ => Err(AuthError::OutOfTurn {
                mechanism: self.name(),
            }),
        }
    }

    fn is_heavy(&self, challenge: Option<&[u8]>) -> bool {
        let (State::AwaitingFirst { .. }, Some(bytes)) = (&self.state, challenge) else {
            return false;
        };
        message::text(bytes)
            .and_then(ServerFirst::parse)
            .is_ok_and(|first| first.iterations > HEAVY_ITERATIONS)
    }
}

impl ScramClient {
    fn client_first(&mut self) -> Step {
        let user = message::escape(&self.credentials.user);
        let mut bare = format!("n={user},r={}", self.nonce.as_str());
        if self.credentials.token_auth {
            bare.push_str(",tokenauth=true");
        }
        let first = format!("{GS2_HEADER}{bare}");
        self.state = State::AwaitingFirst {
            client_first_bare: bare,
        };
        Step::Send(first.into())
    }

    fn client_final(&mut self, first_bare: &str, server_first: &[u8]) -> Result<Step, AuthError> {
        let server_first = self.read("server-first", message::text(server_first))?;
        let first = self.read("server-first", ServerFirst::parse(server_first))?;
        let added = first.nonce.strip_prefix(self.nonce.as_str());
        if added.is_none_or(str::is_empty) {
            return Err(AuthError::NonceNotExtended {
                mechanism: self.name(),
            });
        }
        let ScramCredentials { hash, password, .. } = &self.credentials;
        let salted = hash.salted_password(password, &first.salt, first.iterations)?;

        let without_proof = format!("c={},r={}", STANDARD.encode(GS2_HEADER), first.nonce);
        let auth_message = format!("{first_bare},{server_first},{without_proof}");
        let client_key = hash.client_key(&salted);
        let signature = hash.hmac(&hash.digest(&client_key), auth_message.as_bytes());
        let proof = STANDARD.encode(xor(&client_key, &signature).expose());

        let server_signature = hash.hmac(&hash.server_key(&salted), auth_message.as_bytes());
        self.state = State::AwaitingFinal { server_signature };
        Ok(Step::Send(format!("{without_proof},p={proof}").into()))
    }

    fn verify(&self, expected: &Secret, server_final: &[u8]) -> Result<Step, AuthError> {
        let server_final = self.read("server-final", message::text(server_final))?;
        let mechanism = self.name();
        match self.read("server-final", ServerFinal::parse(server_final))? {
            ServerFinal::Signature(found) if found == *expected => Ok(Step::Done),
            ServerFinal::Signature(_) => Err(AuthError::ServerNotAuthentic { mechanism }),
            ServerFinal::Error(reason) => Err(AuthError::Refused {
                mechanism,
                reason: reason
                    .chars()
                    .take(MAX_REASON_LEN)
                    .map(|c| {
                        if c == ' ' || c.is_ascii_graphic() {
                            c
                        } else {
                            '?'
                        }
                    })
                    .collect(),
            }),
        }
    }

    fn read<T>(&self, message: &'static str, parsed: Result<T, Flaw>) -> Result<T, AuthError> {
        let mechanism = self.name();
        parsed.map_err(|flaw| match flaw {
            Flaw::Malformed(problem) => AuthError::Malformed {
                mechanism,
                message,
                problem,
            },
            Flaw::MandatoryExtension => AuthError::MandatoryExtension { mechanism },
        })
    }
}
