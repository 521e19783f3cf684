//! What a record costs in allocations on its client's thread: its share of a batch's, and nothing of
//! its own. The broker runs on a thread of its own, whose allocations do not count.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use allocation_counter::measure;
use milena_broker::Broker;
use milena_consumer::{Consumer, ConsumerConfig, Start};
use milena_net::{Address, Environment, InlineOffload};
use milena_producer::{Compression, Linger, Producer, ProducerConfig, Record, TopicHandle};
use milena_rpc::{Cluster, ClusterConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// With 100 bytes a record more than 500 of them.
const BATCH: usize = 64 * 1024;
/// The default, with some 9,000 of them.
const LARGE: usize = 1_000_000;
const RECORDS: usize = 60_000;
/// More than what two large batches hold.
const WINDOW: usize = 20_000;

struct Elsewhere {
    bootstrap: String,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Elsewhere {
    fn start() -> Self {
        let (tell, told) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let broker = Broker::builder().listen("127.0.0.1:0").topic("t", 2);
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

    async fn cluster(&self) -> Cluster {
        let mut env = Environment::system();
        env.offload = Arc::new(InlineOffload);
        let config = ClusterConfig::new(Address::parse_list(&self.bootstrap).unwrap());
        let deadline = env.now() + Duration::from_secs(30);
        Cluster::connect(config, env, deadline).await.unwrap()
    }

    async fn producer(&self, compression: Compression, batch: usize) -> (Producer, TopicHandle) {
        let mut config = ProducerConfig::default();
        config.batch_size = batch;
        config.linger = Linger::Fixed(Duration::from_secs(60));
        config.compression = compression;
        let producer = Producer::new(self.cluster().await, config).unwrap();
        let topic = producer.topic("t").await.unwrap();
        (producer, topic)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.end.take();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Allocations of this thread while `work` runs.
fn allocations(runtime: &Runtime, work: impl Future<Output = ()>) -> u64 {
    measure(|| runtime.block_on(work)).count_total
}

async fn send_and_wait(producer: &Producer, topic: &TopicHandle, records: usize) {
    let value = [b'v'; 100];
    let mut receipts = Vec::with_capacity(records);
    for _ in 0..records {
        receipts.push(
            producer
                .send(Record::to(topic).value(&value))
                .await
                .unwrap(),
        );
    }
    producer.flush().await.unwrap();
    for receipt in receipts {
        receipt.await.unwrap();
    }
}

/// Waits for the oldest receipt while later records travel.
async fn send_and_wait_meanwhile(producer: &Producer, topic: &TopicHandle, records: usize) {
    let value = [b'v'; 100];
    let mut receipts = VecDeque::with_capacity(records);
    for _ in 0..records {
        let record = Record::to(topic).value(&value).partition(0);
        receipts.push_back(producer.send(record).await.unwrap());
        if receipts.len() == WINDOW {
            receipts.pop_front().unwrap().await.unwrap();
        }
    }
    producer.flush().await.unwrap();
    for receipt in receipts {
        receipt.await.unwrap();
    }
}

async fn send_and_forget(producer: &Producer, topic: &TopicHandle, records: usize, size: usize) {
    let value = vec![b'v'; size];
    for _ in 0..records {
        drop(
            producer
                .send(Record::to(topic).value(&value))
                .await
                .unwrap(),
        );
    }
    producer.flush().await.unwrap();
}

/// Allocations for each 1,000 records, awaited afterwards and meanwhile.
fn out(runtime: &Runtime, broker: &Elsewhere, compression: Compression, batch: usize) -> [u64; 2] {
    let (producer, topic) = runtime.block_on(broker.producer(compression, batch));
    runtime.block_on(send_and_wait(&producer, &topic, RECORDS));
    let later = allocations(runtime, send_and_wait(&producer, &topic, RECORDS));
    let meanwhile = send_and_wait_meanwhile(&producer, &topic, RECORDS);
    let meanwhile = allocations(runtime, meanwhile);
    let allocated = [later, meanwhile].map(|all| all.div_ceil(RECORDS as u64 / 1_000));
    println!("{compression:?}, batches of {batch} bytes: {allocated:?}");
    allocated
}

#[test]
fn a_record_out_allocates_a_hundredth_of_an_allocation() {
    let (broker, runtime) = (Elsewhere::start(), runtime());
    for compression in Compression::ALL {
        for allocated in out(&runtime, &broker, compression, LARGE) {
            assert!(allocated <= 10, "{compression:?}: {allocated}");
        }
        for allocated in out(&runtime, &broker, compression, BATCH) {
            assert!(allocated <= 60, "{compression:?}: {allocated}");
        }
    }
}

#[test]
fn a_record_whose_receipt_is_dropped_allocates_nothing_beside_its_batch() {
    let (broker, runtime) = (Elsewhere::start(), runtime());
    let (producer, topic) = runtime.block_on(broker.producer(Compression::None, BATCH));
    let send = |records, size| send_and_forget(&producer, &topic, records, size);
    runtime.block_on(send(RECORDS, 100));
    let batches = 60;
    let few = allocations(&runtime, send(batches * 150, 400));
    let many = allocations(&runtime, send(batches * 600, 100));
    println!("{few} for 150 records a batch, {many} for 600");
    // The sockets decide how many requests and wake-ups there are.
    assert!(many <= few + 3 * batches as u64, "{many} {few}");
    assert!(many <= batches as u64 * 40, "{many}");
}

fn consumer(runtime: &Runtime, broker: &Elsewhere) -> Consumer {
    runtime.block_on(async {
        let mut config = ConsumerConfig::default();
        config.stop_at_end = true;
        let consumer = Consumer::new(broker.cluster().await, config).unwrap();
        let assigned = consumer.assign_topic("t", Start::Beginning).await.unwrap();
        assert_eq!(assigned, 2);
        consumer
    })
}

async fn read_batches(consumer: &mut Consumer, records: usize) {
    let mut read = 0;
    let mut bytes = 0;
    while read < records {
        let batch = consumer.next_batch().await.unwrap().unwrap();
        for record in &batch {
            bytes += record.value.unwrap().len();
            read += 1;
        }
    }
    assert_eq!(bytes, read * 100);
}

async fn read_records(consumer: &mut Consumer, records: usize) {
    for _ in 0..records {
        let record = consumer.recv().await.unwrap().unwrap();
        assert_eq!(record.value().unwrap().len(), 100);
    }
}

#[test]
fn a_record_in_allocates_two_thousandths_of_an_allocation() {
    for compression in Compression::ALL {
        let (broker, runtime) = (Elsewhere::start(), runtime());
        let (producer, topic) = runtime.block_on(broker.producer(compression, BATCH));
        runtime.block_on(send_and_forget(&producer, &topic, 6 * RECORDS, 100));
        let mut reader = consumer(&runtime, &broker);
        runtime.block_on(read_batches(&mut reader, 2 * RECORDS));
        let batches = allocations(&runtime, read_batches(&mut reader, 3 * RECORDS));
        let mut reader = consumer(&runtime, &broker);
        runtime.block_on(read_records(&mut reader, 2 * RECORDS));
        let records = allocations(&runtime, read_records(&mut reader, 3 * RECORDS));
        println!(
            "{compression:?}: {batches} {records} for {} records",
            3 * RECORDS
        );
        let thousandths = match compression {
            Compression::None => 2,
            _ => 5, // what the codecs need for a batch
        };
        let most = 3 * RECORDS as u64 * thousandths / 1_000;
        for allocated in [batches, records] {
            assert!(allocated <= most, "{compression:?}: {allocated} > {most}");
        }
    }
}
