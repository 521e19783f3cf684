//! What is done to the cluster while records are sent: leaders move, nodes go and come back,
//! replication stands still, limits change, topics are replaced.

use std::time::Duration;

use milena_broker::{Broker, ClusterModel};
use milena_producer::Acks;
use milena_records::{Batches, Decompressor};
use milena_sim::Dice;

use super::plan::Plan;
use super::wires::Wires;

pub(crate) const TOPIC: &str = "t";
const NODES: i32 = 3;
const LIMIT: &str = "max.message.bytes";
const NO_LIMIT: &str = "1048588";

/// A record in a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) producer: u64,
    pub(crate) number: u64,
    pub(crate) offset: i64,
}

/// Who does it.
#[derive(Debug)]
pub(crate) struct Nemesis {
    dice: Dice,
    plan: Plan,
    /// By partition: where replication stands still.
    held: Vec<Option<i64>>,
    down: Vec<i32>,
    pub(crate) leader_moves: u64,
    /// Leader moves that lost what was not replicated.
    pub(crate) losses: u64,
    pub(crate) restarts: u64,
    pub(crate) recreated: u64,
    /// By partition: what was in the topics before.
    former: Vec<Vec<Place>>,
}

impl Nemesis {
    pub(crate) fn new(seed: u64, plan: &Plan) -> Self {
        let partitions = usize::try_from(plan.partitions).unwrap();
        Self {
            dice: Dice::new(seed).fork(4),
            plan: plan.clone(),
            held: vec![None; partitions],
            down: Vec::new(),
            leader_moves: 0,
            losses: 0,
            restarts: 0,
            recreated: 0,
            former: vec![Vec::new(); partitions],
        }
    }

    /// Never ends.
    pub(crate) async fn rage(&mut self, broker: &Broker, wires: &Wires) {
        loop {
            let pause = Duration::from_millis(1 + self.dice.below(self.plan.tempo));
            tokio::time::sleep(pause).await;
            if self.plan.cut > 0 && self.dice.one_in(3) {
                wires.cut_one(&mut self.dice);
            }
            broker.with_model(|model| self.act(model));
        }
    }

    /// Everything as it should be.
    pub(crate) fn heal(&mut self, broker: &Broker) {
        broker.with_model(|model| {
            for node in std::mem::take(&mut self.down) {
                model.start_node(node).unwrap();
            }
            self.create(model);
            for partition in 0..self.plan.partitions {
                model.hold_replication(TOPIC, partition, false).unwrap();
            }
            self.held.fill(None);
            model.configure_topic(TOPIC, LIMIT, NO_LIMIT).unwrap();
        });
    }

    /// After hours in which nobody wrote.
    pub(crate) fn forget_producers(&mut self, broker: &Broker) {
        for partition in 0..self.plan.partitions {
            if self.dice.one_in(2) {
                let forgotten = broker.with_model(|model| model.forget_producers(TOPIC, partition));
                forgotten.unwrap();
            }
        }
    }

    /// By partition: what was written, and is or was in the log.
    pub(crate) fn logs(&self, broker: &Broker) -> Vec<Vec<Place>> {
        let mut logs = self.former.clone();
        broker.with_model(|model| read(model, &mut logs));
        logs
    }

    fn act(&mut self, model: &mut ClusterModel) {
        self.create(model);
        let partition = self.dice.index(self.held.len());
        if self.dice.one_in(self.plan.restart) {
            self.node_goes_or_comes(model);
        } else if self.dice.one_in(self.plan.replace) {
            read(model, &mut self.former);
            assert!(model.remove_topic(TOPIC));
            self.held.fill(None);
        } else if self.dice.one_in(self.plan.limit) {
            let limit = self.dice.pick(&["150", "300", "1000", NO_LIMIT]);
            model.configure_topic(TOPIC, LIMIT, limit).unwrap();
        } else if self.dice.one_in(6) {
            self.hold(model, partition);
        } else {
            self.move_leader(model, partition);
        }
    }

    fn create(&mut self, model: &mut ClusterModel) {
        if model.leader(TOPIC, 0).is_err() {
            model.create_topic(TOPIC, self.plan.partitions).unwrap();
            self.recreated += 1;
        }
    }

    fn hold(&mut self, model: &mut ClusterModel, partition: usize) {
        let held = &mut self.held[partition];
        *held = match *held {
            Some(_) => None,
            None => Some(end(model, partition)),
        };
        let held = held.is_some();
        model
            .hold_replication(TOPIC, index(partition), held)
            .unwrap();
    }

    fn move_leader(&mut self, model: &mut ClusterModel, partition: usize) {
        let to = 1 + i32::try_from(self.dice.index(NODES as usize)).unwrap();
        let same = model.leader(TOPIC, index(partition)).unwrap().0 == Some(to);
        // Without acks=all, what was acknowledged would be lost.
        let may_lose = self.plan.acks == Acks::All && !same;
        let lose = self.held[partition].filter(|_| may_lose);
        if model.move_leader(TOPIC, index(partition), to, lose).is_ok() {
            self.leader_moves += 1;
            self.losses += u64::from(lose.is_some());
        }
    }

    fn node_goes_or_comes(&mut self, model: &mut ClusterModel) {
        if self.down.len() == 2 || (!self.down.is_empty() && self.dice.one_in(2)) {
            let node = self.down.remove(0);
            model.start_node(node).unwrap();
            self.restarts += 1;
            return;
        }
        let node = 1 + i32::try_from(self.dice.index(NODES as usize)).unwrap();
        if self.down.contains(&node) {
            return;
        }
        self.down.push(node);
        match self.dice.one_in(2) {
            true => model.stop_node(node).unwrap(),
            false => model.kill_node(node).unwrap(),
        }
    }
}

fn index(partition: usize) -> i32 {
    i32::try_from(partition).unwrap()
}

/// Where the log of a partition ends.
fn end(model: &ClusterModel, partition: usize) -> i64 {
    let log = model.log(TOPIC, index(partition)).unwrap();
    let last = log.into_iter().next_back();
    last.map_or(0, |bytes| {
        let batch = Batches::new(bytes).next().unwrap().unwrap();
        batch.header().last_offset() + 1
    })
}

fn read(model: &ClusterModel, logs: &mut [Vec<Place>]) {
    let mut decompressor = Decompressor::new();
    for (partition, log) in (0..).zip(logs) {
        for bytes in model.log(TOPIC, partition).unwrap() {
            let batch = Batches::new(bytes).next().unwrap().unwrap();
            let batch = batch.check(&mut decompressor, usize::MAX).unwrap();
            log.extend(batch.iter().map(|record| {
                let text = str::from_utf8(record.value.unwrap()).unwrap();
                let mut numbers = text.split(' ').map(|number| number.parse().unwrap());
                Place {
                    producer: numbers.next().unwrap(),
                    number: numbers.next().unwrap(),
                    offset: record.offset,
                }
            }));
        }
    }
}
