//! The blocking producer, on threads without a runtime. The broker lives in the producer's own.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use milena_broker::{Broker, Verdict as Fault};
use milena_net::{Address, Environment};
use milena_producer::blocking::{InsideRuntime, Producer, SendError, StartError, WaitError};
use milena_producer::{
    Acks, ConfigError, DeliveryCause, Fate, ProducerConfig, Record, TrySendError,
};
use milena_rpc::{Cluster, ClusterConfig};

use crate::world::{nth_produce, within};

fn start(config: ProducerConfig, fault: Fault) -> Producer {
    Producer::start(move || async move {
        let broker = Broker::builder().topic("t", 1).start().await.unwrap();
        broker.faults(nth_produce(move |_| fault));
        let env = Environment::system().with_connector(broker.connector());
        let bootstrap = Address::parse_list(&broker.bootstrap()).unwrap();
        let cluster = ClusterConfig::new(bootstrap);
        let cluster = Cluster::connect(cluster, env, within(10)).await.unwrap();
        let producer = milena_producer::Producer::new(cluster, config).unwrap();
        Ok::<_, Infallible>((producer, broker))
    })
    .unwrap()
}

#[test]
fn records_are_sent_and_waited_for_from_many_threads() {
    let mut config = ProducerConfig::default();
    config.batch_size = 2_000;
    config.buffer_memory = 20_000;
    let producer = start(config, Fault::Pass);
    let topic = producer.topic("t").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (producer, topic) = (producer.clone(), topic.clone());
            scope.spawn(move || {
                let value = [b'v'; 100];
                let send = |_| producer.send(Record::to(&topic).value(&value)).unwrap();
                let receipts: Vec<_> = (0..500).map(send).collect();
                let offsets: Vec<_> = receipts
                    .into_iter()
                    .map(|receipt| receipt.wait().unwrap().offset.unwrap())
                    .collect();
                assert!(offsets.is_sorted());
            });
        }
    });
    assert_eq!(producer.flush().unwrap().delivered, 2_000);
    assert_eq!(producer.inner().metrics().totals.delivered, 2_000);
    let report = producer.close(Duration::from_secs(10)).unwrap();
    assert!(report.is_success());
    let closed = producer.send(Record::to("t").value("0"));
    assert!(matches!(
        closed,
        Err(SendError::Refused(milena_producer::SendError::Closed))
    ));
}

#[test]
fn waiting_can_be_limited_and_goes_on_after_the_producer_is_dropped() {
    let mut config = ProducerConfig::default();
    config.request_timeout = Duration::from_millis(100);
    config.delivery_timeout = Duration::from_millis(200);
    let producer = start(config, Fault::Silence);
    let mut receipt = producer.send(Record::to("t").value("0")).unwrap();
    let early = receipt.wait_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(early, WaitError::TimedOut(_)), "{early}");
    drop(producer);
    let error = receipt.wait().unwrap_err();
    let WaitError::Failed(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.fate(), Fate::MaybeWritten);
}

#[test]
fn a_dropped_producer_delivers_what_it_accepted() {
    let producer = start(
        ProducerConfig::default(),
        Fault::Delay(Duration::from_millis(20)),
    );
    let receipt = producer.send(Record::to("t").value("0")).unwrap();
    drop(producer);
    assert_eq!(receipt.wait().unwrap().offset, Some(0));
}

#[test]
fn callbacks_come_on_the_producers_thread_where_blocking_is_refused() {
    let producer = start(ProducerConfig::default(), Fault::Pass);
    let (tell, told) = mpsc::channel();
    let inner = producer.clone();
    let record = Record::to("t").value("0");
    let sent = producer.send_with(record, move |outcome| {
        let refused = inner.flush().unwrap_err();
        let thread = std::thread::current().name().unwrap().to_owned();
        tell.send((outcome, refused.to_string(), thread)).unwrap();
    });
    sent.unwrap();
    let (outcome, refused, thread) = told.recv().unwrap();
    assert_eq!(outcome.unwrap().offset, Some(0));
    assert_eq!(refused, InsideRuntime.to_string());
    assert_eq!(thread, "milena-producer");
}

#[test]
fn every_callback_comes_once_whatever_threads_race() {
    let mut config = ProducerConfig::default();
    config.batch_size = 1_000;
    let producer = start(config, Fault::Pass);
    let called = AtomicUsize::new(0);
    let called = Arc::new(called);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    let called = Arc::clone(&called);
                    let record = Record::to("t").value("0123456789");
                    let sent = producer.send_with(record, move |outcome| {
                        outcome.unwrap();
                        called.fetch_add(1, Ordering::Relaxed);
                    });
                    sent.unwrap();
                }
            });
        }
    });
    assert_eq!(producer.flush().unwrap().delivered, 4_000);
    assert!(
        producer
            .close(Duration::from_secs(10))
            .unwrap()
            .is_success()
    );
    assert_eq!(called.load(Ordering::Relaxed), 4_000);
}

#[test]
fn inside_a_runtime_only_what_would_block_is_refused() {
    let producer = start(
        ProducerConfig::default(),
        Fault::Delay(Duration::from_millis(50)),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let unknown = producer.send(Record::to("t").value("0"));
        assert!(matches!(unknown, Err(SendError::InsideRuntime(_))));
        let unknown = producer.try_send(Record::to("t").value("0"));
        assert!(matches!(unknown, Err(TrySendError::MetadataMissing { .. })));
        assert!(matches!(
            producer.topic("t"),
            Err(SendError::InsideRuntime(_))
        ));
        assert_eq!(producer.close(Duration::ZERO).unwrap_err(), InsideRuntime);
    });
    producer
        .send(Record::to("t").value("0"))
        .unwrap()
        .wait()
        .unwrap();
    runtime.block_on(async {
        let mut receipt = producer.send(Record::to("t").value("1")).unwrap();
        let error = receipt.wait_timeout(Duration::from_secs(9)).unwrap_err();
        assert!(matches!(error, WaitError::InsideRuntime(_)));
        drop(receipt);
        let nested = Producer::start(|| async { Err::<(_, ()), _>(()) });
        assert!(matches!(nested, Err(StartError::InsideRuntime(_))));
        drop(producer);
    });
}

#[test]
fn what_keeps_a_producer_from_being_made_is_returned() {
    let refused = Producer::start(|| async {
        let mut config = ProducerConfig::default();
        config.acks = Acks::Leader;
        config.enable_idempotence = Some(true);
        config.validate()?;
        unreachable!("the settings contradict each other");
        #[allow(unreachable_code)]
        Ok::<(milena_producer::Producer, ()), ConfigError>(unreachable!())
    });
    assert!(matches!(refused, Err(StartError::Make(_))), "{refused:?}");
    let panicked = Producer::start(|| async {
        if std::hint::black_box(true) {
            panic!("no producer today");
        }
        Err::<(_, ()), _>(())
    });
    assert!(matches!(panicked, Err(StartError::Panicked)));
}

#[test]
fn without_room_send_blocks_for_max_block_and_says_so() {
    let mut config = ProducerConfig::default();
    config.batch_size = 1_000;
    config.max_request_size = 1_000;
    config.buffer_memory = 1_000;
    config.max_block = Duration::from_millis(100);
    let producer = start(config, Fault::Silence);
    let value = [b'v'; 700];
    let mut receipt = producer.send(Record::to("t").value(&value)).unwrap();
    let full = producer.send(Record::to("t").value(&value)).unwrap_err();
    assert!(full.to_string().contains("buffer_memory"), "{full}");
    assert!(receipt.wait_timeout(Duration::ZERO).is_err());
    let report = producer.close(Duration::ZERO).unwrap();
    assert_eq!(report.maybe_written + report.not_written, 1);
    let Err(WaitError::Failed(error)) = receipt.wait() else {
        panic!("it was delivered");
    };
    assert!(matches!(error.cause(), DeliveryCause::Closed { .. }));
}
