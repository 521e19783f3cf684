//! Every codec at every kind of level, from record to log.
//!
//! Scenario 22.

use milena_broker::KafkaVersion;
use milena_producer::{Compression, ConfigError, ProducerConfig, Record};

use crate::world::{World, millis};

/// Runs of text and of noise, of all sizes around those where formats change.
fn values() -> Vec<Vec<u8>> {
    let mut state = 7_u32;
    let mut noise = |len: usize| -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    };
    let mut values = vec![vec![], noise(1), b"text ".repeat(40), noise(32_767)];
    values.extend([vec![0; 32_768], noise(3_000), b"more text ".repeat(6_600)]);
    values
}

fn levels(codec: Compression) -> Vec<Option<i32>> {
    let Some((min, max)) = codec.levels() else {
        return vec![None];
    };
    let all: Vec<i32> = if max - min < 30 {
        (min..=max).collect()
    } else {
        [min, -7, -1]
            .into_iter()
            .chain(1..=12)
            .chain([19, max])
            .collect()
    };
    std::iter::once(None)
        .chain(all.into_iter().map(Some))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_codec_and_level_brings_back_what_was_sent() {
    let values = values();
    let mut tried = 0;
    for codec in Compression::ALL {
        for level in levels(codec) {
            let world = World::start(1, 1).await;
            let mut config = ProducerConfig::default();
            config.compression = codec;
            config.compression_level = level;
            config.linger = millis(5).into();
            let producer = world.producer(config);
            for value in &values {
                let record = Record::to("t").key("k").value(value).header("h", value);
                drop(producer.send(record).await.unwrap());
            }
            let report = producer.flush().await.unwrap();
            assert_eq!(report.delivered, values.len() as u64, "{codec} {level:?}");
            let batches = world.batches(0);
            let codecs = batches.iter().map(|b| b.header().attributes.compression());
            assert!(codecs.eq([Ok(codec)]), "{codec} {level:?}");
            for (record, value) in batches[0].iter().zip(&values) {
                assert_eq!(record.value, Some(&value[..]), "{codec} {level:?}");
                let header = record.headers.into_iter().next().unwrap();
                assert_eq!(header.value, Some(&value[..]), "{codec} {level:?}");
            }
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried}");
}

#[tokio::test(start_paused = true)]
async fn a_level_that_the_codec_lacks_is_refused_by_its_name() {
    for codec in Compression::ALL {
        let wrong = codec.levels().map_or(1, |(_, max)| max + 1);
        let mut config = ProducerConfig::default();
        config.compression = codec;
        config.compression_level = Some(wrong);
        let error = config.validate().unwrap_err();
        assert!(matches!(error, ConfigError::CompressionLevel(_)));
        assert!(error.to_string().contains("compression_level"), "{error}");
    }
}

/// The topic's own codec replaces the producer's (`compression.type`), with offsets and content kept.
#[tokio::test(start_paused = true)]
async fn a_topic_with_a_codec_of_its_own_is_written_in_that() {
    for (sent, stored) in [
        (Compression::None, Compression::Lz4),
        (Compression::Zstd, Compression::Gzip),
        (Compression::Snappy, Compression::Zstd),
    ] {
        let world = World::start(1, 1).await;
        let name = stored.to_string();
        world.configure("compression.type", &name).await;
        let mut config = ProducerConfig::default();
        config.compression = sent;
        config.linger = millis(5).into();
        let producer = world.producer(config);
        for number in 0..100 {
            let value = format!("{number} {}", "x".repeat(100));
            drop(producer.send(Record::to("t").value(&value)).await.unwrap());
        }
        assert_eq!(producer.flush().await.unwrap().delivered, 100);
        let batch = world.batches(0).remove(0);
        assert_eq!(batch.header().attributes.compression(), Ok(stored));
        assert_eq!(world.numbers(0), (0..100).collect::<Vec<_>>());
    }
}

/// Brokers from 2.1 on read all of them.
#[tokio::test(start_paused = true)]
async fn the_oldest_brokers_take_every_codec() {
    for codec in Compression::ALL {
        let old = KafkaVersion::V2_1;
        let world = World::build(1, 1, |builder| builder.as_version(old)).await;
        let mut config = ProducerConfig::default();
        config.compression = codec;
        let producer = world.producer(config);
        let sent = producer.send(Record::to("t").value("0")).await.unwrap();
        let ack = sent.await;
        assert!(ack.is_ok(), "{codec}: {ack:?}");
        assert_eq!(world.numbers(0), [0]);
    }
}
