use super::*;

const NOW: Duration = Duration::from_secs(1);

fn fresh() -> i64 {
    900
}

/// Producer 5 in this epoch, nothing begun.
fn at(epoch: i16) -> Transaction {
    let mut transaction = Transaction::new(5, 60_000, NOW);
    transaction.producer.epoch = epoch;
    transaction
}

fn who(id: i64, epoch: i16) -> Producer {
    Producer { id, epoch }
}

fn open(epoch: i16) -> Transaction {
    let mut transaction = at(epoch);
    let place = ("t".into(), 0);
    transaction.add(who(5, epoch), [place], NOW).unwrap();
    transaction
}

#[test]
fn init_raises_the_epoch_once_however_often_the_producer_asks() {
    let mut transaction = at(3);
    let mut init = |asked| transaction.init(asked, 1000, NOW, fresh);
    assert_eq!(init(Some(who(5, 3))), Ok(Init::Ready(who(5, 4))));
    assert_eq!(init(Some(who(5, 3))), Ok(Init::Ready(who(5, 4))));
    assert_eq!(init(Some(who(5, 2))), Err(ErrorCode::ProducerFenced));
    assert_eq!(init(Some(who(6, 4))), Err(ErrorCode::ProducerFenced));
    assert_eq!(init(None), Ok(Init::Ready(who(5, 5))));
    assert_eq!(init(Some(who(5, 4))), Err(ErrorCode::ProducerFenced));
}

#[test]
fn a_used_up_epoch_brings_a_new_producer_id() {
    let mut transaction = at(i16::MAX - 1);
    let last = who(5, i16::MAX - 1);
    let mut init = |asked| transaction.init(asked, 1000, NOW, fresh);
    assert_eq!(init(Some(last)), Ok(Init::Ready(who(900, 0))));
    assert_eq!(init(Some(last)), Ok(Init::Ready(who(900, 0))), "repeated");
    assert_eq!(init(None), Ok(Init::Ready(who(900, 1))));

    let mut transaction = open(i16::MAX - 1);
    let ended = transaction.end_v2(last, true, NOW, fresh);
    assert_eq!(ended, Ok(End::Begun(who(900, 0))));
    assert_eq!(transaction.producer, who(5, i16::MAX), "the markers' epoch");
    transaction.complete(NOW);
    assert_eq!(transaction.producer, who(900, 0));
    let mut end = |commit| transaction.end_v2(last, commit, NOW, fresh);
    assert_eq!(end(true), Ok(End::Repeated(who(900, 0))));
    assert_eq!(end(false), Err(ErrorCode::InvalidTxnState));

    let mut transaction = open(i16::MAX - 1);
    transaction.fence(false, NOW, fresh);
    transaction.complete(NOW);
    assert_eq!(transaction.producer, who(5, i16::MAX));
    let next = transaction.init(None, 1000, NOW, fresh);
    assert_eq!(next, Ok(Init::Ready(who(900, 0))));
}

#[test]
fn end_answers_by_state_and_version() {
    type Answer = Result<(), ErrorCode>;
    const INVALID: Answer = Err(ErrorCode::InvalidTxnState);
    const FENCED: Answer = Err(ErrorCode::ProducerFenced);
    const BUSY: Answer = Err(ErrorCode::ConcurrentTransactions);
    let decided = |v2: bool, commit: bool, complete: bool| {
        let mut transaction = open(3);
        if v2 {
            transaction.end_v2(who(5, 3), commit, NOW, fresh).unwrap();
        } else {
            transaction.end_v1(who(5, 3), commit, NOW).unwrap();
        }
        if complete {
            transaction.complete(NOW);
        }
        transaction
    };
    // Version 2?, the transaction, the client's epoch, what commit gets, what abort gets.
    type Row<'a> = (
        &'a str,
        bool,
        &'a dyn Fn() -> Transaction,
        i16,
        Answer,
        Answer,
    );
    #[rustfmt::skip]
    let table: [Row<'_>; 15] = [
        ("empty", false, &|| at(3), 3, INVALID, INVALID),
        ("empty", true, &|| at(3), 3, INVALID, Ok(())),
        ("empty, older", true, &|| at(3), 2, FENCED, FENCED),
        ("open, older", false, &|| open(3), 2, FENCED, FENCED),
        ("open, newer", true, &|| open(3), 4, FENCED, FENCED),
        ("open, older", true, &|| open(3), 2, FENCED, FENCED),
        (
            "committing",
            false,
            &|| decided(false, true, false),
            3,
            BUSY,
            BUSY,
        ),
        (
            "committing",
            true,
            &|| decided(true, true, false),
            3,
            BUSY,
            BUSY,
        ),
        (
            "committed",
            false,
            &|| decided(false, true, true),
            3,
            Ok(()),
            INVALID,
        ),
        (
            "aborted",
            false,
            &|| decided(false, false, true),
            3,
            INVALID,
            Ok(()),
        ),
        (
            "committed, repeated",
            true,
            &|| decided(true, true, true),
            3,
            Ok(()),
            INVALID,
        ),
        (
            "aborted, repeated",
            true,
            &|| decided(true, false, true),
            3,
            INVALID,
            Ok(()),
        ),
        (
            "committed, next",
            true,
            &|| decided(true, true, true),
            4,
            INVALID,
            Ok(()),
        ),
        (
            "aborted, next",
            true,
            &|| decided(true, false, true),
            4,
            INVALID,
            Ok(()),
        ),
        (
            "committed, before",
            true,
            &|| decided(true, true, true),
            2,
            FENCED,
            FENCED,
        ),
    ];
    for (what, v2, make, epoch, on_commit, on_abort) in table {
        for (commit, expected) in [(true, on_commit), (false, on_abort)] {
            let mut transaction = make();
            let ended = if v2 {
                transaction.end_v2(who(5, epoch), commit, NOW, fresh)
            } else {
                transaction.end_v1(who(5, epoch), commit, NOW)
            };
            let ended = ended.map(|_| ());
            assert_eq!(ended, expected, "{what}, version 2: {v2}, commit: {commit}");
        }
    }
}

#[test]
fn another_producer_id_has_no_transaction() {
    let mapping = ErrorCode::InvalidProducerIdMapping;
    let other = who(6, 3);
    assert_eq!(open(3).add(other, [], NOW), Err(mapping));
    assert_eq!(open(3).verify(other, &("t".into(), 0)), Err(mapping));
    assert_eq!(open(3).end_v1(other, true, NOW), Err(mapping));
    assert_eq!(open(3).end_v2(other, true, NOW, fresh), Err(mapping));
}
