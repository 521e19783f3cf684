use super::*;

fn lookup(topics: &[&str], create: bool) -> Lookup {
    Lookup {
        topics: topics.iter().map(|name| Str::from(*name)).collect(),
        create,
        refresh: None,
        covers: 0,
    }
}

#[test]
fn every_look_up_can_be_written_in_every_version_it_names() {
    for lookup in [
        lookup(&[], false),
        lookup(&["a", "b"], false),
        lookup(&["a"], true),
    ] {
        for version in lookup.versions().iter() {
            let request = lookup.request(version);
            milena_codec::encode(&request, version).unwrap();
        }
    }
}

#[test]
fn asking_for_no_topic_never_becomes_asking_for_all() {
    let lookup = lookup(&[], false);
    assert_eq!(lookup.versions().min, 1);
    for version in lookup.versions().iter() {
        assert_eq!(lookup.request(version).topics, Some(Vec::new()));
    }
}

#[test]
fn a_look_up_that_must_not_create_needs_a_version_that_can_say_so() {
    assert_eq!(lookup(&["a"], false).versions().min, 4);
    for version in 4..=13 {
        let request = lookup(&["a"], false).request(version);
        assert!(!request.allow_auto_topic_creation);
        assert!(
            lookup(&["a"], true)
                .request(version)
                .allow_auto_topic_creation
        );
    }
}
