use super::*;

#[test]
fn the_defaults_are_valid_and_idempotent() {
    let config = ProducerConfig::default();
    config.validate().unwrap();
    assert!(config.is_idempotent());
}

#[test]
fn weaker_acks_switch_idempotence_off_unless_it_was_asked_for() {
    for acks in [Acks::None, Acks::Leader] {
        let mut config = ProducerConfig {
            acks,
            ..ProducerConfig::default()
        };
        config.validate().unwrap();
        assert!(!config.is_idempotent());
        config.enable_idempotence = Some(true);
        let error = ConfigError::IdempotenceNeedsAcksAll { acks };
        assert_eq!(config.validate(), Err(error));
    }
}

#[test]
fn a_rack_to_prefer_has_to_be_named() {
    let mut config = ProducerConfig {
        partitioner_rack_aware: true,
        ..ProducerConfig::default()
    };
    let error = Err(ConfigError::RackAwareNeedsClientRack);
    assert_eq!(config.validate(), error);
    config.client_rack = Some(Str::from_static("a"));
    config.validate().unwrap();
}

#[test]
fn contradicting_settings_are_named_in_pairs() {
    let config = ProducerConfig {
        delivery_timeout: Duration::from_secs(10),
        ..ProducerConfig::default()
    };
    let error = config.validate().unwrap_err().to_string();
    assert_eq!(
        error,
        "delivery_timeout must be at least linger + request_timeout (30s), not 10s"
    );
    let config = ProducerConfig {
        max_request_size: 1000,
        ..ProducerConfig::default()
    };
    let error = config.validate().unwrap_err().to_string();
    assert_eq!(
        error,
        "max_request_size must be at least batch_size (1000000), not 1000"
    );
}

#[test]
fn a_level_that_the_codec_lacks_is_refused() {
    let mut config = ProducerConfig {
        compression: Compression::Gzip,
        compression_level: Some(10),
        ..ProducerConfig::default()
    };
    assert!(config.validate().is_err());
    config.compression_level = Some(9);
    config.validate().unwrap();
}

#[test]
fn batches_of_no_records_and_flushes_of_nothing_are_refused() {
    let changes: [fn(&mut ProducerConfig); 3] = [
        |config| config.batch_records = Some(0),
        |config| config.flush_records = Some(0),
        |config| config.flush_bytes = Some(0),
    ];
    for change in changes {
        let mut config = ProducerConfig::default();
        change(&mut config);
        let error = config.validate().unwrap_err();
        assert!(matches!(error, ConfigError::TooSmall { .. }), "{error}");
    }
}
