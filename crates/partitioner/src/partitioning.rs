//! The choices there are, by the client they come from.

use std::str::FromStr;
use std::sync::Arc;

use crate::Partitioner;
use crate::key_hash::KeyHash;

/// How a producer chooses the partition of a record that names none.
///
/// "Sticky" is the choice of KIP-480 and KIP-794: one partition for about a batch's worth of
/// bytes, then another one, by default the likelier the less waits for it. "Random" and "round
/// robin" change with each record, so their batches are smaller. All three prefer partitions that
/// have a leader; a key's partition does not depend on that.
///
/// Those named after other clients put every key where that client does; an empty key is a key
/// unless said. They can be parsed from the names given, and the others' own names.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Partitioning {
    /// The Java client's: murmur2 of the key, sticky without one. `java`.
    #[default]
    Java,
    /// All in turn, whether there is a key or not: the Java client's `RoundRobinPartitioner`,
    /// Sarama's and franz-go's. Each topic handle begins anywhere. `round_robin`.
    RoundRobin,
    /// librdkafka's.
    Librdkafka(Librdkafka),
    /// Sarama's.
    Sarama(Sarama),
    /// KafkaJS'.
    KafkaJs(KafkaJs),
    /// franz-go's.
    FranzGo(FranzGo),
    /// The user's own.
    Custom(Arc<dyn Partitioner>),
}

/// librdkafka's partitioners, by its names for them. Where its `sticky.partitioning.linger.ms`
/// changes partitions by time, this changes by bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Librdkafka {
    /// `consistent_random`, its default: CRC-32 of the key, sticky for null and empty keys.
    #[default]
    ConsistentRandom,
    /// `consistent`: CRC-32 of the key; null and empty keys to partition 0.
    Consistent,
    /// `random`: random with a key, sticky without.
    Random,
    /// `murmur2`: as the Java client, but null keys are taken as empty ones.
    Murmur2,
    /// `murmur2_random`: as the Java client.
    Murmur2Random,
    /// `fnv1a`: as Sarama, but null keys are taken as empty ones.
    Fnv1a,
    /// `fnv1a_random`: as Sarama, sticky without a key.
    Fnv1aRandom,
}

/// Sarama's partitioners. Its round robin is [`Partitioning::RoundRobin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sarama {
    /// `NewHashPartitioner`, its default: FNV-1a of the key, signed, then without its sign; random
    /// without a key. `sarama_hash`.
    #[default]
    Hash,
    /// `NewReferenceHashPartitioner`: FNV-1a without its sign bit; random without a key.
    /// `sarama_reference_hash`.
    ReferenceHash,
    /// `NewConsistentCRCHashPartitioner`: CRC-32 of the key; random without one.
    /// `sarama_consistent_crc`.
    ConsistentCrc,
    /// `NewMurmur2Partitioner`: murmur2 as the Java client; random without a key.
    /// `sarama_murmur2`.
    Murmur2,
    /// `NewRandomPartitioner`: random with and without a key. `sarama_random`.
    Random,
    /// `NewManualPartitioner`: the partition that the record names, 0 if it names none.
    /// `sarama_manual`.
    Manual,
}

/// KafkaJS' partitioners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KafkaJs {
    /// `DefaultPartitioner` of 2.0 and later, `JavaCompatiblePartitioner` before: murmur2 as the
    /// Java client; round robin without a key. `kafkajs_default`.
    #[default]
    Default,
    /// `LegacyPartitioner`, the default before 2.0: a murmur2 that loses bits; round robin without
    /// a key. `kafkajs_legacy`.
    Legacy,
}

/// franz-go's partitioners. Its round robin is [`Partitioning::RoundRobin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FranzGo {
    /// `StickyKeyPartitioner(nil)`, and `UniformBytesPartitioner` with keys: as the Java client.
    /// `franz_sticky_key`.
    #[default]
    StickyKey,
    /// `StickyPartitioner`: sticky, whether there is a key or not. `franz_sticky`.
    Sticky,
    /// `StickyKeyPartitioner(SaramaCompatHasher(fnv1a))`: Sarama's keys, sticky without one.
    /// `franz_sarama_compat`.
    SaramaCompat,
    /// `StickyKeyPartitioner(SaramaHasher(fnv1a))` on 64-bit machines: all bits of FNV-1a, which
    /// Sarama never did; sticky without a key. `franz_sarama_hasher`.
    SaramaHasher,
}

/// What decides on the partition of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Hash(KeyHash),
    Sticky,
    Random,
    RoundRobin,
    /// Partition 0.
    First,
    /// The user's partitioner.
    Custom,
}

/// The rule for each kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    null: Rule,
    empty: Rule,
    keyed: Rule,
}

impl Rules {
    const fn all(rule: Rule) -> Self {
        Self {
            null: rule,
            empty: rule,
            keyed: rule,
        }
    }

    /// A hash of the key, and a rule without one.
    const fn hash(hash: KeyHash, null: Rule) -> Self {
        let keyed = Rule::Hash(hash);
        Self {
            null,
            empty: keyed,
            keyed,
        }
    }

    #[inline]
    pub(crate) fn of(&self, key: Option<&[u8]>) -> Rule {
        match key {
            None => self.null,
            Some([]) => self.empty,
            Some(_) => self.keyed,
        }
    }

    /// Treats every record as one without a key.
    pub(crate) const fn without_keys(self) -> Self {
        Self::all(self.null)
    }
}

impl Partitioning {
    /// A choice of the user's own.
    pub fn custom(partitioner: impl Partitioner + 'static) -> Self {
        Self::Custom(Arc::new(partitioner))
    }

    pub(crate) fn rules(&self) -> Rules {
        match self {
            Self::Java => Rules::hash(KeyHash::Murmur2, Rule::Sticky),
            Self::RoundRobin => Rules::all(Rule::RoundRobin),
            Self::Librdkafka(which) => which.rules(),
            Self::Sarama(which) => which.rules(),
            Self::KafkaJs(KafkaJs::Default) => Rules::hash(KeyHash::Murmur2, Rule::RoundRobin),
            Self::KafkaJs(KafkaJs::Legacy) => Rules::hash(KeyHash::Murmur2Legacy, Rule::RoundRobin),
            Self::FranzGo(FranzGo::StickyKey) => Rules::hash(KeyHash::Murmur2, Rule::Sticky),
            Self::FranzGo(FranzGo::Sticky) => Rules::all(Rule::Sticky),
            Self::FranzGo(FranzGo::SaramaCompat) => Rules::hash(KeyHash::Fnv1aSigned, Rule::Sticky),
            Self::FranzGo(FranzGo::SaramaHasher) => {
                Rules::hash(KeyHash::Fnv1aUnsigned, Rule::Sticky)
            }
            Self::Custom(_) => Rules::all(Rule::Custom),
        }
    }
}

impl Librdkafka {
    fn rules(self) -> Rules {
        let all_hashed = |hash| Rules::all(Rule::Hash(hash));
        match self {
            Self::ConsistentRandom => Rules {
                empty: Rule::Sticky,
                ..Rules::hash(KeyHash::Crc32, Rule::Sticky)
            },
            Self::Consistent => all_hashed(KeyHash::Crc32),
            Self::Random => Rules {
                null: Rule::Sticky,
                ..Rules::all(Rule::Random)
            },
            Self::Murmur2 => all_hashed(KeyHash::Murmur2),
            Self::Murmur2Random => Rules::hash(KeyHash::Murmur2, Rule::Sticky),
            Self::Fnv1a => all_hashed(KeyHash::Fnv1aSigned),
            Self::Fnv1aRandom => Rules::hash(KeyHash::Fnv1aSigned, Rule::Sticky),
        }
    }
}

impl Sarama {
    fn rules(self) -> Rules {
        match self {
            Self::Hash => Rules::hash(KeyHash::Fnv1aSigned, Rule::Random),
            Self::ReferenceHash => Rules::hash(KeyHash::Fnv1aMasked, Rule::Random),
            Self::ConsistentCrc => Rules::hash(KeyHash::Crc32, Rule::Random),
            Self::Murmur2 => Rules::hash(KeyHash::Murmur2, Rule::Random),
            Self::Random => Rules::all(Rule::Random),
            Self::Manual => Rules::all(Rule::First),
        }
    }
}

/// No partitioning has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPartitioning;

impl std::fmt::Display for UnknownPartitioning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unknown partitioning; it is ")?;
        f.write_str(Partitioning::EXPECTED)
    }
}

impl std::error::Error for UnknownPartitioning {}

impl Partitioning {
    /// What a name looks like.
    pub const EXPECTED: &str = "java, round_robin, one of librdkafka's partitioners such as \
         consistent_random, sarama_hash and others of other clients, or the class of one of the \
         Java client's own partitioners";
}

impl FromStr for Partitioning {
    type Err = UnknownPartitioning;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let class = name.strip_prefix("org.apache.kafka.clients.producer.");
        Ok(match class.unwrap_or(name) {
            "java" | "internals.DefaultPartitioner" => Self::Java,
            "round_robin" | "RoundRobinPartitioner" => Self::RoundRobin,
            "consistent_random" => Self::Librdkafka(Librdkafka::ConsistentRandom),
            "consistent" => Self::Librdkafka(Librdkafka::Consistent),
            "random" => Self::Librdkafka(Librdkafka::Random),
            "murmur2" => Self::Librdkafka(Librdkafka::Murmur2),
            "murmur2_random" => Self::Librdkafka(Librdkafka::Murmur2Random),
            "fnv1a" => Self::Librdkafka(Librdkafka::Fnv1a),
            "fnv1a_random" => Self::Librdkafka(Librdkafka::Fnv1aRandom),
            "sarama_hash" => Self::Sarama(Sarama::Hash),
            "sarama_reference_hash" => Self::Sarama(Sarama::ReferenceHash),
            "sarama_consistent_crc" => Self::Sarama(Sarama::ConsistentCrc),
            "sarama_murmur2" => Self::Sarama(Sarama::Murmur2),
            "sarama_random" => Self::Sarama(Sarama::Random),
            "sarama_manual" => Self::Sarama(Sarama::Manual),
            "kafkajs_default" => Self::KafkaJs(KafkaJs::Default),
            "kafkajs_legacy" => Self::KafkaJs(KafkaJs::Legacy),
            "franz_sticky_key" => Self::FranzGo(FranzGo::StickyKey),
            "franz_sticky" | "UniformStickyPartitioner" => Self::FranzGo(FranzGo::Sticky),
            "franz_sarama_compat" => Self::FranzGo(FranzGo::SaramaCompat),
            "franz_sarama_hasher" => Self::FranzGo(FranzGo::SaramaHasher),
            _ => return Err(UnknownPartitioning),
        })
    }
}
