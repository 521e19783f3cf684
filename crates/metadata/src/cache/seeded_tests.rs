//! Random histories. A failure prints its seed; `run(seed)` replays it.

use std::collections::BTreeSet;

use milena_codec::messages::metadata_response::MetadataResponseTopic;

use super::*;
use crate::merge::tests::{answer, at, failed_topic, topic};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

struct World {
    random: u64,
    cache: Cache,
    /// The brokers' truth: id, 0 for a topic that does not exist, and leader epoch.
    topics: [(u8, i32); NAMES.len()],
    in_flight: Vec<Lookup>,
    seen: BTreeSet<Str>,
    now: u64,
}

impl World {
    fn next(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn step(&mut self) {
        let which = self.next(NAMES.len() as u64) as usize;
        match self.next(9) {
            0 => self.topics[which] = (0, 0),
            1 => self.topics[which] = (self.next(250) as u8 + 1, 0),
            2 => self.topics[which].1 += 1,
            3 => self
                .cache
                .want(NAMES[which], AutoCreate::Allow, at(self.now)),
            4 => self
                .cache
                .want(NAMES[which], AutoCreate::Never, at(self.now)),
            5 => drop(self.cache.refresh(RefreshReason::Requested)),
            6 => self.cache.hold_until(at(self.now + 2)),
            7 => self.now += self.next(60),
            _ => {}
        }
        self.ask();
        if !self.in_flight.is_empty() && self.next(2) == 0 {
            let lookup = self.in_flight.swap_remove(0);
            if self.next(3) == 0 {
                self.cache.handle_failure(lookup);
            } else {
                self.reply(lookup);
            }
        }
    }

    fn ask(&mut self) {
        let Some(lookup) = self.cache.needs(at(self.now)) else {
            return;
        };
        if lookup.may_create() {
            let recreating = lookup.topics().iter().any(|name| self.seen.contains(name));
            assert!(!recreating, "a topic that was seen may be created again");
            assert!(!lookup.topics().is_empty());
        }
        self.in_flight.push(lookup);
    }

    fn reply(&mut self, lookup: Lookup) {
        let before = Arc::clone(self.cache.snapshot());
        let topics = lookup.topics().to_vec().into_iter();
        let topics = topics.map(|name| self.describe(&name)).collect();
        let now = at(self.now);
        self.cache
            .handle_answer(lookup, answer(topics), 13, now)
            .unwrap();
        for topic in before.topics() {
            let Some(after) = self.cache.snapshot().topic(&topic.name) else {
                self.seen.remove(&topic.name);
                continue;
            };
            let epoch = |t: &crate::Topic| t.partition(0).and_then(|p| p.leader_epoch);
            assert!(after.id != topic.id || epoch(after) >= epoch(topic));
        }
    }

    /// One broker in four is behind and tells an older epoch.
    fn describe(&mut self, name: &Str) -> MetadataResponseTopic {
        let which = NAMES.iter().position(|known| **known == **name).unwrap();
        let (id, epoch) = self.topics[which];
        if id == 0 {
            return failed_topic(name, ErrorCode::UnknownTopicOrPartition);
        }
        self.seen.insert(name.clone());
        let behind = i32::from(self.next(4) == 0);
        topic(name, id, &[(1, (epoch - behind).max(0))])
    }
}

fn run(seed: u64) {
    let mut world = World {
        random: seed * 2 + 1,
        cache: Cache::new(CacheConfig::default()),
        topics: [(1, 0), (2, 0), (0, 0), (0, 0)],
        in_flight: Vec::new(),
        seen: BTreeSet::new(),
        now: 0,
    };
    for _ in 0..60 {
        world.step();
    }
    let ticket = world.cache.refresh(RefreshReason::Requested);
    world.now += 10;
    for lookup in std::mem::take(&mut world.in_flight) {
        world.cache.handle_failure(lookup);
    }
    while world
        .cache
        .poll_timeout()
        .is_none_or(|until| until <= at(world.now))
    {
        world.ask();
        let lookup = world.in_flight.pop().expect("what is due is given out");
        world.reply(lookup);
    }
    assert!(world.cache.is_fulfilled(ticket));
    assert!(NAMES.iter().all(|name| !world.cache.is_pending(name)));
}

#[test]
fn no_history_creates_a_seen_topic_takes_an_epoch_back_or_leaves_anybody_waiting() {
    for seed in 0..3_000 {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("replay with run({seed})");
            std::panic::resume_unwind(panic);
        }
    }
}
