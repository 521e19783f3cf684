#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use milena_codec::ErrorCode;

use super::*;

mod epochs;
mod fates;
mod order;
mod split;
mod transactional;

const ID: Identity = Identity {
    producer_id: 7,
    epoch: 0,
};

const NODE: i32 = 1;

/// A sequencer, the time, and what it said.
struct Bench {
    sequencer: Sequencer,
    identity: Identity,
    now: Instant,
    sealed: u64,
}

impl Bench {
    fn with(acks: Acks, idempotent: bool) -> Self {
        Self::new(Config {
            acks,
            idempotent,
            transactional: false,
            max_in_flight: 9,
        })
    }

    #[expect(clippy::disallowed_methods, reason = "only differences matter")]
    fn new(config: Config) -> Self {
        Self {
            sequencer: Sequencer::new(config),
            identity: ID,
            now: Instant::now(),
            sealed: 0,
        }
    }

    /// Batch 0, of three records, is acknowledged at offset 100: several may travel.
    fn proven() -> Self {
        let mut bench = Self::with(Acks::All, true);
        bench.seal(3);
        let first = bench.send();
        assert_eq!(bench.tell(first, written_at(100)), [acknowledged(0, 100)]);
        bench
    }

    fn seal(&mut self, records: u32) {
        self.sequencer.handle_sealed(BatchId(self.sealed), records);
        self.sealed += 1;
    }

    fn poll(&mut self) -> Next {
        self.sequencer
            .poll_send(Some(self.identity), NODE, self.now)
    }

    fn send(&mut self) -> Sending {
        match self.poll() {
            Next::Send(sending) => sending,
            other => panic!("{other:?}"),
        }
    }

    /// Seals and sends so many batches of two records.
    fn fly<const COUNT: usize>(&mut self) -> [Sending; COUNT] {
        std::array::from_fn(|_| {
            self.seal(2);
            self.send()
        })
    }

    /// What is sent until nothing is: batch, epoch, sequence.
    fn sent(&mut self) -> Vec<(u64, i16, i32)> {
        let mut all = Vec::new();
        while let Next::Send(sending) = self.poll() {
            all.push(stamp(&sending));
        }
        all
    }

    fn tell(&mut self, sending: Sending, outcome: Attempt) -> Vec<Event> {
        self.sequencer.handle_attempt(sending.attempt, outcome);
        self.events()
    }

    fn expire(&mut self, id: u64) -> Vec<Event> {
        self.sequencer.handle_expired(BatchId(id));
        self.events()
    }

    /// Divides a batch into pieces, whose ids count on from those of the batches.
    fn split<const PIECES: usize>(&mut self, id: u64, records: [u32; PIECES]) -> [u64; PIECES] {
        let ids = records.map(|_| {
            self.sealed += 1;
            self.sealed - 1
        });
        let pieces: Vec<_> = ids.map(BatchId).into_iter().zip(records).collect();
        assert!(self.sequencer.handle_split(BatchId(id), &pieces));
        ids
    }

    fn replace_topic(&mut self) -> Vec<Event> {
        self.sequencer.handle_topic_replaced();
        self.events()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.sequencer.poll_event()).collect()
    }
}

fn stamp(sending: &Sending) -> (u64, i16, i32) {
    let stamp = sending.stamp;
    (sending.id.0, stamp.producer_epoch, stamp.base_sequence)
}

fn answered(error: ErrorCode) -> Attempt {
    Attempt::Answered(Answer {
        error,
        base_offset: -1,
        log_start_offset: -1,
    })
}

fn written_at(base_offset: i64) -> Attempt {
    Attempt::Answered(Answer {
        error: ErrorCode::None,
        base_offset,
        log_start_offset: 0,
    })
}

const OUT_OF_ORDER: ErrorCode = ErrorCode::OutOfOrderSequenceNumber;

fn acknowledged(id: u64, offset: i64) -> Event {
    let (id, offset) = (BatchId(id), Some(offset));
    Event::Acknowledged { id, offset }
}

fn too_large(id: u64) -> Event {
    Event::TooLarge { id: BatchId(id) }
}

fn retry(id: u64) -> Event {
    Event::Retry { id: BatchId(id) }
}

fn failed(id: u64, fate: Fate, because: Because) -> Event {
    let id = BatchId(id);
    Event::Failed { id, fate, because }
}

fn bumped(epoch: i16, reason: BumpReason) -> Event {
    let identity = |epoch| Identity { epoch, ..ID };
    Event::Bumped(Bump {
        from: identity(epoch - 1),
        to: Some(identity(epoch)),
        reason,
    })
}
