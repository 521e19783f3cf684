//! What the producer's own task does when nothing else happens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use milena_broker::{Broker, Verdict};
use milena_codec::{ApiKey, ErrorCode};
use milena_net::Environment;
use milena_producer::{Fate, ProducerConfig, Record};

use crate::fuse::fused;
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn a_batch_of_an_idle_producer_expires_in_time() {
    let world = World::start(1, 1).await;
    let mut config = ProducerConfig::default();
    config.request_timeout = Duration::from_secs(2);
    config.delivery_timeout = Duration::from_secs(3);
    let producer = world.producer(config);
    let receipt = producer.send(Record::to("t").value("0")).await.unwrap();
    receipt.await.unwrap();
    world.broker.faults(|_| Verdict::Silence);
    world.broker.with_model(|model| {
        model.kill_node(1).unwrap();
        model.start_node(1).unwrap();
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..10 {
        let begun = tokio::time::Instant::now();
        let receipt = producer.send(Record::to("t").value("1")).await.unwrap();
        let error = receipt.await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), 3, "{error}");
        assert_eq!(error.fate(), Fate::NotWritten);
        tokio::time::sleep(Duration::from_millis(3_700)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_spins_while_a_producer_id_is_asked_for_again() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let env = fused(Environment::seeded(0, broker.connector()), 100_000);
    let world = World::within(broker, env).await;
    let asked = AtomicU64::new(0);
    world.broker.faults(move |request| match request.api {
        ApiKey::InitProducerId if request.at < Duration::from_secs(3) => {
            Verdict::Error(ErrorCode::CoordinatorLoadInProgress)
        }
        ApiKey::InitProducerId if asked.fetch_add(1, Ordering::Relaxed) == 0 => {
            Verdict::Delay(Duration::from_secs(1))
        }
        _ => Verdict::Pass,
    });
    let mut config = ProducerConfig::default();
    config.request_timeout = Duration::from_secs(2);
    let producer = world.producer(config);
    let receipt = producer.send(Record::to("t").value("0")).await.unwrap();
    assert_eq!(receipt.await.unwrap().offset, Some(0));
}
