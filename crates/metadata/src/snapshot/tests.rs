use super::*;

fn topic(name: &str, error: Option<ErrorCode>) -> (Str, Arc<Topic>) {
    let topic = Topic {
        name: name.into(),
        id: Uuid::ZERO,
        is_internal: false,
        partitions: Vec::new(),
        error,
    };
    (topic.name.clone(), Arc::new(topic))
}

#[test]
fn similar_names_are_of_topics_that_exist() {
    let snapshot = Snapshot {
        topics: BTreeMap::from([
            topic("orders", None),
            topic("ordres", Some(ErrorCode::UnknownTopicOrPartition)),
            topic("payments", None),
        ]),
        ..Snapshot::default()
    };
    assert_eq!(snapshot.similar("order"), ["orders"]);
    assert!(snapshot.similar("unrelated").is_empty());
}

#[test]
fn a_leader_that_is_not_among_the_brokers_is_no_leader() {
    let partition = Partition {
        index: 0,
        leader: Some(4),
        leader_epoch: None,
        replicas: vec![4],
        isr: vec![4],
        offline: vec![],
        error: None,
    };
    let (name, topic) = topic("t", None);
    let topic = Topic {
        partitions: vec![partition],
        ..Topic::clone(&topic)
    };
    let mut snapshot = Snapshot {
        topics: BTreeMap::from([(name, Arc::new(topic))]),
        ..Snapshot::default()
    };
    assert!(snapshot.leader("t", 0).is_none());
    let broker = BrokerInfo {
        id: 4,
        host: "h".into(),
        port: 1,
        rack: None,
    };
    snapshot.brokers.insert(4, broker);
    assert_eq!(snapshot.leader("t", 0).unwrap().broker.id, 4);
}
