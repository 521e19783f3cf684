use super::*;
use crate::{Credentials, Nonce, PlainCredentials, ScramCredentials, Step};

const TOKEN_HMAC: &str = "aG1hYw==";

/// `alice` with the password `wonderland`, and a token `t1` that `alice` owns.
struct Alice;

impl CredentialStore for Alice {
    fn plain_password(&self, user: &str) -> Option<Secret> {
        (user == "alice").then(|| "wonderland".into())
    }

    fn scram_credential(&self, hash: ScramHash, user: &str) -> Option<ScramCredential> {
        (user == "alice" || user == "a=b,c").then(|| credential(hash, "wonderland"))
    }

    fn token_credential(
        &self,
        hash: ScramHash,
        token_id: &str,
    ) -> Option<(String, ScramCredential)> {
        (token_id == "t1").then(|| ("alice".to_owned(), credential(hash, TOKEN_HMAC)))
    }
}

/// Knows nobody.
struct Nobody;

impl CredentialStore for Nobody {}

fn credential(hash: ScramHash, password: &str) -> ScramCredential {
    ScramCredential::derive(hash, &password.into(), *b"0123456789abcdef", 4_096).unwrap()
}

fn scram_server(hash: ScramHash) -> ScramServer {
    ScramServer::new(hash, Nonce::from_random([9; 24]))
}

/// Plays the exchange to its end: who the server says it was, or why it refused.
fn play(
    credentials: &dyn Credentials,
    server: &mut dyn ServerMechanism,
) -> Result<(String, bool), ServerAuthError> {
    assert_eq!(credentials.mechanism_name(), server.name());
    let mut client = credentials.start(Nonce::from_random([1; 24]));
    let mut step = client.step(None).unwrap();
    loop {
        let Step::Send(message) = step else {
            panic!("the client was satisfied before the server");
        };
        match server.step(message.expose(), &Alice)? {
            ServerStep::Continue(answer) => step = client.step(Some(&answer)).unwrap(),
            ServerStep::Done {
                answer,
                user,
                token_auth,
            } => {
                assert!(matches!(client.step(Some(&answer)), Ok(Step::Done)));
                return Ok((user, token_auth));
            }
        }
    }
}

#[test]
fn our_client_logs_in_to_our_server() {
    let plain = PlainCredentials::new("alice", "wonderland").unwrap();
    assert_eq!(
        play(&plain, &mut PlainServer::new()),
        Ok(("alice".into(), false))
    );
    for hash in [ScramHash::Sha256, ScramHash::Sha512] {
        for user in ["alice", "a=b,c"] {
            let scram = ScramCredentials::new(hash, user, "wonderland").unwrap();
            assert_eq!(
                play(&scram, &mut scram_server(hash)),
                Ok((user.into(), false))
            );
        }
    }
}

#[test]
fn a_delegation_token_logs_in_as_its_owner() {
    let hash = ScramHash::Sha512;
    let token = ScramCredentials::delegation_token(hash, "t1", TOKEN_HMAC).unwrap();
    assert_eq!(
        play(&token, &mut scram_server(hash)),
        Ok(("alice".into(), true))
    );
}

#[test]
fn wrong_passwords_and_unknown_users_are_refused_alike() {
    let hash = ScramHash::Sha256;
    for (user, password) in [
        ("alice", "w0nderland"),
        ("bob", "wonderland"),
        ("t1", TOKEN_HMAC),
    ] {
        let plain = PlainCredentials::new(user, password).unwrap();
        let scram = ScramCredentials::new(hash, user, password).unwrap();
        let refused = |mechanism| Err(ServerAuthError::InvalidCredentials { mechanism });
        assert_eq!(play(&plain, &mut PlainServer::new()), refused("PLAIN"));
        assert_eq!(
            play(&scram, &mut scram_server(hash)),
            refused("SCRAM-SHA-256")
        );
    }
    let token = ScramCredentials::delegation_token(hash, "alice", "wonderland").unwrap();
    play(&token, &mut scram_server(hash)).unwrap_err();
}

#[test]
fn a_store_knows_nobody_unless_told() {
    let error = PlainServer::new()
        .step(b"\0alice\0wonderland", &Nobody)
        .unwrap_err();
    assert!(matches!(error, ServerAuthError::InvalidCredentials { .. }));
    for first in ["n,,n=alice,r=x", "n,,n=t1,r=x,tokenauth=true"] {
        let error = scram_server(ScramHash::Sha256).step(first.as_bytes(), &Nobody);
        assert!(matches!(
            error,
            Err(ServerAuthError::InvalidCredentials { .. })
        ));
    }
}

#[test]
fn malformed_plain_messages_are_refused() {
    for message in [
        &b""[..],
        b"alice",
        b"alice\0wonderland",
        b"\0\0wonderland",
        b"\0alice\0",
        b"\0alice\0wonder\0land",
        b"\0alice\0\xff",
    ] {
        let error = PlainServer::new().step(message, &Alice).unwrap_err();
        assert!(
            matches!(error, ServerAuthError::Malformed { .. }),
            "{message:?}"
        );
    }
}

#[test]
fn an_authorization_id_must_be_the_user_itself() {
    PlainServer::new()
        .step(b"alice\0alice\0wonderland", &Alice)
        .unwrap();
    let error = PlainServer::new()
        .step(b"root\0alice\0wonderland", &Alice)
        .unwrap_err();
    assert!(matches!(
        error,
        ServerAuthError::ForeignAuthorizationId { .. }
    ));

    let hash = ScramHash::Sha256;
    scram_server(hash)
        .step(b"n,a=alice,n=alice,r=x", &Alice)
        .unwrap();
    let error = scram_server(hash)
        .step(b"n,a=root,n=alice,r=x", &Alice)
        .unwrap_err();
    assert!(matches!(
        error,
        ServerAuthError::ForeignAuthorizationId { .. }
    ));
}

#[test]
fn malformed_client_first_messages_are_refused() {
    for message in [
        &b""[..],
        b"n",
        b"n,,",
        b"y,,n=alice,r=x",
        b"p=tls-unique,,n=alice,r=x",
        b"n,alice,n=alice,r=x",
        b"n,a=,n=alice,r=x",
        b"n,,r=x",
        b"n,,n=,r=x",
        b"n,,n=alice",
        b"n,,n=alice,r=",
        b"n,,n=al=ice,r=x",
        b"n,,n=al=2cice,r=x",
        b"n,,n=al\0ice,r=x",
        b"n,,n=al\xc3\xa9ice,r=x",
        b"n,,n=alice,r=x y",
        b"n,,n=alice,r=x,tokenauth",
        b"n,,n=alice,r=x,=true",
        b"n,,m=x,n=alice,r=x",
    ] {
        let error = scram_server(ScramHash::Sha256)
            .step(message, &Alice)
            .unwrap_err();
        assert!(
            matches!(error, ServerAuthError::Malformed { .. }),
            "{}: {error:?}",
            message.escape_ascii()
        );
    }
}

#[test]
fn a_client_final_message_must_belong_to_its_exchange() {
    let hash = ScramHash::Sha256;
    let credentials = ScramCredentials::new(hash, "alice", "wonderland").unwrap();
    let answer_to = |change: &dyn Fn(String) -> String| {
        let mut client = credentials.start(Nonce::from_random([1; 24]));
        let mut server = scram_server(hash);
        let Step::Send(first) = client.step(None).unwrap() else {
            panic!("the client speaks first");
        };
        let ServerStep::Continue(answer) = server.step(first.expose(), &Alice).unwrap() else {
            panic!("the server asks for a proof");
        };
        let Step::Send(last) = client.step(Some(&answer)).unwrap() else {
            panic!("the client sends a proof");
        };
        let last = change(String::from_utf8(last.expose().to_vec()).unwrap());
        let outcome = server.step(last.as_bytes(), &Alice);
        let again = server.step(last.as_bytes(), &Alice).unwrap_err();
        assert!(matches!(again, ServerAuthError::OutOfTurn { .. }));
        outcome
    };
    answer_to(&|last| last).unwrap();
    for (from, to) in [
        ("c=biws", "c=eSws"),
        ("c=biws", "c=!"),
        ("c=biws,", ""),
        (",r=", ",r=x"),
        (",r=", ",x="),
        (",p=", ",p=!"),
        (",p=", ",q="),
    ] {
        let error = answer_to(&|last| last.replacen(from, to, 1)).unwrap_err();
        assert!(
            matches!(error, ServerAuthError::Malformed { .. }),
            "{from} {to} {error:?}"
        );
    }
    let cut_proof = |last: String| last.split_once(",p=").unwrap().0.to_owned() + ",p=AAAA";
    let error = answer_to(&cut_proof).unwrap_err();
    assert!(matches!(error, ServerAuthError::InvalidCredentials { .. }));
}

#[test]
fn a_credential_of_another_mechanism_does_not_count() {
    struct Confused;
    impl CredentialStore for Confused {
        fn scram_credential(&self, _: ScramHash, _: &str) -> Option<ScramCredential> {
            Some(credential(ScramHash::Sha256, "wonderland"))
        }
    }
    let error = scram_server(ScramHash::Sha512)
        .step(b"n,,n=alice,r=x", &Confused)
        .unwrap_err();
    assert!(matches!(error, ServerAuthError::InvalidCredentials { .. }));
}
