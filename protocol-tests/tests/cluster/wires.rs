//! Slow and broken wires. Scenario 59.

use std::time::Duration;

use milena_broker::Verdict;
use milena_codec::ApiKey;

use crate::network::{Network, Wire};
use crate::{broker, builder, connect, numbers, read, send};

/// Scenario 59: 0049, 0047: a connection that ends in the middle of whatever it is carrying.
#[tokio::test(start_paused = true)]
async fn connections_that_end_in_the_middle_of_an_answer_lose_and_repeat_nothing() {
    let broker = broker(1, 1).await;
    let network = Network::of(&broker);
    let (client, _) = connect(&network, "node-1.mock:9092").await;
    let producer = client.producer().build().await.unwrap();
    for number in 0..300 {
        send(&producer, number).await;
    }
    for step in 0..40 {
        let (client, _) = connect(&network, "node-1.mock:9092").await;
        network.wire(Wire {
            cut_after: Some(900 + 811 * step),
            ..Wire::default()
        });
        let consumer = client.consumer().topics(["t"]).build();
        let mut consumer = consumer.await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(step > 10 || network.dials().len() > 3, "cut");
        network.wire(Wire::default());
        for expected in 0..300 {
            let record = consumer.recv().await.unwrap().unwrap();
            assert_eq!(record.value(), Some(expected.to_string().as_bytes()));
        }
    }
}

/// Scenario 59: 0075: sockets behind a long wire.
#[tokio::test(start_paused = true)]
async fn half_a_second_each_way_only_takes_its_time() {
    let broker = broker(2, 1).await;
    let network = Network::of(&broker);
    network.wire(Wire {
        delay: Duration::from_millis(500),
        ..Wire::default()
    });
    let (client, _) = connect(&network, "node-1.mock:9092").await;
    let producer = client.producer().build().await.unwrap();
    send(&producer, 0).await;
    let took = send(&producer, 1).await;
    assert!(
        took < Duration::from_millis(1_100),
        "one round trip: {took:?}"
    );
    assert_eq!(read(&client).await, numbers(0..2));
}

/// Scenario 59: 0047: answers that are slower than the time for them, until they are not.
#[tokio::test(start_paused = true)]
async fn answers_that_come_too_late_end_their_connections_and_nothing_else() {
    let broker = broker(1, 1).await;
    let network = Network::of(&broker);
    let (builder, _) = builder(&network, "node-1.mock:9092");
    let builder = builder.set("request.timeout.ms", "2000").unwrap();
    let client = builder.connect().await.unwrap();
    let producer = client.producer().build().await.unwrap();
    send(&producer, 0).await;
    let mut late = 6;
    broker.faults(move |request| match request.api {
        ApiKey::Produce | ApiKey::Fetch if late > 0 => {
            late -= 1;
            Verdict::Delay(Duration::from_secs(3))
        }
        _ => Verdict::Pass,
    });
    for number in 1..10 {
        send(&producer, number).await;
    }
    assert_eq!(read(&client).await, numbers(0..10));
}

/// Scenario 59: 0093: a fetch that waits for data holds up nothing else.
#[tokio::test(start_paused = true)]
async fn a_fetch_that_waits_holds_up_neither_metadata_nor_producing_nor_administration() {
    let broker = broker(1, 1).await;
    let network = Network::of(&broker);
    let (builder, _) = builder(&network, "node-1.mock:9092");
    let builder = builder.set("fetch.max.wait.ms", "20000").unwrap();
    let client = builder.connect().await.unwrap();
    let mut consumer = client.consumer().topics(["t"]).build().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let fetches = broker.with_model(|model| {
        let fetches = model.requests().filter(|r| r.request.api == ApiKey::Fetch);
        fetches.count()
    });
    assert_eq!(fetches, 1, "one fetch is waiting");
    let begun = tokio::time::Instant::now();
    client.cluster().refreshed(crate::soon()).await.unwrap();
    client
        .admin()
        .describe_cluster(crate::soon())
        .await
        .unwrap();
    let producer = client.producer().build().await.unwrap();
    send(&producer, 0).await;
    assert!(consumer.recv().await.unwrap().is_some());
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
}
