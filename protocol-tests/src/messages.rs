//! Every message of the protocol by its name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use milena_codec::{
    ApiKey, Message, VersionRange, decode, decode_with_limit, encode, encoded_size, messages,
};

use crate::{allocation, hex};

/// A message, with what its type does hidden behind its name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name in Kafka's schemas.
    pub name: &'static str,
    /// The API it belongs to; `None` for headers and data messages.
    pub api: Option<ApiKey>,
    /// Its versions.
    pub versions: VersionRange,
    round_trip: fn(Bytes, i16) -> Result<Bytes>,
    decode: fn(Bytes, i16) -> bool,
    explore: fn(&Bytes, i16) -> bool,
}

impl Entry {
    /// Decodes the whole of `body` and encodes the message again.
    ///
    /// # Errors
    /// The codec's.
    pub fn round_trip(&self, body: Bytes, version: i16) -> Result<Bytes> {
        (self.round_trip)(body, version)
    }

    /// Decodes `body` and drops the message: whether it was one.
    pub fn decodes(&self, body: Bytes, version: i16) -> bool {
        (self.decode)(body, version)
    }

    /// Decodes bytes of any origin, and asserts what holds for all of them: no panic, allocation
    /// within the limit, and a decoded message encodes to bytes that decode to it. Whether they
    /// were a message.
    pub fn explore(&self, body: &Bytes, version: i16) -> bool {
        (self.explore)(body, version)
    }
}

/// All messages, by name.
pub static TABLE: LazyLock<BTreeMap<&'static str, Entry>> =
    LazyLock::new(|| milena_codec::for_each_message!(entries));

macro_rules! entries {
    ($($name:ident),*) => {
        BTreeMap::from([$((stringify!($name), entry::<messages::$name>())),*])
    };
}
use entries;

fn entry<M: Message>() -> Entry {
    Entry {
        name: M::NAME,
        api: api_of(M::NAME),
        versions: M::VERSIONS,
        round_trip: round_trip::<M>,
        decode: |body, version| decode::<M>(body, version).is_ok(),
        explore: explore::<M>,
    }
}

fn api_of(message: &str) -> Option<ApiKey> {
    let name = message
        .strip_suffix("Request")
        .or_else(|| message.strip_suffix("Response"))?;
    let mut all = ApiKey::ALL.iter().copied();
    all.find(|key| key.name() == name)
}

fn round_trip<M: Message>(body: Bytes, version: i16) -> Result<Bytes> {
    let message: M = decode(body, version)?;
    let bytes = encode(&message, version)?;
    let size = encoded_size(&message, version)?;
    ensure!(
        size == bytes.len(),
        "the size was counted as {size} but is {}",
        bytes.len()
    );
    Ok(bytes)
}

fn explore<M: Message>(body: &Bytes, version: i16) -> bool {
    let (decoded, peak) = allocation::peak(|| decode::<M>(body.clone(), version));
    let what = || format!("{} v{version}", M::NAME);
    let limit = allocation::limit(body.len());
    assert!(
        peak <= limit,
        "{}: {peak} bytes allocated of {limit}",
        what()
    );
    let Ok(message) = decoded else { return false };
    let bytes = encode(&message, version)
        .unwrap_or_else(|error| panic!("{} decodes and does not encode: {error}", what()));
    assert_eq!(encoded_size(&message, version), Ok(bytes.len()));
    // What it came from may have been longer, and with it the limit.
    let again: M = decode_with_limit(bytes.clone(), version, usize::MAX)
        .unwrap_or_else(|error| panic!("{} does not decode again: {error}", what()));
    assert_eq!(encode(&again, version).as_ref(), Ok(&bytes), "{}", what());
    // A float that is no number differs from itself.
    let same = again == message || format!("{again:?}") == format!("{message:?}");
    assert!(same, "{}: {message:?} became {again:?}", what());
    true
}

/// A line of the oracle: `key Name version hex`.
#[derive(Clone, Debug)]
pub struct Vector {
    /// The message; its name, key and version are known to go together.
    pub entry: Entry,
    /// The version.
    pub version: i16,
    /// The body.
    pub body: Bytes,
}

impl Vector {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it: not four fields, not numbers or hex, or a message, key or version
    /// that is not known.
    pub fn parse(line: &str) -> Result<Self> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [key, name, version, body] = fields[..] else {
            anyhow::bail!("not a line of four fields: key Name version hex");
        };
        let key: i16 = key.parse().context("the key is not a number")?;
        let version: i16 = version.parse().context("the version is not a number")?;
        let body = hex::decode(body).context("the body is not hex")?.into();
        let entry = *TABLE
            .get(name)
            .with_context(|| format!("no message is called {name}"))?;
        ensure!(
            key == entry.api.map_or(-1, ApiKey::code),
            "{name} does not have the key {key}"
        );
        ensure!(
            entry.versions.contains(version),
            "{name} has no version {version}, only {}",
            entry.versions
        );
        Ok(Self {
            entry,
            version,
            body,
        })
    }
}

/// The golden messages.
pub fn golden() -> impl Iterator<Item = Vector> {
    crate::MESSAGES
        .lines()
        .map(|line| Vector::parse(line).expect("the golden messages are well formed"))
}
