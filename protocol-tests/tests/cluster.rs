//! Clients of clusters that move, throttle and are hard to reach, on a paused clock.

#[path = "cluster/network.rs"]
mod network;
#[path = "cluster/throttles.rs"]
mod throttles;
#[path = "cluster/wires.rs"]
mod wires;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use milena::{
    Client, ClientBuilder, ClusterEvent, Environment, Producer, RebootstrapReason, Record, Start,
};
use milena_broker::Broker;

use network::Network;

type Events = Arc<Mutex<Vec<ClusterEvent>>>;

async fn broker(nodes: usize, seed: u64) -> Broker {
    let builder = Broker::builder().nodes(nodes).seed(seed).topic("t", 1);
    builder.start().await.unwrap()
}

fn builder(network: &Arc<Network>, bootstrap: &str) -> (ClientBuilder, Events) {
    let events = Events::default();
    let seen = Arc::clone(&events);
    let env = Environment::seeded(11, Arc::clone(network) as _);
    let builder = Client::builder()
        .bootstrap(bootstrap)
        .environment(env)
        .on_event(move |event| seen.lock().unwrap().push(event.clone()));
    (builder, events)
}

async fn connect(network: &Arc<Network>, bootstrap: &str) -> (Client, Events) {
    let (builder, events) = builder(network, bootstrap);
    (builder.connect().await.unwrap(), events)
}

fn soon() -> Instant {
    tokio::time::Instant::now().into_std() + Duration::from_secs(10)
}

/// Sends a record and waits for its acknowledgement; how long that took.
async fn send(producer: &Producer, value: impl ToString) -> Duration {
    let begun = tokio::time::Instant::now();
    let value = value.to_string();
    let receipt = producer.send(Record::to("t").value(&value)).await.unwrap();
    receipt.await.unwrap();
    begun.elapsed()
}

/// All values of the topic's only partition.
async fn read(client: &Client) -> Vec<String> {
    let consumer = client.consumer().topics(["t"]).from(Start::Beginning);
    let mut consumer = consumer.stop_at_end(true).build().await.unwrap();
    let mut values = Vec::new();
    while let Some(batch) = consumer.next_batch().await.unwrap() {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        values.extend(batch.iter().map(|record| text(record.value.unwrap())));
    }
    values
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Scenario 57: 0149, RebootstrapTest.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_replaced_at_the_same_addresses_is_gone_on_with() {
    let old = broker(3, 1).await;
    let network = Network::of(&old);
    let (client, events) = connect(&network, "node-1.mock:9092").await;
    let producer = client.producer().build().await.unwrap();
    for number in 0..10 {
        send(&producer, number).await;
    }
    assert_eq!(read(&client).await, numbers(0..10));
    let new = broker(3, 2).await;
    for name in new.bootstrap().split(',') {
        network.lead(name, &new, name);
    }
    old.close().await;
    for number in 10..20 {
        assert!(send(&producer, number).await < Duration::from_secs(5));
    }
    assert_eq!(read(&client).await, numbers(10..20));
    let events = events.lock().unwrap();
    let told = |event: &ClusterEvent| matches!(event, ClusterEvent::ClusterChanged { .. });
    assert_eq!(events.iter().filter(|event| told(event)).count(), 1);
}

/// Scenario 57: 0149, KIP-899: other hosts, ports and brokers behind the same bootstrap name.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_moved_altogether_is_found_by_its_bootstrap_name() {
    let old = broker(2, 1).await;
    let network = Network::of(&old);
    network.lead("kafka.test:9092", &old, "node-1.mock:9092");
    let (client, events) = connect(&network, "kafka.test:9092").await;
    let producer = client.producer().build().await.unwrap();
    for number in 0..10 {
        send(&producer, number).await;
    }
    let new = broker(3, 1).await;
    for node in 1..=3 {
        let (host, port) = (format!("new-{node}.test"), 9_000 + node);
        let advertise =
            |model: &mut milena_broker::ClusterModel| model.advertise(i32::from(node), &host, port);
        new.with_model(advertise).unwrap();
        let place = format!("node-{node}.mock:9092");
        network.lead(&format!("{host}:{port}"), &new, &place);
        network.remove(&place);
    }
    network.lead("kafka.test:9092", &new, "node-2.mock:9092");
    old.close().await;
    for number in 10..20 {
        assert!(send(&producer, number).await < Duration::from_secs(5));
    }
    assert_eq!(read(&client).await, numbers(10..20));
    let unreachable = ClusterEvent::Rebootstrap {
        reason: RebootstrapReason::Unreachable,
    };
    let events = events.lock().unwrap();
    assert_eq!(events.iter().filter(|e| **e == unreachable).count(), 1);
}

/// Scenario 57: testReconnectAfterAddressChange.
#[tokio::test(start_paused = true)]
async fn a_broker_that_moves_to_another_address_is_followed() {
    let broker = broker(1, 1).await;
    let network = Network::of(&broker);
    network.lead("kafka.test:9092", &broker, "node-1.mock:9092");
    let (client, _) = connect(&network, "kafka.test:9092").await;
    let producer = client.producer().build().await.unwrap();
    send(&producer, 0).await;
    for step in 1..5_u16 {
        let port = 9_000 + step;
        let name = format!("moved.test:{port}");
        network.lead(&name, &broker, "node-1.mock:9092");
        network.remove("node-1.mock:9092");
        network.remove(&format!("moved.test:{}", port - 1));
        broker.with_model(|model| {
            model.kill_node(1).unwrap();
            model.start_node(1).unwrap();
            model.advertise(1, "moved.test", port).unwrap();
        });
        assert!(send(&producer, step).await < Duration::from_secs(5));
        assert_eq!(network.dials().last(), Some(&name));
    }
    assert_eq!(read(&client).await, numbers(0..5));
}

/// Scenario 57: 0151, 0152: brokers are added and removed.
#[tokio::test(start_paused = true)]
async fn brokers_that_come_and_go_one_by_one_lose_and_repeat_nothing() {
    let broker = broker(3, 1).await;
    let network = Network::of(&broker);
    let (client, events) = connect(&network, "node-1.mock:9092").await;
    let producer = client.producer().build().await.unwrap();
    let mut sent = 0;
    for node in [1, 2, 3, 1, 2, 3] {
        broker.with_model(|model| model.stop_node(node)).unwrap();
        for _ in 0..10 {
            assert!(send(&producer, sent).await < Duration::from_secs(5));
            sent += 1;
        }
        client.cluster().refreshed(soon()).await.unwrap();
        assert_eq!(client.metadata().brokers().count(), 2);
        broker.with_model(|model| model.start_node(node)).unwrap();
        client.cluster().refreshed(soon()).await.unwrap();
    }
    assert_eq!(read(&client).await, numbers(0..sent));
    let events = events.lock().unwrap();
    let count = |joined: bool| {
        let fits = |event: &&ClusterEvent| match event {
            ClusterEvent::BrokerJoined { .. } => joined,
            ClusterEvent::BrokerLeft { .. } => !joined,
            _ => false,
        };
        events.iter().filter(fits).count()
    };
    assert_eq!((count(true), count(false)), (3 + 6, 6));
}

/// The names that brokers advertise lead nowhere from where the client is.
#[tokio::test(start_paused = true)]
async fn a_cluster_behind_tunnels_is_reached_through_the_address_map() {
    let broker = broker(3, 1).await;
    let network = Arc::new(Network::default());
    for node in 1..=3 {
        let place = format!("node-{node}.mock:9092");
        network.lead(&format!("localhost:1909{node}"), &broker, &place);
    }
    let (builder, _) = builder(&network, "localhost:19091");
    let map = "node-1.mock:9092=localhost:19091, node-2.mock=localhost:19092, *.mock=*:19093, \
               node-3.mock:19093=localhost:19093, node-3.mock:9092=localhost:19093";
    let client = builder.clone().set("address.map", map).unwrap();
    let client = client.connect().await.unwrap();
    for node in 1..=3 {
        let leader =
            |model: &mut milena_broker::ClusterModel| model.move_leader("t", 0, node, None);
        drop(broker.with_model(leader)); // where it is already, it stays
        let producer = client.producer().build().await.unwrap();
        send(&producer, node - 1).await;
    }
    assert_eq!(read(&client).await, numbers(0..3));
    let dials = network.dials();
    assert!(dials.iter().all(|name| name.starts_with("localhost:1909")));
    let names: Vec<String> = client
        .metadata()
        .brokers()
        .map(|b| b.host.to_string())
        .collect();
    assert_eq!(names, ["node-1.mock", "node-2.mock", "node-3.mock"]);

    let lost = builder.connect().await.unwrap();
    let error = lost.cluster().refreshed(soon()).await;
    assert!(
        error.is_ok(),
        "the bootstrap server goes on giving metadata"
    );
    let producer = lost.producer().build().await.unwrap();
    let receipt = producer.send(Record::to("t").value("x")).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(5), receipt).await;
    assert!(waited.is_err(), "without the map no leader is reached");
}

/// One tunnel to one broker of a cluster of one.
#[tokio::test(start_paused = true)]
async fn everything_can_be_sent_through_one_tunnel() {
    let broker = broker(1, 1).await;
    let network = Arc::new(Network::default());
    network.lead("localhost:19092", &broker, "node-1.mock:9092");
    let (builder, _) = builder(&network, "localhost:19092");
    let client = builder.address_map("*=localhost:19092".parse().unwrap());
    let client = client.connect().await.unwrap();
    let producer = client.producer().build().await.unwrap();
    send(&producer, 0).await;
    assert_eq!(read(&client).await, ["0"]);
}

/// Scenario 57: positions of one cluster mean nothing in another.
#[tokio::test(start_paused = true)]
async fn a_consumer_never_reads_on_silently_in_another_cluster() {
    let old = broker(1, 1).await;
    let network = Network::of(&old);
    let (client, _) = connect(&network, "node-1.mock:9092").await;
    let producer = client.producer().build().await.unwrap();
    for number in 0..5 {
        send(&producer, number).await;
    }
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let consumer = client.consumer().topics(["t"]);
    let consumer = consumer.on_event(move |event| seen.lock().unwrap().push(format!("{event:?}")));
    let mut consumer = consumer.build().await.unwrap();
    for _ in 0..5 {
        consumer.recv().await.unwrap();
    }
    let new = broker(1, 2).await;
    network.lead("node-1.mock:9092", &new, "node-1.mock:9092");
    old.close().await;
    for number in 5..20 {
        send(&producer, number).await;
    }
    let read = tokio::time::timeout(Duration::from_secs(60), consumer.recv()).await;
    let read = read.expect("it is told");
    let told = events.lock().unwrap().join(", ");
    assert!(read.is_err(), "{told}");
}
