use super::PlainCredentials;
use crate::{AuthError, Credentials, Mechanism, Nonce, Step};

fn exchange() -> Box<dyn Mechanism> {
    let credentials = PlainCredentials::new("tim", "tanstaaftanstaaf").unwrap();
    assert_eq!(credentials.mechanism_name(), "PLAIN");
    credentials.start(Nonce::from_random([0; 24]))
}

#[test]
fn the_first_message_is_that_of_rfc_4616() {
    let Step::Send(message) = exchange().step(None).unwrap() else {
        panic!("PLAIN speaks first");
    };
    assert_eq!(message.expose(), b"\0tim\0tanstaaftanstaaf");
}

#[test]
fn an_empty_answer_completes_the_exchange() {
    let mut exchange = exchange();
    exchange.step(None).unwrap();
    assert!(matches!(exchange.step(Some(b"")), Ok(Step::Done)));
}

#[test]
fn a_non_empty_answer_is_refused() {
    let mut exchange = exchange();
    exchange.step(None).unwrap();
    let error = exchange.step(Some(b"?")).unwrap_err();
    assert!(matches!(error, AuthError::Malformed { .. }));
}

#[test]
fn steps_out_of_turn_fail_and_never_send_the_password_again() {
    let out_of_turn = AuthError::OutOfTurn { mechanism: "PLAIN" };

    let mut early = exchange();
    assert_eq!(early.step(Some(b"hello")).unwrap_err(), out_of_turn);
    assert_eq!(early.step(None).unwrap_err(), out_of_turn);

    let mut twice = exchange();
    twice.step(None).unwrap();
    assert_eq!(twice.step(None).unwrap_err(), out_of_turn);
    assert_eq!(twice.step(Some(b"")).unwrap_err(), out_of_turn);

    let mut done = exchange();
    done.step(None).unwrap();
    done.step(Some(b"")).unwrap();
    assert_eq!(done.step(Some(b"")).unwrap_err(), out_of_turn);
}

#[test]
fn credentials_that_plain_cannot_carry_are_refused_before_any_connection() {
    for (user, password) in [("", "x"), ("x", ""), ("a\0b", "x"), ("x", "a\0b")] {
        let error = PlainCredentials::new(user, password).unwrap_err();
        assert!(matches!(error, AuthError::InvalidCredentials { .. }));
    }
}

#[test]
fn the_password_never_shows_in_debug_output() {
    let credentials = PlainCredentials::new("tim", "tanstaaf").unwrap();
    let mut exchange = credentials.start(Nonce::from_random([0; 24]));
    let mut seen = format!("{credentials:?} {exchange:?}");
    seen += &format!("{:?}", exchange.step(None).unwrap());
    seen += &format!("{:?}", PlainCredentials::new("tim", "tan\0staaf"));
    assert!(!seen.contains("staaf"), "{seen}");
}
