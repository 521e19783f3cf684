use super::*;

const PREPARED: Token = Token {
    identity: ID,
    intent: Intent::Prepared,
    level: Level::V2,
};

fn two_phase() -> Config {
    Config {
        two_phase_commit: true,
        ..Config::default()
    }
}

#[test]
fn every_token_survives_as_text() {
    let intents = [
        Intent::Commit,
        Intent::CommitOnly,
        Intent::Abort,
        Intent::Prepared,
    ];
    for intent in intents {
        for level in [Level::V1, Level::V2] {
            let token = Token {
                identity: ID,
                intent,
                level,
            };
            assert_eq!(token.to_string().parse(), Ok(token));
        }
    }
    assert_eq!(PREPARED.to_string(), "1:prepared:2:7:3");
}

#[test]
fn what_is_no_token_is_refused() {
    for text in [
        "",
        "1",
        "2:commit:2:7:3",
        "1:commit:3:7:3",
        "1:commits:2:7:3",
        "1:commit:2:-7:3",
        "1:commit:2:7:-1",
        "1:commit:2:7:40000",
        "1:commit:2:7:3:",
        "1:commit:2:7",
    ] {
        assert_eq!(text.parse::<Token>(), Err(ParseTokenError), "{text}");
    }
}

#[test]
fn another_process_completes_by_the_token_and_starts_afresh() {
    for level in [Level::V1, Level::V2] {
        let (_, token) = Bench::in_doubt(level);
        let mut bench = Bench::new(Config::default(), Level::V2);
        bench.core.resume(token, Complete::Commit).unwrap();
        let (id, call) = bench.call();
        assert_eq!(call, end_txn(ID, Complete::Commit, level));
        let events = bench.reply(id, done(Some(at(4))));
        assert_eq!(events, [ended(COMMITTED, None)]);
        assert_eq!(bench.state(), State::Uninitialised);
        bench.core.init().unwrap();
        assert_eq!(bench.call().1, raise(None));
    }
}

#[test]
fn another_process_learns_that_it_had_committed_or_that_nobody_can_tell() {
    let (_, token) = Bench::in_doubt(Level::V2);
    let mut bench = Bench::new(Config::default(), Level::V2);
    bench.core.resume(token, Complete::Abort).unwrap();
    let events = bench.answer(refused(ErrorCode::InvalidTxnState));
    assert_eq!(events, [ended(COMMITTED, None)]);
    bench.core.resume(token, Complete::Abort).unwrap();
    let events = bench.answer(refused(ErrorCode::ProducerFenced));
    assert_eq!(events, [ended(Outcome::Unknown(token), None)]);
    assert_eq!(bench.state(), State::Uninitialised);
}

#[test]
fn only_the_transaction_in_doubt_can_be_resumed() {
    let (mut bench, token) = Bench::in_doubt(Level::V1);
    let other = Token {
        identity: at(9),
        ..token
    };
    let refused = bench.core.resume(other, Complete::Commit);
    assert_eq!(refused, Err(Misuse::OtherToken));
}

#[test]
fn what_was_to_be_aborted_cannot_be_committed() {
    let mut bench = Bench::open(Level::V2);
    bench.core.abort().unwrap();
    bench.core.handle_deadline();
    let token = Token {
        intent: Intent::Abort,
        ..PREPARED
    };
    assert_eq!(bench.events(), [ended(Outcome::Unknown(token), None)]);
    let refused = bench.core.resume(token, Complete::Commit);
    assert_eq!(refused, Err(Misuse::WasAborted));
    bench.core.resume(token, Complete::Abort).unwrap();
    assert_eq!(
        bench.answer(done(Some(at(4)))),
        [ended(ABORTED, Some(at(4)))]
    );
}

#[test]
fn a_transaction_is_prepared_without_a_call_and_completed_either_way() {
    for complete in [Complete::Commit, Complete::Abort] {
        let mut bench = Bench::new(two_phase(), Level::V2);
        bench.core.init().unwrap();
        let (id, call) = bench.call();
        assert!(matches!(
            call,
            Call::InitProducerId {
                enable_2pc: true,
                keep_prepared: false,
                ..
            }
        ));
        bench.reply(id, inited(ID));
        bench.core.begin().unwrap();
        bench.core.add_partition(part(0)).unwrap();
        assert_eq!(bench.core.prepare(), Ok(PREPARED));
        assert_eq!(bench.core.poll_call(), None);
        assert!(bench.core.add_partition(part(1)).is_err());
        match complete {
            Complete::Commit => bench.core.commit().unwrap(),
            Complete::Abort => bench.core.abort().unwrap(),
        }
        assert_eq!(bench.call().1, end_txn(ID, complete, Level::V2));

        let mut other = Bench::new(two_phase(), Level::V2);
        other.core.resume(PREPARED, complete).unwrap();
        assert_eq!(other.call().1, end_txn(ID, complete, Level::V2));
    }
}

#[test]
fn preparing_needs_two_phase_commit_and_all_confirmed() {
    let mut bench = Bench::open(Level::V2);
    assert_eq!(bench.core.prepare(), Err(Misuse::OnePhase));
    let mut bench = Bench::new(two_phase(), Level::V2);
    bench.core.init().unwrap();
    bench.answer(inited(ID));
    bench.core.begin().unwrap();
    bench.core.send_offsets(OFFSETS).unwrap();
    assert_eq!(bench.core.prepare(), Err(Misuse::Unconfirmed));
}

#[test]
fn a_kept_transaction_is_completed_before_anything_else() {
    let config = Config {
        keep_prepared: true,
        ..two_phase()
    };
    let mut bench = Bench::new(config, Level::V2);
    bench.core.init().unwrap();
    let events = bench.answer(Reply::InitProducerId {
        error: ErrorCode::None,
        identity: Some(at(4)),
        ongoing: Some(ID),
    });
    assert_eq!(events, [Event::PreparedFound(ID)]);
    assert!(bench.core.begin().is_err());
    bench.core.commit().unwrap();
    assert_eq!(
        bench.answer(done(Some(at(5)))),
        [ended(COMMITTED, Some(at(5)))]
    );
    bench.core.begin().unwrap();
}
