//! SASL exchanges with a peer that says anything. The first byte chooses the mechanism and the
//! side; what follows is the peer's messages, each after its length in two bytes.
//!
//! Nonces and salts are fixed, so that a committed seed is a whole exchange.

use std::sync::LazyLock;

use milena_auth::server::{CredentialStore, PlainServer, ScramServer, ServerMechanism, ServerStep};
use milena_auth::{
    Credentials, Mechanism, Nonce, PlainCredentials, ScramCredential, ScramCredentials, ScramHash,
    Secret, Step,
};

use super::unpacked;
use crate::allocation;
use crate::dice::Dice;

/// The randomness of both sides' nonces.
const NONCE: [u8; 24] = [7; 24];

/// A side of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
    ScramClient(ScramHash),
    PlainClient,
    ScramServer(ScramHash),
    PlainServer,
}

impl Role {
    /// All sides; an input's first byte is an index.
    pub(crate) const ALL: [Self; 6] = [
        Self::ScramClient(ScramHash::Sha256),
        Self::ScramClient(ScramHash::Sha512),
        Self::PlainClient,
        Self::ScramServer(ScramHash::Sha256),
        Self::ScramServer(ScramHash::Sha512),
        Self::PlainServer,
    ];

    /// The client's side, or `None`.
    pub(crate) fn client(self) -> Option<Box<dyn Mechanism>> {
        let credentials: Box<dyn Credentials> = match self {
            Self::ScramClient(hash) => {
                Box::new(ScramCredentials::new(hash, "user", "pencil").expect("valid"))
            }
            Self::PlainClient => Box::new(PlainCredentials::new("user", "pencil").expect("valid")),
            Self::ScramServer(_) | Self::PlainServer => return None,
        };
        Some(credentials.start(Nonce::from_random(NONCE)))
    }

    /// The server's side, or `None`.
    pub(crate) fn server(self) -> Option<Box<dyn ServerMechanism>> {
        match self {
            Self::ScramServer(hash) => {
                Some(Box::new(ScramServer::new(hash, Nonce::from_random(NONCE))))
            }
            Self::PlainServer => Some(Box::new(PlainServer::new())),
            Self::ScramClient(_) | Self::PlainClient => None,
        }
    }
}

/// Both sides of PLAIN and SCRAM.
pub fn sasl(input: &[u8]) {
    let mut dice = Dice::new(input);
    let role = dice.one_of(&Role::ALL);
    let messages = unpacked(dice);
    let size = input.len();
    if let Some(mut client) = role.client() {
        within_limit(size, || talk_to_client(&mut *client, &messages));
    } else if let Some(mut server) = role.server() {
        let store = store();
        within_limit(size, || talk_to_server(&mut *server, store, &messages));
    }
}

fn within_limit(size: usize, talk: impl FnOnce()) {
    let ((), peak) = allocation::peak(talk);
    assert!(peak <= allocation::limit(size), "{peak} bytes allocated");
}

fn talk_to_client(client: &mut dyn Mechanism, messages: &[&[u8]]) {
    assert!(matches!(client.step(None), Ok(Step::Send(_))));
    for message in messages {
        if client.is_heavy(Some(message)) {
            return; // allowed, but a fuzzer has better things to do
        }
        if !matches!(client.step(Some(message)), Ok(Step::Send(_))) {
            assert!(client.step(Some(message)).is_err(), "the end is the end");
            return;
        }
    }
}

fn talk_to_server(
    server: &mut dyn ServerMechanism,
    store: &dyn CredentialStore,
    messages: &[&[u8]],
) {
    for message in messages {
        match server.step(message, store) {
            Ok(ServerStep::Continue(_)) => continue,
            Ok(ServerStep::Done { user, .. }) => assert_eq!(user, "user"),
            Err(_) => {}
        }
        assert!(server.step(message, store).is_err(), "the end is the end");
        return;
    }
}

/// Messages as an input has them.
pub(crate) fn packed(role: Role, messages: &[Vec<u8>]) -> Vec<u8> {
    let index = Role::ALL.iter().position(|other| *other == role);
    let mut input = vec![index.expect("every role is listed") as u8];
    input.extend(super::packed(messages));
    input
}

/// A broker that knows `user`, whose password is `pencil`.
pub(crate) fn store() -> &'static dyn CredentialStore {
    static STORE: LazyLock<Pencil> = LazyLock::new(|| {
        Pencil([ScramHash::Sha256, ScramHash::Sha512].map(|hash| {
            ScramCredential::derive(hash, &"pencil".into(), *b"salt of 16 bytes", 4096)
                .expect("the iterations are in range")
        }))
    });
    &*STORE
}

struct Pencil([ScramCredential; 2]);

impl CredentialStore for Pencil {
    fn plain_password(&self, user: &str) -> Option<Secret> {
        (user == "user").then(|| "pencil".into())
    }

    fn scram_credential(&self, hash: ScramHash, user: &str) -> Option<ScramCredential> {
        let mut known = self.0.iter().filter(|_| user == "user");
        known.find(|credential| credential.hash() == hash).cloned()
    }

    fn token_credential(
        &self,
        hash: ScramHash,
        token_id: &str,
    ) -> Option<(String, ScramCredential)> {
        let credential = self.scram_credential(hash, "user")?;
        (token_id == "token").then(|| ("user".to_owned(), credential))
    }
}
