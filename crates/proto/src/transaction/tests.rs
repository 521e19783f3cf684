#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use std::time::Duration;

use milena_codec::ErrorCode;

use super::*;

mod additions;
mod doubt;
mod ends;
mod levels;
mod tokens;

const ID: Identity = at(3);
const OFFSETS: OffsetsId = OffsetsId(5);
const COMMITTED: Outcome = Outcome::Committed;
const ABORTED: Outcome = Outcome::Aborted;

const fn at(epoch: i16) -> Identity {
    Identity {
        producer_id: 7,
        epoch,
    }
}

/// The core, the time, and the calls it made.
struct Bench {
    core: Transactions,
    now: Instant,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "only differences matter")]
    fn new(config: Config, level: Level) -> Self {
        Self {
            core: Transactions::new(config, level),
            now: Instant::now(),
        }
    }

    /// Initialised, with identity [`ID`].
    fn ready(level: Level) -> Self {
        let mut bench = Self::new(Config::default(), level);
        bench.core.init().unwrap();
        bench.become_ready(ID);
        bench
    }

    /// A transaction is open, and a batch to partition 0 may be sent.
    fn open(level: Level) -> Self {
        let mut bench = Self::ready(level);
        bench.core.begin().unwrap();
        bench.core.add_partition(part(0)).unwrap();
        if level == Level::V1 {
            let events = bench.answer(added(&[(0, ErrorCode::None)]));
            assert_eq!(events, [Event::PartitionsAdded(vec![part(0)])]);
        }
        assert!(bench.core.may_send(&part(0)));
        assert_eq!(bench.core.identity(), Some(ID));
        bench
    }

    /// A commit was sent and lost, and is about to be sent again.
    fn lost_commit(level: Level) -> Self {
        let mut bench = Self::open(level);
        bench.core.commit().unwrap();
        bench.answer(Reply::Lost { sent: true });
        bench.pause();
        bench
    }

    /// A commit was sent and lost, and its deadline has passed.
    fn in_doubt(level: Level) -> (Self, Token) {
        let mut bench = Self::lost_commit(level);
        bench.core.handle_deadline();
        let events = bench.events();
        let [
            Event::Ended {
                outcome: Outcome::Unknown(token),
                next: None,
            },
        ] = events[..]
        else {
            panic!("{events:?}");
        };
        (bench, token)
    }

    fn call(&mut self) -> (CallId, Call) {
        let call = self.core.poll_call();
        call.expect("a call is due")
    }

    /// The next call gets this answer.
    fn answer(&mut self, reply: Reply) -> Vec<Event> {
        let (id, _) = self.call();
        self.reply(id, reply)
    }

    fn reply(&mut self, id: CallId, reply: Reply) -> Vec<Event> {
        self.core.handle_reply(id, reply, self.now, 0);
        self.events()
    }

    fn become_ready(&mut self, identity: Identity) {
        let events = self.answer(inited(identity));
        let level = self.core.level();
        assert_eq!(events, [Event::Ready { identity, level }]);
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.core.poll_event()).collect()
    }

    /// Time passes until the core wants to go on.
    fn pause(&mut self) -> Duration {
        let until = self.core.poll_timeout().expect("it waits for something");
        let pause = until - self.now;
        self.now = until;
        self.core.handle_timeout(until);
        pause
    }

    fn state(&self) -> State {
        self.core.state()
    }
}

fn part(partition: i32) -> TopicPartition {
    TopicPartition {
        topic: "t".into(),
        partition,
    }
}

fn added(results: &[(i32, ErrorCode)]) -> Reply {
    let all = results.iter().map(|(index, error)| (part(*index), *error));
    Reply::AddPartitions(all.collect())
}

const fn inited(identity: Identity) -> Reply {
    Reply::InitProducerId {
        error: ErrorCode::None,
        identity: Some(identity),
        ongoing: None,
    }
}

const fn init_refused(error: ErrorCode) -> Reply {
    Reply::InitProducerId {
        error,
        identity: None,
        ongoing: None,
    }
}

const fn done(next: Option<Identity>) -> Reply {
    let error = ErrorCode::None;
    Reply::EndTxn { error, next }
}

const fn refused(error: ErrorCode) -> Reply {
    Reply::EndTxn { error, next: None }
}

const fn ended(outcome: Outcome, next: Option<Identity>) -> Event {
    Event::Ended { outcome, next }
}

const fn end_txn(identity: Identity, complete: Complete, level: Level) -> Call {
    Call::EndTxn {
        identity,
        complete,
        level,
    }
}

const fn fenced(operation: Operation, error: ErrorCode) -> Cause {
    Cause::Fenced { operation, error }
}

const fn raise(current: Option<Identity>) -> Call {
    Call::InitProducerId {
        current,
        enable_2pc: false,
        keep_prepared: false,
    }
}
