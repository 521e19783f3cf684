//! Bodies of messages. The first byte chooses the message, the second its version.

use std::sync::LazyLock;

use bytes::Bytes;

use crate::dice::Dice;
use crate::messages::{Entry, TABLE};

static REQUESTS: LazyLock<Vec<Entry>> = LazyLock::new(|| entries(Kind::Request));
static RESPONSES: LazyLock<Vec<Entry>> = LazyLock::new(|| entries(Kind::Response));
static DATA: LazyLock<Vec<Entry>> = LazyLock::new(|| entries(Kind::Data));

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Request,
    Response,
    Data,
}

/// The bodies of requests.
pub fn requests(input: &[u8]) {
    explore(&REQUESTS, input);
}

/// The bodies of responses.
pub fn responses(input: &[u8]) {
    explore(&RESPONSES, input);
}

/// Headers, and messages that travel inside others.
pub fn data_messages(input: &[u8]) {
    explore(&DATA, input);
}

fn explore(entries: &[Entry], input: &[u8]) {
    let mut dice = Dice::new(input);
    let entry = entries[usize::from(dice.byte()) % entries.len()];
    let version = entry.versions.min + i16::from(dice.byte()) % versions(&entry);
    entry.explore(&Bytes::copy_from_slice(dice.rest()), version);
}

/// The input that leads to this body: the target's name with it.
pub(crate) fn input(entry: &Entry, version: i16, body: &[u8]) -> (&'static str, Vec<u8>) {
    let (target, entries) = match kind(entry) {
        Kind::Request => ("requests", &REQUESTS),
        Kind::Response => ("responses", &RESPONSES),
        Kind::Data => ("data_messages", &DATA),
    };
    let index = entries.iter().position(|other| other.name == entry.name);
    let index = index.expect("every message is of one kind") as u8;
    let version = (version - entry.versions.min) as u8;
    (target, [&[index, version], body].concat())
}

fn versions(entry: &Entry) -> i16 {
    entry.versions.max - entry.versions.min + 1
}

/// Requests and responses by ascending key, so that an input keeps its meaning when an API is
/// added.
fn entries(wanted: Kind) -> Vec<Entry> {
    let all = TABLE.values().filter(|entry| kind(entry) == wanted);
    let mut entries: Vec<Entry> = all.copied().collect();
    entries.sort_by_key(|entry| entry.api);
    entries
}

fn kind(entry: &Entry) -> Kind {
    match entry.api {
        None => Kind::Data,
        Some(_) if entry.name.ends_with("Request") => Kind::Request,
        Some(_) => Kind::Response,
    }
}
