//! The settings that are read, by Kafka's own names.

/// One setting: what it is called, and what it is without being set.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// Other names accepted for it: librdkafka's.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) default: &'static str,
    pub(crate) is_secret: bool,
}

const fn known(
    name: &'static str,
    default: &'static str,
    aliases: &'static [&'static str],
) -> Known {
    Known {
        name,
        aliases,
        default,
        is_secret: false,
    }
}

const fn secret(name: &'static str, aliases: &'static [&'static str]) -> Known {
    Known {
        name,
        aliases,
        default: "",
        is_secret: true,
    }
}

/// In the order in which [`super::Settings::explain`] prints them. An empty default is "not set".
pub(crate) const KNOWN: &[Known] = &[
    known("bootstrap.servers", "", &["metadata.broker.list"]),
    known("client.id", "milena", &[]),
    known("security.protocol", "PLAINTEXT", &[]),
    known("sasl.mechanism", "GSSAPI", &["sasl.mechanisms"]),
    secret("sasl.jaas.config", &[]),
    known("sasl.username", "", &[]),
    secret("sasl.password", &[]),
    known("ssl.truststore.type", "PEM", &[]),
    known("ssl.truststore.location", "", &["ssl.ca.location"]),
    known("ssl.truststore.certificates", "", &["ssl.ca.pem"]),
    known("ssl.keystore.type", "PEM", &[]),
    known("ssl.keystore.location", "", &[]),
    known("ssl.certificate.location", "", &[]),
    known(
        "ssl.keystore.certificate.chain",
        "",
        &["ssl.certificate.pem"],
    ),
    known("ssl.key.location", "", &[]),
    secret("ssl.keystore.key", &["ssl.key.pem"]),
    known("ssl.endpoint.identification.algorithm", "https", &[]),
    known("request.timeout.ms", "30000", &["socket.timeout.ms"]),
    known("socket.connection.setup.timeout.ms", "10000", &[]),
    known("socket.connection.setup.timeout.max.ms", "30000", &[]),
    known("connections.max.idle.ms", "180000", &[]),
    known("reconnect.backoff.ms", "50", &[]),
    known("reconnect.backoff.max.ms", "1000", &[]),
    known("retry.backoff.ms", "100", &[]),
    known("retry.backoff.max.ms", "1000", &[]),
    known(
        "metadata.max.age.ms",
        "300000",
        &["topic.metadata.refresh.interval.ms"],
    ),
    known("metadata.recovery.strategy", "rebootstrap", &[]),
    known("metadata.recovery.rebootstrap.trigger.ms", "300000", &[]),
    known("address.map", "", &[]),
    known("allow.auto.create.topics", "true", &[]),
    known("acks", "all", &["request.required.acks"]),
    known("enable.idempotence", "", &[]),
    known("compression.type", "none", &["compression.codec"]),
    known("compression.gzip.level", "", &[]),
    known("compression.lz4.level", "", &[]),
    known("compression.zstd.level", "", &[]),
    known("linger.ms", "adaptive", &["queue.buffering.max.ms"]),
    known("batch.size", "1000000", &[]),
    known("batch.num.messages", "", &[]),
    known("buffer.memory", "33554432", &[]),
    known("max.request.size", "1048576", &["message.max.bytes"]),
    known("delivery.timeout.ms", "120000", &["message.timeout.ms"]),
    known("max.block.ms", "60000", &[]),
    known("partitioner.class", "java", &["partitioner"]),
    known("partitioner.ignore.keys", "false", &[]),
    known("partitioner.adaptive.partitioning.enable", "true", &[]),
    known("partitioner.availability.timeout.ms", "0", &[]),
    known("partitioner.rack.aware", "false", &[]),
    known("transactional.id", "", &[]),
    known("transaction.timeout.ms", "60000", &[]),
    known("transaction.two.phase.commit.enable", "false", &[]),
    known("client.rack", "", &[]),
    known("fetch.min.bytes", "1", &[]),
    known("fetch.max.bytes", "52428800", &[]),
    known("fetch.max.wait.ms", "500", &["fetch.wait.max.ms"]),
    known(
        "max.partition.fetch.bytes",
        "1048576",
        &["fetch.message.max.bytes"],
    ),
    known("check.crcs", "true", &[]),
    known("auto.offset.reset", "none", &[]),
    known("isolation.level", "read_uncommitted", &[]),
];
