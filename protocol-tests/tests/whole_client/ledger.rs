//! What one producer was told, and whether the logs agree.

use std::collections::VecDeque;

use milena_producer::{DeliveryReport, Fate, Receipt};
use milena_sim::history::{Logged, Promise, Summary};
use milena_sim::{History, Trace};

use super::nemesis::Place;

/// The records of one producer.
#[derive(Debug)]
pub(crate) struct Ledger {
    producer: u64,
    /// By partition, as are all of these.
    histories: Vec<History>,
    pending: Vec<VecDeque<(u64, Receipt)>>,
    /// By number: the partition, and the place in its history.
    accepted: Vec<(usize, u64)>,
    told: Told,
    reported: Told,
    trace: Trace,
}

/// How many records ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    delivered: u64,
    not_written: u64,
    maybe_written: u64,
}

impl Ledger {
    pub(crate) fn new(producer: u64, partitions: usize) -> Self {
        Self {
            producer,
            histories: vec![History::default(); partitions],
            pending: (0..partitions).map(|_| VecDeque::new()).collect(),
            accepted: Vec::new(),
            told: Told::default(),
            reported: Told::default(),
            trace: Trace::new(),
        }
    }

    /// The number of the next record.
    pub(crate) fn next(&self) -> u64 {
        self.accepted.len() as u64
    }

    pub(crate) fn accept(&mut self, receipt: Receipt) {
        let partition = usize::try_from(receipt.partition()).unwrap();
        let id = self.histories[partition].accept();
        self.accepted.push((partition, id));
        self.pending[partition].push_back((id, receipt));
    }

    /// Notes what was told since. Records are acknowledged after all before them in their partition
    /// have ended.
    pub(crate) fn look(&mut self) {
        for partition in 0..self.pending.len() {
            let mut open = VecDeque::new();
            for (id, receipt) in std::mem::take(&mut self.pending[partition]) {
                let Some(outcome) = receipt.outcome() else {
                    open.push_back((id, receipt));
                    continue;
                };
                let history = &mut self.histories[partition];
                match outcome {
                    Ok(ack) => {
                        let overtaken = open.front().map(|(id, _)| *id);
                        assert_eq!(overtaken, None, "record {id} was acknowledged before it");
                        assert_eq!(ack.partition, i32::try_from(partition).unwrap());
                        history.acknowledged(id, ack.offset);
                        self.told.delivered += 1;
                        self.trace.note("ok", &[ack.offset.unwrap_or(-1)]);
                    }
                    Err(error) => {
                        history.failed(id, error.fate());
                        match error.fate() {
                            Fate::NotWritten => self.told.not_written += 1,
                            Fate::MaybeWritten => self.told.maybe_written += 1,
                        }
                        let written = i64::from(error.fate() == Fate::MaybeWritten);
                        self.trace.note("failed", &[written, id.cast_signed()]);
                    }
                }
            }
            self.pending[partition] = open;
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.pending.iter().all(VecDeque::is_empty)
    }

    /// Partition and place of what has no end yet.
    pub(crate) fn open(&self) -> Vec<(usize, u64)> {
        let open = self.pending.iter().enumerate();
        open.flat_map(|(partition, open)| open.iter().map(move |(id, _)| (partition, *id)))
            .collect()
    }

    /// Records that failed so far.
    pub(crate) fn failed(&self) -> u64 {
        self.told.not_written + self.told.maybe_written
    }

    pub(crate) fn report(&mut self, report: &DeliveryReport) {
        self.reported.delivered += report.delivered;
        self.reported.not_written += report.not_written;
        self.reported.maybe_written += report.maybe_written;
    }

    /// Compares what was told with the logs, by partition, and with the reports.
    pub(crate) fn check(&self, logs: &[Vec<Place>], promise: Promise) -> (Summary, u64) {
        let producer = self.producer;
        assert_eq!(self.told, self.reported, "reports of producer {producer}");
        let mut sum = Summary::default();
        for (partition, (history, log)) in self.histories.iter().zip(logs).enumerate() {
            let own = log.iter().filter(|place| place.producer == producer);
            let logged: Vec<Logged> = own
                .map(|place| {
                    let (chosen, id) = self.accepted[usize::try_from(place.number).unwrap()];
                    assert_eq!(chosen, partition, "partition of {place:?}");
                    Logged {
                        id,
                        offset: place.offset,
                    }
                })
                .collect();
            match history.check(&logged, promise) {
                Ok(summary) => sum.add(&summary),
                Err(violation) => {
                    panic!("producer {producer}, partition {partition}: {violation}")
                }
            }
        }
        (sum, self.trace.hash())
    }
}
