//! Our client against `rsasl`'s server and its client against our server.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use milena_auth::server::{
    CredentialStore, PlainServer, ScramServer, ServerAuthError, ServerMechanism, ServerStep,
};
use milena_auth::{
    AuthError, Credentials, Nonce, PlainCredentials, ScramCredential, ScramCredentials, ScramHash,
    Secret, Step,
};
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanisms::scram::properties::ScramStoredPassword;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, SASLConfig, SASLServer, SessionError, State, Validation};
use rsasl::property::{AuthId, Password};
use rsasl::validate::{Validate, ValidationError};

const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

/// Stored key and server key of the password `pencil`, computed by Kafka 4.3.1.
const SHA_256_KEYS: (&str, &str) = (
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
);
const SHA_512_KEYS: (&str, &str) = (
    "6AAub3065EYRmyFpM2RNwqK+eGnrkYuEWbXn19LsEmBqzu8QaCXNc1FwpnX9NhH2hK/60dzj9DoO5DvVkOHbvg==",
    "jZHbYjC1aHh0/hKbxyBuGFjDrgjgKTT1esA7awWiKcRZ0o/0b1yWEebBeSVkkCFewf91nLDfKF24mvD5nmE6rA==",
);

struct Accepted;

impl Validation for Accepted {
    type Value = String;
}

/// `rsasl`'s user database: `user` with the password `pencil`.
struct Directory;

impl SessionCallback for Directory {
    fn callback(
        &self,
        session: &SessionData,
        context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        if context.get_ref::<AuthId>() == Some("user") {
            let (stored_key, server_key) = match session.mechanism().mechanism.as_str() {
                "SCRAM-SHA-512" => SHA_512_KEYS,
                _ => SHA_256_KEYS,
            };
            request.satisfy::<ScramStoredPassword<'_>>(&ScramStoredPassword::new(
                4_096,
                &decode(SALT),
                &decode(stored_key),
                &decode(server_key),
            ))?;
        }
        Ok(())
    }

    fn validate(
        &self,
        _session: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        let user = context.get_ref::<AuthId>().unwrap_or_default().to_owned();
        if context
            .get_ref::<Password>()
            .is_none_or(|password| password == b"pencil")
        {
            validate.with::<Accepted, _>(|| Ok(user))?;
        }
        Ok(())
    }
}

fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

/// Our client, their server: whom the server accepted.
fn log_in_to_rsasl(credentials: &dyn Credentials) -> Result<Option<String>, AuthError> {
    let config = SASLConfig::builder()
        .with_defaults()
        .with_callback(Directory)
        .unwrap();
    let name = Mechname::parse(credentials.mechanism_name().as_bytes()).unwrap();
    let mut server = SASLServer::<Accepted>::new(config)
        .start_suggested(name)
        .unwrap();
    let mut client = credentials.start(Nonce::from_random([3; 24]));
    let mut step = client.step(None)?;
    loop {
        let Step::Send(message) = step else {
            return Ok(server.validation());
        };
        let mut answer = Vec::new();
        if server.step(Some(message.expose()), &mut answer).is_err() {
            return Ok(None);
        }
        step = client.step(Some(&answer))?;
    }
}

struct Pencil;

impl CredentialStore for Pencil {
    fn plain_password(&self, user: &str) -> Option<Secret> {
        (user == "user").then(|| "pencil".into())
    }

    fn scram_credential(&self, hash: ScramHash, user: &str) -> Option<ScramCredential> {
        let derive = || ScramCredential::derive(hash, &"pencil".into(), decode(SALT), 4_096);
        (user == "user").then(|| derive().unwrap())
    }
}

/// Their client, our server: whom our server accepted, checked by both sides.
fn log_in_to_us(
    server: &mut dyn ServerMechanism,
    user: &str,
    password: &str,
) -> Result<String, ServerAuthError> {
    let config: Arc<SASLConfig> =
        SASLConfig::with_credentials(None, user.to_owned(), password.to_owned()).unwrap();
    let name = Mechname::parse(server.name().as_bytes()).unwrap();
    let mut client = SASLClient::new(config).start_suggested(&[name]).unwrap();
    let mut challenge: Option<Vec<u8>> = None;
    loop {
        let mut message = Vec::new();
        client.step(challenge.as_deref(), &mut message).unwrap();
        match server.step(&message, &Pencil)? {
            ServerStep::Continue(answer) => challenge = Some(answer),
            ServerStep::Done { answer, user, .. } => {
                if !answer.is_empty() {
                    let end = client.step(Some(&answer), &mut Vec::new()).unwrap();
                    assert!(matches!(end, State::Finished(_)));
                }
                return Ok(user);
            }
        }
    }
}

#[test]
fn rsasls_server_accepts_our_client_and_our_client_accepts_it() {
    let accepted = Ok(Some("user".to_owned()));
    let plain = PlainCredentials::new("user", "pencil").unwrap();
    assert_eq!(log_in_to_rsasl(&plain), accepted);
    for hash in [ScramHash::Sha256, ScramHash::Sha512] {
        let scram = ScramCredentials::new(hash, "user", "pencil").unwrap();
        assert_eq!(log_in_to_rsasl(&scram), accepted);
    }
}

#[test]
fn rsasls_server_refuses_our_client_with_a_wrong_password() {
    let plain = PlainCredentials::new("user", "pencils").unwrap();
    assert_eq!(log_in_to_rsasl(&plain), Ok(None));
    for (user, password) in [("user", "pencils"), ("loser", "pencil")] {
        let scram = ScramCredentials::new(ScramHash::Sha256, user, password).unwrap();
        let error = log_in_to_rsasl(&scram).unwrap_err();
        assert!(matches!(error, AuthError::Refused { .. }), "{error:?}");
    }
}

#[test]
fn our_server_accepts_rsasls_client_and_refuses_a_wrong_password() {
    let servers: [fn() -> Box<dyn ServerMechanism>; 3] = [
        || Box::new(PlainServer::new()),
        || {
            Box::new(ScramServer::new(
                ScramHash::Sha256,
                Nonce::from_random([4; 24]),
            ))
        },
        || {
            Box::new(ScramServer::new(
                ScramHash::Sha512,
                Nonce::from_random([4; 24]),
            ))
        },
    ];
    for server in servers {
        assert_eq!(
            log_in_to_us(&mut *server(), "user", "pencil"),
            Ok("user".to_owned())
        );
        for (user, password) in [("user", "pencils"), ("loser", "pencil")] {
            let error = log_in_to_us(&mut *server(), user, password).unwrap_err();
            assert!(matches!(error, ServerAuthError::InvalidCredentials { .. }));
        }
    }
}
