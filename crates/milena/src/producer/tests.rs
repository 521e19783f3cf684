use std::time::Duration;

use crate::settings::{Settings, Source};

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::new();
    for (name, value) in pairs {
        settings.set(name, *value, Source::Code).unwrap();
    }
    settings
}

#[test]
fn the_partitioner_is_set_by_the_names_of_kafka_and_of_librdkafka() {
    for (name, value, partitioner) in [
        (
            "partitioner.class",
            "org.apache.kafka.clients.producer.RoundRobinPartitioner",
            "RoundRobin",
        ),
        ("partitioner", "murmur2_random", "Librdkafka(Murmur2Random)"),
        ("partitioner.class", "sarama_hash", "Sarama(Hash)"),
        ("partitioner.class", "", "Java"),
    ] {
        let config = settings(&[(name, value)]).producer().unwrap();
        assert_eq!(format!("{:?}", config.partitioner), partitioner);
    }
    let error = settings(&[("partitioner", "com.example.Mine")])
        .producer()
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("partitioner.class=com.example.Mine (code): java, round_robin,"),
        "{error}"
    );
}

#[test]
fn what_the_partitioner_goes_by_is_set_by_kafkas_names() {
    let config = settings(&[
        ("partitioner.ignore.keys", "true"),
        ("partitioner.adaptive.partitioning.enable", "false"),
        ("partitioner.availability.timeout.ms", "1500"),
        ("partitioner.rack.aware", "true"),
        ("client.rack", "eu-1a"),
    ])
    .producer()
    .unwrap();
    assert!(config.partitioner_ignore_keys);
    assert!(!config.partitioner_adaptive);
    let timeout = config.partitioner_availability_timeout;
    assert_eq!(timeout, Duration::from_millis(1_500));
    assert!(config.partitioner_rack_aware);
    assert_eq!(config.client_rack.as_deref(), Some("eu-1a"));
    let config = settings(&[]).producer().unwrap();
    assert!(!config.partitioner_ignore_keys && config.partitioner_adaptive);
    assert!(!config.partitioner_rack_aware && config.client_rack.is_none());
}
