//! What a producer holds in memory when its brokers never answer and records come ten times as fast
//! as there is room for them (row R14), by a counting allocator.
//!
//! The brokers run on a thread of their own, whose memory does not count.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use allocation_counter::measure;
use milena_broker::{Broker, Verdict};
use milena_codec::ApiKey;
use milena_net::{Address, Environment, InlineOffload};
use milena_producer::{Producer, ProducerConfig, Record, TrySendError};
use milena_rpc::{Cluster, ClusterConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::Instant;

const NODES: usize = 3;
const MEMORY: usize = 8 * 1024 * 1024;
const BATCH: usize = 500_000;
const RECORD: usize = 1_000;

/// Brokers that take every Produce request and answer none.
struct Silent {
    bootstrap: String,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Silent {
    fn start() -> Self {
        let (tell, told) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let builder = Broker::builder().nodes(NODES).listen("127.0.0.1:0");
                let broker = builder.topic("t", 12).faults(|request| match request.api {
                    ApiKey::Produce => Verdict::Silence,
                    _ => Verdict::Pass,
                });
                let broker = broker.start().await.unwrap();
                tell.send(broker.bootstrap()).unwrap();
                // An error is an end, too.
                let _ = ended.await;
            });
        });
        Self {
            bootstrap: told.recv().unwrap(),
            end: Some(end),
            thread: Some(thread),
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.end.take();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Offers ten times the memory for two seconds, and returns how much went in.
async fn overload(bootstrap: &str, config: ProducerConfig) -> usize {
    let mut env = Environment::system();
    env.offload = Arc::new(InlineOffload);
    let deadline = env.now() + Duration::from_secs(30);
    let cluster = ClusterConfig::new(Address::parse_list(bootstrap).unwrap());
    let cluster = Cluster::connect(cluster, env, deadline).await.unwrap();
    let producer = Producer::new(cluster, config).unwrap();
    let topic = producer.topic("t").await.unwrap();
    let begun = Instant::now();
    let value = vec![0; RECORD];
    let (mut offered, mut accepted) = (0_usize, 0);
    while offered < 10 * MEMORY || begun.elapsed() < Duration::from_secs(2) {
        for _ in 0..1_000 {
            offered += RECORD;
            let partition = i32::try_from(offered / RECORD % 12).unwrap();
            match producer.try_send(Record::to(&topic).value(&value).partition(partition)) {
                Ok(receipt) => {
                    accepted += RECORD;
                    drop(receipt);
                }
                Err(TrySendError::Full) => {}
                Err(error) => panic!("{error}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let deadline = Instant::now() + Duration::from_millis(10);
    let report = producer.close(deadline.into_std()).await;
    assert_eq!(report.delivered, 0);
    accepted
}

fn assert_bounded(config: &ProducerConfig, at_least: usize) {
    let silent = Silent::start();
    let runtime = runtime();
    let mut accepted = 0;
    let info = measure(|| {
        accepted = runtime.block_on(overload(&silent.bootstrap, config.clone()));
    });
    let limit = MEMORY + MEMORY / 10 + NODES * BATCH;
    println!(
        "{accepted} bytes accepted, {} held at most, of {limit}",
        info.bytes_max
    );
    assert!(accepted >= at_least, "{accepted} bytes accepted");
    assert!(
        info.bytes_max <= limit as u64,
        "{} bytes, allowed {limit}",
        info.bytes_max
    );
}

fn config() -> ProducerConfig {
    let mut config = ProducerConfig::default();
    config.buffer_memory = MEMORY;
    config.batch_size = BATCH;
    config
}

#[test]
fn a_broker_that_never_answers_costs_no_more_than_the_share() {
    assert_bounded(&config(), MEMORY * 8 / 10);
}

#[test]
fn nor_do_batches_that_are_given_up_and_sent_again() {
    let mut config = config();
    config.request_timeout = Duration::from_millis(200);
    config.delivery_timeout = Duration::from_millis(500);
    assert_bounded(&config, 2 * MEMORY);
}
