//! The batches that are served, again and again, from memory of the kernel's.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use milena_records::{Heap, BatchBuilder, Compression, Compressor, RecordParts, Stamp};
use rustix::fs::{MemfdFlags, memfd_create};

/// How many different batches there are.
const COUNT: usize = 16;
const BASE_TIMESTAMP: i64 = 1_700_000_000_000;

/// The batches of every topic, made when first asked for.
pub(crate) struct Batches {
    batch_bytes: usize,
    made: Mutex<HashMap<String, Arc<Set>>>,
}

/// The batches of one topic: of the same number of records each, without keys.
pub(crate) struct Set {
    pub(crate) file: OwnedFd,
    pub(crate) records: i64,
    /// Where in the file each batch is, and how long.
    places: [(usize, usize); COUNT],
}

impl Set {
    /// Where the batch of this number in the endless log is, and how long.
    pub(crate) fn place(&self, number: i64) -> (usize, usize) {
        self.places[number.unsigned_abs() as usize % COUNT]
    }
}

impl Batches {
    pub(crate) fn new(batch_bytes: usize) -> Self {
        Self {
            batch_bytes,
            made: Mutex::default(),
        }
    }

    /// The batches of a topic, whose name says what is in them.
    pub(crate) fn of(&self, topic: &str) -> Result<Arc<Set>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = made.get(topic) {
            return Ok(Arc::clone(set));
        }
        let set = self.make(topic);
        let set = set.with_context(|| format!("{topic} is not ANYTHING-SIZE-COMPRESSION"))?;
        let set = Arc::new(set);
        made.insert(topic.to_owned(), Arc::clone(&set));
        Ok(set)
    }

    fn make(&self, topic: &str) -> Result<Set> {
        let mut parts = topic.rsplit('-');
        let codec: Compression = parts.next().context("no compression")?.parse()?;
        let size: usize = parts.next().context("no size")?.parse()?;
        let payloads = common::payloads(size);
        let mut values = payloads.iter().cycle();
        let records = (self.batch_bytes / (size + 8)).max(1);
        let mut all = Vec::new();
        let mut places = [(0, 0); COUNT];
        for place in &mut places {
            let batch = batch(&mut values, records, codec)?;
            *place = (all.len(), batch.len());
            all.extend_from_slice(&batch);
        }
        Ok(Set {
            file: file(&all)?,
            records: i64::try_from(records)?,
            places,
        })
    }
}

fn batch<'a>(
    values: &mut impl Iterator<Item = &'a Vec<u8>>,
    records: usize,
    codec: Compression,
) -> Result<Bytes> {
    let limit = 1 << 30;
    let mut builder = BatchBuilder::new(Vec::new(), limit);
    for (number, value) in (0..records).zip(values) {
        builder.append(&RecordParts {
            timestamp: BASE_TIMESTAMP + number as i64 / 100,
            value: Some(value),
            ..RecordParts::default()
        })?;
    }
    let sealed = builder.seal(&mut Compressor::new(codec), &mut Heap)?;
    Ok(sealed.to_bytes(Stamp::NONE))
}

fn file(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = memfd_create("batches", MemfdFlags::CLOEXEC)?;
    let mut left = bytes;
    while !left.is_empty() {
        let written = rustix::io::write(&file, left)?;
        left = &left[written..];
    }
    Ok(file)
}
