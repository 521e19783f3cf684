use super::*;
use crate::{Credentials, Mechanism, Nonce, Step};

/// Nonce, salt and SHA-256 exchange of RFC 7677; the other exchanges were made by Kafka 4.3.1's
/// own SCRAM classes from the same nonce and salt.
const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const FINAL_PREFIX: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=";
const RFC_SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn start(credentials: &ScramCredentials) -> Box<dyn Mechanism> {
    credentials.start(Nonce::fixed(CLIENT_NONCE))
}

fn pencil() -> ScramCredentials {
    ScramCredentials::new(ScramHash::Sha256, "user", "pencil").unwrap()
}

fn sent(step: Step) -> String {
    let Step::Send(message) = step else {
        panic!("the exchange ended early");
    };
    String::from_utf8(message.expose().to_vec()).unwrap()
}

fn answer_to_server_first(message: &str) -> Result<Step, AuthError> {
    let mut exchange = start(&pencil());
    exchange.step(None).unwrap();
    exchange.step(Some(message.as_bytes()))
}

fn answer_to_server_final(message: &str) -> Result<Step, AuthError> {
    let mut exchange = start(&pencil());
    exchange.step(None).unwrap();
    exchange.step(Some(SERVER_FIRST.as_bytes())).unwrap();
    exchange.step(Some(message.as_bytes()))
}

fn assert_exchange(credentials: &ScramCredentials, first: &str, proof: &str, signature: &str) {
    let mut exchange = start(credentials);
    assert_eq!(sent(exchange.step(None).unwrap()), first);
    let client_final = sent(exchange.step(Some(SERVER_FIRST.as_bytes())).unwrap());
    assert_eq!(client_final, format!("{FINAL_PREFIX}{proof}"));
    let end = exchange.step(Some(signature.as_bytes()));
    assert!(matches!(end, Ok(Step::Done)), "{end:?}");
}

#[test]
fn sha_256_follows_rfc_7677() {
    assert_exchange(
        &pencil(),
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        RFC_SIGNATURE,
    );
}

#[test]
fn sha_512_follows_kafka() {
    assert_exchange(
        &ScramCredentials::new(ScramHash::Sha512, "user", "pencil").unwrap(),
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
        "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
    );
}

#[test]
fn user_names_are_escaped_and_passwords_are_raw_utf_8_as_in_kafka() {
    assert_exchange(
        &ScramCredentials::new(ScramHash::Sha512, "a=b,c", "pass,w=rdé").unwrap(),
        "n,,n=a=3Db=2Cc,r=rOprNGfwEbeRWgbNEkqO",
        "NQ/1apzgU1yZHIj7JQzrxG2X5P5xnOFBnfZaLVImniG/Ayj0c45X0J6IYhiKi5wuaL6owYFUdYu7qKEAZ2F2Tg==",
        "v=5vHVHcaOm+aBbwcrJ+P5qWI5wvBXnYYFB09Pt1sIPj5SO934QPMAJdVTRm8IcRJj5cTgKCKvNPoI0nWEH9dhQw==",
    );
}

#[test]
fn a_delegation_token_announces_itself_as_in_kafka() {
    assert_exchange(
        &ScramCredentials::delegation_token(ScramHash::Sha256, "token-id", "aG1hYw==").unwrap(),
        "n,,n=token-id,r=rOprNGfwEbeRWgbNEkqO,tokenauth=true",
        "oGc4p4Xm+9qWuKS4+25nsptjeICYpxCKuQBTtO84rxk=",
        "v=0Z2kzTm6VBskPFSZo87fkp7lSd/9EZK+PJ/MR+8vdk4=",
    );
}

#[test]
fn credentials_derive_to_the_keys_kafka_stores() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    for (hash, stored_key, server_key) in [
        (
            ScramHash::Sha256,
            "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        ),
        (
            ScramHash::Sha512,
            "6AAub3065EYRmyFpM2RNwqK+eGnrkYuEWbXn19LsEmBqzu8QaCXNc1FwpnX9NhH2hK/60dzj9DoO5DvVkOHbvg==",
            "jZHbYjC1aHh0/hKbxyBuGFjDrgjgKTT1esA7awWiKcRZ0o/0b1yWEebBeSVkkCFewf91nLDfKF24mvD5nmE6rA==",
        ),
    ] {
        let password = Secret::from("pencil");
        let credential = ScramCredential::derive(hash, &password, salt.as_slice(), 4_096).unwrap();
        assert_eq!(STANDARD.encode(credential.stored_key.expose()), stored_key);
        assert_eq!(STANDARD.encode(credential.server_key.expose()), server_key);
        assert_eq!(credential.hash(), hash);
        assert_eq!(
            (credential.salt(), credential.iterations()),
            (&*salt, 4_096)
        );
    }
}

#[test]
fn a_wrong_server_signature_is_an_impostor() {
    for signature in [
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8=",
        "v=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==",
    ] {
        let error = answer_to_server_final(signature).unwrap_err();
        assert!(
            matches!(error, AuthError::ServerNotAuthentic { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn a_nonce_that_does_not_extend_ours_is_refused() {
    for nonce in [
        CLIENT_NONCE,
        "rOprNGfwEbeRWgbNEkqX-more",
        "other",
        "xrOprNGfwEbeRWgbNEkqOy",
    ] {
        let message = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let error = answer_to_server_first(&message).unwrap_err();
        assert!(
            matches!(error, AuthError::NonceNotExtended { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn iterations_outside_the_bounds_are_refused_before_any_hashing() {
    for (count, reported) in [
        ("0", 0),
        ("1", 1),
        ("4095", 4_095),
        ("1000001", 1_000_001),
        ("4294967295", u32::MAX),
        ("4294967296", u32::MAX),
        ("99999999999999999999999999", u32::MAX),
    ] {
        let error = answer_to_server_first(&format!("r={CLIENT_NONCE}x,s=AAAA,i={count}"));
        let expected = AuthError::IterationsOutOfRange {
            mechanism: "SCRAM-SHA-256",
            iterations: reported,
        };
        assert_eq!(error.unwrap_err(), expected);
    }
    let store = ScramCredential::derive(ScramHash::Sha256, &"x".into(), *b"salt", 4_095);
    assert!(matches!(store, Err(AuthError::IterationsOutOfRange { .. })));
}

#[test]
fn malformed_server_first_messages_are_refused() {
    let long = format!("r={CLIENT_NONCE}{},s=AAAA,i=4096", "x".repeat(8_192));
    for message in [
        "",
        ",",
        "garbage",
        "e=other-error",
        "s=AAAA,i=4096",
        "r=,s=AAAA,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx",
        "r=rOprNGfwEbeRWgbNEkqOx,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA",
        "r=rOprNGfwEbeRWgbNEkqOx,i=4096,s=AAAA",
        "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAA,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=!!!!,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=+4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=-1",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096x",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096,",
        "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096,ext",
        "r=rOprNGfwEbeRWgbNEkqO x,s=AAAA,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOé,s=AAAA,i=4096",
        &long,
    ] {
        let error = answer_to_server_first(message).unwrap_err();
        assert!(
            matches!(error, AuthError::Malformed { .. }),
            "{message}: {error:?}"
        );
    }
    let mut exchange = start(&pencil());
    exchange.step(None).unwrap();
    let error = exchange
        .step(Some(b"r=\xff\xfe,s=AAAA,i=4096"))
        .unwrap_err();
    assert!(matches!(error, AuthError::Malformed { .. }));
}

#[test]
fn a_mandatory_extension_is_refused_and_an_optional_one_ignored() {
    let mandatory = answer_to_server_first("m=ext,r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096");
    assert!(matches!(
        mandatory,
        Err(AuthError::MandatoryExtension { .. })
    ));
    answer_to_server_first(&format!("{SERVER_FIRST},ext=1")).unwrap();
    let end = answer_to_server_final(&format!("{RFC_SIGNATURE},ext=1"));
    assert!(matches!(end, Ok(Step::Done)));
}

#[test]
fn malformed_server_final_messages_are_refused() {
    for message in [
        "",
        "garbage",
        "v=!",
        "p=AAAA",
        "V=AAAA",
        "v=AAAA,ext",
        "e=no,v",
    ] {
        let error = answer_to_server_final(message).unwrap_err();
        assert!(
            matches!(error, AuthError::Malformed { .. }),
            "{message}: {error:?}"
        );
    }
}

#[test]
fn the_brokers_refusal_is_told_in_its_words_made_harmless() {
    let refusal = |message: &str| match answer_to_server_final(message) {
        Err(AuthError::Refused { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal("e=invalid-proof"), "invalid-proof");
    assert_eq!(refusal("e=\u{1b}[2Jé\n"), "?[2J??");
    assert_eq!(refusal(&format!("e={}", "x".repeat(5_000))).len(), 200);
}

#[test]
fn a_failed_or_finished_exchange_stays_so() {
    let out_of_turn = AuthError::OutOfTurn {
        mechanism: "SCRAM-SHA-256",
    };
    let mut failed = start(&pencil());
    failed.step(None).unwrap();
    failed.step(Some(b"garbage")).unwrap_err();
    assert_eq!(
        failed.step(Some(SERVER_FIRST.as_bytes())).unwrap_err(),
        out_of_turn
    );

    let mut silent = start(&pencil());
    silent.step(None).unwrap();
    assert_eq!(silent.step(None).unwrap_err(), out_of_turn);

    let mut unasked = start(&pencil());
    assert_eq!(unasked.step(Some(b"hello")).unwrap_err(), out_of_turn);
}

#[test]
fn every_cut_and_every_bit_flip_of_the_servers_messages_ends_in_an_error_or_a_step() {
    for cut in 0..SERVER_FIRST.len() {
        let _ = answer_to_server_first(&SERVER_FIRST[..cut]);
    }
    for cut in 0..RFC_SIGNATURE.len() {
        answer_to_server_final(&RFC_SIGNATURE[..cut]).unwrap_err();
    }
    for bit in 0..RFC_SIGNATURE.len() * 8 {
        let mut exchange = start(&pencil());
        exchange.step(None).unwrap();
        exchange.step(Some(SERVER_FIRST.as_bytes())).unwrap();
        let mut message = RFC_SIGNATURE.as_bytes().to_vec();
        message[bit / 8] ^= 1 << (bit % 8);
        exchange.step(Some(&message)).unwrap_err();
    }
}

#[test]
fn only_many_iterations_make_a_step_heavy() {
    let mut exchange = start(&pencil());
    let heavy = format!("r={CLIENT_NONCE}x,s=AAAA,i=16385");
    assert!(!exchange.is_heavy(None));
    assert!(!exchange.is_heavy(Some(heavy.as_bytes())));
    exchange.step(None).unwrap();
    assert!(!exchange.is_heavy(Some(SERVER_FIRST.as_bytes())));
    assert!(!exchange.is_heavy(Some(b"garbage")));
    assert!(exchange.is_heavy(Some(heavy.as_bytes())));
}

#[test]
fn unusable_credentials_are_refused_before_any_connection() {
    for (user, password) in [("", "x"), ("x", ""), ("a\0b", "x")] {
        let error = ScramCredentials::new(ScramHash::Sha512, user, password).unwrap_err();
        assert!(matches!(error, AuthError::InvalidCredentials { .. }));
    }
    let unsalted = ScramCredential::derive(ScramHash::Sha256, &"x".into(), [], 4_096);
    assert!(matches!(
        unsalted,
        Err(AuthError::InvalidCredentials { .. })
    ));
}

#[test]
fn no_debug_or_display_shows_password_keys_or_proof() {
    let credentials = pencil();
    let credential =
        ScramCredential::derive(ScramHash::Sha256, &"pencil".into(), *b"salt", 4_096).unwrap();
    let mut exchange = start(&credentials);
    let mut seen = format!("{credentials:?} {credential:?} {exchange:?}");
    seen += &format!("{:?}", exchange.step(None).unwrap());
    seen += &format!("{exchange:?}");
    let step = exchange.step(Some(SERVER_FIRST.as_bytes())).unwrap();
    seen += &format!("{step:?} {exchange:?}");
    let error = exchange.step(Some(b"v=AAAA")).unwrap_err();
    seen += &format!("{error:?} {error} {exchange:?}");
    let proof = sent(step);
    let proof = proof.rsplit_once("p=").unwrap().1;
    for secret in ["pencil", proof, &RFC_SIGNATURE[2..]] {
        assert!(!seen.contains(secret), "{seen}");
    }
    let bytes = format!("{:?}", b"pencil");
    assert!(!seen.contains(bytes.trim_matches(['[', ']'])));
}
