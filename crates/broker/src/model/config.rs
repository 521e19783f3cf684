//! Topic and broker settings: Kafka 4.3.1's names, types and defaults.
//!
//! These have an effect: `cleanup.policy` (compacted topics refuse records without a key),
//! `compression.type`, `max.message.bytes`, `message.timestamp.type`,
//! `message.timestamp.before.max.ms`, `message.timestamp.after.max.ms`, `min.insync.replicas` and
//! `retention.bytes`. The others are accepted if well-formed, stored and described.

use std::collections::BTreeMap;

use milena_codec::Str;
use milena_records::Compression;

/// The type of a setting, by its number in DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// A setting: name, type, default and, for a topic's, the broker's setting behind it.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    pub(crate) broker_name: Option<&'static str>,
    allowed: &'static [&'static str],
}

const fn define(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    broker_name: Option<&'static str>,
) -> Definition {
    Definition {
        name,
        kind,
        default,
        broker_name,
        allowed: &[],
    }
}

const MAX_LONG: &str = "9223372036854775807";

/// All topic settings of Kafka 4.3.1, by name.
#[rustfmt::skip]
pub(crate) const TOPIC: &[Definition] = &[
    Definition { allowed: &["compact", "delete"], ..define("cleanup.policy", Kind::List, "delete", Some("log.cleanup.policy")) },
    define("compression.gzip.level", Kind::Int, "-1", Some("compression.gzip.level")),
    define("compression.lz4.level", Kind::Int, "9", Some("compression.lz4.level")),
    Definition { allowed: &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"], ..define("compression.type", Kind::String, "producer", Some("compression.type")) },
    define("compression.zstd.level", Kind::Int, "3", Some("compression.zstd.level")),
    define("delete.retention.ms", Kind::Long, "86400000", Some("log.cleaner.delete.retention.ms")),
    define("file.delete.delay.ms", Kind::Long, "60000", Some("log.segment.delete.delay.ms")),
    define("flush.messages", Kind::Long, MAX_LONG, Some("log.flush.interval.messages")),
    define("flush.ms", Kind::Long, MAX_LONG, None),
    define("follower.replication.throttled.replicas", Kind::List, "", None),
    define("index.interval.bytes", Kind::Int, "4096", Some("log.index.interval.bytes")),
    define("leader.replication.throttled.replicas", Kind::List, "", None),
    define("local.retention.bytes", Kind::Long, "-2", Some("log.local.retention.bytes")),
    define("local.retention.ms", Kind::Long, "-2", Some("log.local.retention.ms")),
    define("max.compaction.lag.ms", Kind::Long, MAX_LONG, Some("log.cleaner.max.compaction.lag.ms")),
    define("max.message.bytes", Kind::Int, "1048588", Some("message.max.bytes")),
    define("message.timestamp.after.max.ms", Kind::Long, "3600000", Some("log.message.timestamp.after.max.ms")),
    define("message.timestamp.before.max.ms", Kind::Long, MAX_LONG, Some("log.message.timestamp.before.max.ms")),
    Definition { allowed: &["CreateTime", "LogAppendTime"], ..define("message.timestamp.type", Kind::String, "CreateTime", Some("log.message.timestamp.type")) },
    define("min.cleanable.dirty.ratio", Kind::Double, "0.5", Some("log.cleaner.min.cleanable.ratio")),
    define("min.compaction.lag.ms", Kind::Long, "0", Some("log.cleaner.min.compaction.lag.ms")),
    define("min.insync.replicas", Kind::Int, "1", Some("min.insync.replicas")),
    define("preallocate", Kind::Boolean, "false", Some("log.preallocate")),
    define("remote.log.copy.disable", Kind::Boolean, "false", None),
    define("remote.log.delete.on.disable", Kind::Boolean, "false", None),
    define("remote.storage.enable", Kind::Boolean, "false", None),
    define("retention.bytes", Kind::Long, "-1", Some("log.retention.bytes")),
    define("retention.ms", Kind::Long, "604800000", None),
    define("segment.bytes", Kind::Int, "1073741824", Some("log.segment.bytes")),
    define("segment.index.bytes", Kind::Int, "10485760", Some("log.index.size.max.bytes")),
    define("segment.jitter.ms", Kind::Long, "0", None),
    define("segment.ms", Kind::Long, "604800000", None),
    define("unclean.leader.election.enable", Kind::Boolean, "false", Some("unclean.leader.election.enable")),
];

/// Broker settings that this broker acts by, besides the topics' defaults in [`TOPIC`].
pub(crate) const BROKER: &[Definition] = &[
    define("fetch.max.bytes", Kind::Int, "57671680", None),
    define(
        "max.incremental.fetch.session.cache.slots",
        Kind::Int,
        "1000",
        None,
    ),
    define("offset.metadata.max.bytes", Kind::Int, "4096", None),
    define("socket.request.max.bytes", Kind::Int, "104857600", None),
];

/// A topic's settings: those that were set, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicConfig {
    set: BTreeMap<Str, Str>,
}

impl TopicConfig {
    /// The definition of a topic setting.
    pub(crate) fn definition(name: &str) -> Result<&'static Definition, String> {
        let found = TOPIC.iter().find(|definition| definition.name == name);
        found.ok_or_else(|| format!("Unknown topic config name: {name}"))
    }

    /// Sets one; the error is the message a broker answers.
    pub(crate) fn set(&mut self, name: &Str, value: Option<&Str>) -> Result<(), String> {
        let definition = Self::definition(name)?;
        let Some(value) = value else {
            return Err(format!(
                "Null value not supported for topic configs: {name}"
            ));
        };
        definition.check(value)?;
        self.set.insert(name.clone(), value.clone());
        Ok(())
    }

    /// Back to the default.
    pub(crate) fn unset(&mut self, name: &str) {
        self.set.remove(name);
    }

    /// Adds to or removes from a list setting.
    pub(crate) fn edit_list(&mut self, name: &Str, value: &str, add: bool) -> Result<(), String> {
        let definition = Self::definition(name)?;
        if definition.kind != Kind::List {
            let verb = if add { "APPEND to" } else { "SUBTRACT from" };
            return Err(format!(
                "Can't {verb} key {name} because its type is not LIST."
            ));
        }
        let now = self.value(definition);
        let mut items: Vec<&str> = now.split(',').filter(|item| !item.is_empty()).collect();
        for item in value.split(',') {
            items.retain(|known| *known != item);
            if add {
                items.push(item);
            }
        }
        let joined = items.join(",");
        self.set(name, Some(&joined.into()))
    }

    /// What was set for this topic.
    pub(crate) fn overridden(&self, name: &str) -> Option<&Str> {
        self.set.get(name)
    }

    /// The value in effect.
    pub(crate) fn value(&self, definition: &Definition) -> Str {
        self.set
            .get(definition.name)
            .cloned()
            .unwrap_or_else(|| Str::from_static(definition.default))
    }

    fn number(&self, name: &str) -> i64 {
        let definition = Self::definition(name).expect("only names in the table are asked for");
        self.value(definition)
            .parse()
            .expect("numbers are checked when they are set")
    }

    fn text_is(&self, name: &str, value: &str) -> bool {
        self.set
            .get(name)
            .is_some_and(|set| set.split(',').any(|item| item == value))
    }

    /// `max.message.bytes`.
    pub(crate) fn max_message_bytes(&self) -> usize {
        usize::try_from(self.number("max.message.bytes")).unwrap_or(0)
    }

    /// `min.insync.replicas`.
    pub(crate) fn min_insync_replicas(&self) -> usize {
        usize::try_from(self.number("min.insync.replicas")).unwrap_or(0)
    }

    /// `retention.bytes`, unless unlimited.
    pub(crate) fn retention_bytes(&self) -> Option<usize> {
        usize::try_from(self.number("retention.bytes")).ok()
    }

    /// How far a record's timestamp may lie before and after the broker's clock, in ms.
    pub(crate) fn timestamp_bounds(&self) -> (i64, i64) {
        let before = self.number("message.timestamp.before.max.ms");
        (before, self.number("message.timestamp.after.max.ms"))
    }

    /// Whether `cleanup.policy` includes `compact`.
    pub(crate) fn is_compacted(&self) -> bool {
        self.text_is("cleanup.policy", "compact")
    }

    /// Whether `cleanup.policy` is `compact` alone: nobody may delete records by offset.
    pub(crate) fn is_compacted_only(&self) -> bool {
        self.is_compacted() && !self.text_is("cleanup.policy", "delete")
    }

    /// Whether `message.timestamp.type` is `LogAppendTime`.
    pub(crate) fn is_log_append_time(&self) -> bool {
        self.text_is("message.timestamp.type", "LogAppendTime")
    }

    /// The codec that all batches are stored in, unless it is the producer's.
    pub(crate) fn compression(&self) -> Option<Compression> {
        match self.overridden("compression.type").map(|value| &**value)? {
            "uncompressed" => Some(Compression::None),
            "gzip" => Some(Compression::Gzip),
            "snappy" => Some(Compression::Snappy),
            "lz4" => Some(Compression::Lz4),
            "zstd" => Some(Compression::Zstd),
            _ => None,
        }
    }
}

impl Definition {
    fn check(&self, value: &str) -> Result<(), String> {
        let name = self.name;
        let kind = match self.kind {
            Kind::Boolean => (!matches!(value, "true" | "false")).then_some("a boolean"),
            Kind::Int => value
                .parse::<i32>()
                .is_err()
                .then_some("a number of type INT"),
            Kind::Long => value
                .parse::<i64>()
                .is_err()
                .then_some("a number of type LONG"),
            Kind::Double => value
                .parse::<f64>()
                .is_err()
                .then_some("a number of type DOUBLE"),
            Kind::String | Kind::List => None,
        };
        if let Some(kind) = kind {
            return Err(format!(
                "Invalid value {value} for configuration {name}: Not {kind}"
            ));
        }
        let allowed = |item: &str| self.allowed.is_empty() || self.allowed.contains(&item);
        if self.kind == Kind::List && !value.is_empty() && !value.split(',').all(allowed)
            || self.kind == Kind::String && !allowed(value)
        {
            let list = self.allowed.join(", ");
            return Err(format!(
                "Invalid value {value} for configuration {name}: String must be one of: {list}"
            ));
        }
        if matches!(name, "max.message.bytes" | "min.compaction.lag.ms") && value.starts_with('-') {
            return Err(format!(
                "Invalid value {value} for configuration {name}: Value must be at least 0"
            ));
        }
        if name == "min.insync.replicas" && value.parse::<i32>().is_ok_and(|n| n < 1) {
            return Err(format!(
                "Invalid value {value} for configuration {name}: Value must be at least 1"
            ));
        }
        Ok(())
    }
}
