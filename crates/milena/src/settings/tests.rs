use super::{Jaas, KNOWN, SettingError, Settings, Source};

#[test]
fn a_name_of_librdkafka_sets_the_same_thing() {
    let mut settings = Settings::new();
    settings
        .set("metadata.broker.list", "a:1", Source::Code)
        .unwrap();
    assert_eq!(settings.value("bootstrap.servers"), Some("a:1"));
}

#[test]
fn an_unknown_name_is_refused_with_the_closest_one() {
    let error = Settings::new()
        .set(
            "boostrap.server",
            "a:1",
            Source::File("x.properties".into()),
        )
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown setting boostrap.server (x.properties); did you mean bootstrap.servers?"
    );
    assert!(matches!(
        Settings::new().set("zzz", "", Source::Code),
        Err(SettingError::Unknown { similar: None, .. })
    ));
}

#[test]
fn a_value_of_the_wrong_kind_names_setting_value_and_source() {
    let mut settings = Settings::new();
    settings
        .set("linger.ms", "soon", Source::Flag("--linger-ms".into()))
        .unwrap();
    assert_eq!(
        settings.millis("linger.ms").unwrap_err().to_string(),
        "linger.ms=soon (--linger-ms): a number of milliseconds is expected"
    );
}

#[test]
fn secrets_are_never_shown() {
    let mut settings = Settings::new();
    settings
        .set("sasl.password", "hunter2", Source::Code)
        .unwrap();
    assert!(!format!("{settings:?}{}", settings.explain()).contains("hunter2"));
    let error = settings.invalid("sasl.password", "something");
    assert!(!format!("{error:?}{error}").contains("hunter2"));
}

#[test]
fn explain_says_where_each_value_came_from() {
    let mut settings = Settings::new();
    settings
        .set("acks", "1", Source::Environment("MILENA_ACKS".into()))
        .unwrap();
    let text = settings.explain();
    assert!(text.contains("acks=1  # $MILENA_ACKS\n"));
    assert!(text.contains("linger.ms=adaptive  # default\n"));
}

#[test]
fn no_two_settings_share_a_name() {
    let mut names: Vec<_> = KNOWN
        .iter()
        .flat_map(|known| std::iter::once(&known.name).chain(known.aliases))
        .collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_jaas_line_gives_its_options() {
    let jaas = Jaas::parse(
        "org.apache.kafka.common.security.scram.ScramLoginModule required \
         username=\"alice\" password=\"a \\\"b\\\" = c;\" tokenauth=true;",
    )
    .unwrap();
    assert_eq!(jaas.option("username"), Some("alice"));
    assert_eq!(jaas.option("password"), Some("a \"b\" = c;"));
    assert_eq!(jaas.option("tokenauth"), Some("true"));
    assert!(Jaas::parse("nonsense").is_none());
    assert!(Jaas::parse("Module required username=\"open").is_none());
}

fn cluster(name: &str, value: &str) -> Result<milena_rpc::ClusterConfig, String> {
    let mut settings = Settings::new();
    settings.set(name, value, Source::Code).unwrap();
    let bootstrap = vec!["a:1".parse().unwrap()];
    settings
        .cluster(bootstrap)
        .map_err(|error| error.to_string())
}

#[test]
fn addresses_are_mapped_by_name_and_a_wrong_map_is_named() {
    let config = cluster("address.map", "broker1:9092=localhost:19092,*=tunnel").unwrap();
    let target = |text: &str| {
        config
            .net
            .address_map
            .target(&text.parse().unwrap())
            .to_string()
    };
    assert_eq!(target("broker1:9092"), "localhost:19092");
    assert_eq!(target("broker2:9092"), "tunnel:9092");
    let error = cluster("address.map", "broker1:9092").unwrap_err();
    assert!(error.contains("address.map=broker1:9092 (code)"), "{error}");
    assert!(error.contains("the = is missing"), "{error}");
}

#[test]
fn the_recovery_of_metadata_is_set_by_kafkas_names() {
    use milena_rpc::MetadataRecovery;
    let strategy = |value| cluster("metadata.recovery.strategy", value).map(|c| c.recovery);
    assert_eq!(strategy("NONE"), Ok(MetadataRecovery::None));
    assert_eq!(strategy("rebootstrap"), Ok(MetadataRecovery::Rebootstrap));
    assert!(
        strategy("hope")
            .unwrap_err()
            .contains("rebootstrap or none")
    );
    let after = cluster("metadata.recovery.rebootstrap.trigger.ms", "1500").unwrap();
    assert_eq!(after.rebootstrap_after.as_millis(), 1500);
}
