//! Quotas: a client that is asked to wait waits (KIP-219). Scenario 62.

use std::time::Duration;

use milena::{ClusterEvent, Record};
use milena_broker::{Broker, Verdict};
use milena_codec::ApiKey;
use tokio::time::sleep;

use crate::network::Network;
use crate::{broker, connect, numbers, read, send};

/// When the requests of this kind came.
fn arrivals(broker: &Broker, api: ApiKey) -> Vec<Duration> {
    broker.with_model(|model| {
        let requests = model.requests().map(|record| &record.request);
        let fitting = requests.filter(|request| request.api == api);
        fitting.map(|request| request.at).collect()
    })
}

/// Throttles the requests of one kind with these numbers, counted from 0.
fn throttle(broker: &Broker, api: ApiKey, which: &'static [usize], time: Duration) {
    let mut next = 0;
    broker.faults(move |request| {
        if request.api != api {
            return Verdict::Pass;
        }
        next += 1;
        match which.contains(&(next - 1)) {
            true => Verdict::Throttle(time),
            false => Verdict::Pass,
        }
    });
}

/// Scenario 62.
#[tokio::test(start_paused = true)]
async fn no_produce_request_leaves_while_the_broker_has_throttled_the_producer() {
    let broker = broker(1, 1).await;
    let network = Network::of(&broker);
    let (client, events) = connect(&network, "node-1.mock:9092").await;
    let producer = client.producer().build().await.unwrap();
    let rest = Duration::from_secs(3);
    throttle(&broker, ApiKey::Produce, &[2, 5], rest);
    let mut receipts = Vec::new();
    for number in 0..500 {
        let value = number.to_string();
        let receipt = producer.send(Record::to("t").value(&value)).await;
        receipts.push(receipt.unwrap());
        sleep(Duration::from_millis(20)).await;
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
    let at = arrivals(&broker, ApiKey::Produce);
    for throttled in [2, 5] {
        let pause = at[throttled + 1] - at[throttled];
        assert!(pause >= rest && pause < rest * 2, "{at:?}");
    }
    assert!(at[2] - at[1] < Duration::from_millis(100), "{at:?}");
    let cluster = client.cluster();
    let address = broker.bootstrap().parse().unwrap();
    assert_eq!(cluster.pool().throttled(&address), rest * 2);
    let told = |event: &&ClusterEvent| {
        matches!(event, ClusterEvent::Throttled { address: of, time, .. }
            if *of == address && *time == rest)
    };
    assert_eq!(events.lock().unwrap().iter().filter(told).count(), 2);
    assert_eq!(read(&client).await, numbers(0..500));
}

/// Scenario 62: a full pipeline stops at the answer that throttles, not some requests later.
#[tokio::test(start_paused = true)]
async fn a_throttle_stops_a_producer_that_has_more_to_send() {
    let broker = broker(1, 1).await;
    let network = Network::of(&broker);
    let (client, _) = connect(&network, "node-1.mock:9092").await;
    let mut config = milena::ProducerConfig::default();
    config.batch_size = 2_000;
    config.max_request_size = 2_500;
    let producer = client.producer().config(config).build().await.unwrap();
    send(&producer, "first").await;
    throttle(&broker, ApiKey::Produce, &[0], Duration::from_secs(3));
    let value = "x".repeat(1_000);
    let mut receipts = Vec::new();
    for _ in 0..100 {
        let receipt = producer.send(Record::to("t").value(&value)).await;
        receipts.push(receipt.unwrap());
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
    let at = arrivals(&broker, ApiKey::Produce);
    let throttled = at[1];
    let during = |at: &&Duration| **at > throttled && **at < throttled + Duration::from_secs(3);
    assert_eq!(at.iter().filter(during).count(), 0, "{at:?}");
    let pipelined = at.iter().filter(|at| **at == throttled).count();
    assert!(pipelined <= 5, "what was under way: {at:?}");
}

/// Scenario 62.
#[tokio::test(start_paused = true)]
async fn no_fetch_leaves_while_the_broker_has_throttled_the_consumer_and_nothing_is_lost() {
    let broker = broker(1, 1).await;
    let network = Network::of(&broker);
    let (client, _) = connect(&network, "node-1.mock:9092").await;
    let producer = client.producer().build().await.unwrap();
    for number in 0..50 {
        send(&producer, number).await;
    }
    let rest = Duration::from_secs(2);
    throttle(&broker, ApiKey::Fetch, &[0], rest);
    assert_eq!(read(&client).await, numbers(0..50));
    let mut consumer = client.consumer().topics(["t"]).build().await.unwrap();
    throttle(&broker, ApiKey::Fetch, &[1], rest);
    for _ in 0..50 {
        consumer.recv().await.unwrap();
    }
    sleep(Duration::from_secs(5)).await;
    let at = arrivals(&broker, ApiKey::Fetch);
    let rested = at
        .windows(2)
        .filter(|pair| pair[1] - pair[0] >= rest)
        .count();
    assert!(rested >= 1, "{at:?}");
}

/// Scenario 62: other lanes to the broker go on, as its other connections do.
#[tokio::test(start_paused = true)]
async fn a_throttled_producer_does_not_hold_up_metadata() {
    let broker = broker(1, 1).await;
    let network = Network::of(&broker);
    let (client, _) = connect(&network, "node-1.mock:9092").await;
    let producer = client.producer().build().await.unwrap();
    throttle(&broker, ApiKey::Produce, &[0], Duration::from_secs(9));
    send(&producer, 0).await;
    let begun = tokio::time::Instant::now();
    client.cluster().refreshed(crate::soon()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    let took = send(&producer, 1).await;
    assert!(took > Duration::from_secs(7), "{took:?}");
}
