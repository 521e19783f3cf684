//! Functions of the user's: interceptors and delivery callbacks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use milena_broker::Verdict as Fault;
use milena_producer::{
    Ack, BatchOutcome, DeliveryError, ErrorCode, Fate, Hook, OutgoingRecord, ProducerConfig,
    ProducerEvent, ProducerInterceptor, Record,
};
use protocol_tests::cancel::{Drop, dropped_after};

use crate::world::{World, nth_produce, within};

/// Partition, base offset, records, failures, and the name of each record's first header.
type Shown = (i32, Option<i64>, u32, usize, Vec<String>);

/// What it was shown.
#[derive(Debug, Default)]
struct Seen(Mutex<Vec<Shown>>);

impl ProducerInterceptor for Seen {
    fn on_acknowledgement(&self, batch: &BatchOutcome<'_>) {
        assert_eq!(&**batch.topic(), "t");
        let mut headers = Vec::new();
        batch.for_each_record(|mut record| {
            let first = record.headers.next();
            headers.extend(first.map(|it| String::from_utf8_lossy(it.name).into_owned()));
        });
        let failures = batch.outcomes().filter(Result::is_err).count();
        self.0.lock().unwrap().push((
            batch.partition(),
            batch.base_offset(),
            batch.len(),
            failures,
            headers,
        ));
    }
}

#[derive(Debug)]
struct Marks(&'static str);

impl ProducerInterceptor for Marks {
    fn on_send(&self, record: &mut OutgoingRecord<'_>) {
        let before = record.headers().count();
        record.add_header(self.0, Some(vec![u8::try_from(before).unwrap()]));
        let value = [record.value().unwrap_or_default(), self.0.as_bytes()].concat();
        record.set_value(Some(value));
    }
}

#[derive(Debug)]
struct Panics;

impl ProducerInterceptor for Panics {
    fn name(&self) -> &str {
        "the panicking one"
    }

    fn on_send(&self, record: &mut OutgoingRecord<'_>) {
        record.set_value(None);
        record.set_partition(Some(77));
        panic!("on_send is broken");
    }

    fn on_acknowledgement(&self, batch: &BatchOutcome<'_>) {
        panic!("{} records too many", batch.len());
    }
}

#[tokio::test(start_paused = true)]
async fn interceptors_change_records_in_order_and_a_panic_changes_nothing() {
    let world = World::start(1, 1).await;
    let seen = Arc::new(Seen::default());
    let panics = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&panics);
    let mut config = ProducerConfig::default();
    config.interceptors = vec![
        Arc::new(Marks("a")),
        Arc::new(Panics),
        Arc::new(Marks("b")),
        Arc::clone(&seen) as Arc<dyn ProducerInterceptor>,
    ];
    config.on_event = Some(Hook::new(move |event| {
        if let ProducerEvent::Panicked { who, what, message } = event {
            told.lock()
                .unwrap()
                .push(format!("{who} {what}: {message}"));
        }
    }));
    let producer = world.producer(config);
    // Once by the future that waits for metadata, once without waiting, once with a permit.
    let record = || Record::to("t").value("v").header("own", "1");
    let sent = producer.send(record()).await.unwrap();
    sent.await.unwrap();
    producer.try_send(record()).unwrap().await.unwrap();
    let permit = producer.reserve(200).await.unwrap();
    permit.send(record()).unwrap().await.unwrap();
    for batch in world.batches(0) {
        for record in &batch {
            assert_eq!(record.value, Some(&b"vab"[..]));
            let headers: Vec<_> = record.headers.map(|it| (it.name, it.value)).collect();
            let expected: [(&[u8], Option<&[u8]>); 3] =
                [(b"own", Some(b"1")), (b"a", Some(&[1])), (b"b", Some(&[2]))];
            assert_eq!(headers, expected);
        }
    }
    let own = || vec!["own".to_owned()];
    let expected: Vec<_> = (0..3)
        .map(|offset| (0, Some(offset), 1, 0, own()))
        .collect();
    assert_eq!(*seen.0.lock().unwrap(), expected);
    let panics = panics.lock().unwrap();
    assert_eq!(panics.len(), 6);
    assert_eq!(panics[0], "the panicking one on_send: on_send is broken");
    assert_eq!(
        panics[1],
        "the panicking one on_acknowledgement: 1 records too many"
    );
    assert_eq!(producer.metrics().panics, 6);
}

#[derive(Debug)]
struct Routes;

impl ProducerInterceptor for Routes {
    fn on_send(&self, record: &mut OutgoingRecord<'_>) {
        match record.key() {
            Some(b"two") => record.set_partition(Some(2)),
            _ => record.set_key(Some(b"key of partition".to_vec())),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_partition_is_chosen_after_interceptors() {
    let world = World::start(1, 3).await;
    let plain = world.producer(ProducerConfig::default());
    let chosen = plain.send(Record::to("t").key("key of partition")).await;
    let chosen = chosen.unwrap().partition();
    let mut config = ProducerConfig::default();
    config.interceptors = vec![Arc::new(Routes)];
    let producer = world.producer(config);
    let two = producer.send(Record::to("t").key("two")).await.unwrap();
    assert_eq!(two.partition(), 2);
    for key in ["one", "three", "four"] {
        let receipt = producer.send(Record::to("t").key(key)).await.unwrap();
        assert_eq!(receipt.partition(), chosen);
    }
}

#[tokio::test(start_paused = true)]
async fn failed_batches_are_shown_once_with_all_their_records() {
    let world = World::start(1, 1).await;
    let seen = Arc::new(Seen::default());
    let mut config = ProducerConfig::default();
    config.interceptors = vec![Arc::clone(&seen) as Arc<dyn ProducerInterceptor>];
    let producer = world.producer(config);
    world.broker.faults(nth_produce(|_| {
        Fault::Error(ErrorCode::TopicAuthorizationFailed)
    }));
    drop(producer.topic("t").await.unwrap());
    for _ in 0..3 {
        drop(
            producer
                .send(Record::to("t").header("h", "1"))
                .await
                .unwrap(),
        );
    }
    producer.flush().await.unwrap_err();
    let headers = vec!["h".to_owned(); 3];
    assert_eq!(*seen.0.lock().unwrap(), [(0, None, 3, 3, headers)]);
}

type Outcomes = Arc<Mutex<Vec<Result<Ack, DeliveryError>>>>;

fn collect(into: &Outcomes) -> impl FnOnce(Result<Ack, DeliveryError>) + Send + 'static {
    let into = Arc::clone(into);
    move |outcome| into.lock().unwrap().push(outcome)
}

#[tokio::test(start_paused = true)]
async fn a_callback_gets_its_records_outcome_once() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    world.broker.faults(nth_produce(|nth| match nth {
        1 => Fault::Error(ErrorCode::TopicAuthorizationFailed),
        _ => Fault::Delay(Duration::from_millis(100)),
    }));
    let outcomes = Outcomes::default();
    for _ in 0..3 {
        let record = Record::to("t").value("0");
        let sent = producer.send_with(record, collect(&outcomes)).await;
        sent.unwrap();
        assert!(outcomes.lock().unwrap().is_empty());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    producer.flush().await.unwrap_err();
    let outcomes = std::mem::take(&mut *outcomes.lock().unwrap());
    let offsets: Vec<_> = outcomes
        .iter()
        .map(|it| it.as_ref().ok().map(|ack| ack.offset))
        .collect();
    assert_eq!(offsets, [Some(Some(0)), None, None]);
    assert_eq!(outcomes[2].as_ref().unwrap_err().fate(), Fate::NotWritten);
}

#[tokio::test(start_paused = true)]
async fn callbacks_are_called_when_the_producer_is_closed_or_its_driver_ends() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    world.broker.faults(nth_produce(|_| Fault::Silence));
    let outcomes = Outcomes::default();
    let record = Record::to("t").value("0");
    producer
        .send_with(record.clone(), collect(&outcomes))
        .await
        .unwrap();
    let buffered = producer.try_send_with(record.clone(), collect(&outcomes));
    buffered.unwrap();
    producer.close(within(1)).await;
    assert_eq!(outcomes.lock().unwrap().len(), 2);
    let refused = producer.send_with(record.clone(), collect(&outcomes)).await;
    refused.unwrap_err();
    producer
        .try_send_with(record, collect(&outcomes))
        .unwrap_err();
    assert_eq!(outcomes.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_callback_harms_no_other() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    drop(producer.topic("t").await.unwrap());
    let called = Arc::new(AtomicUsize::new(0));
    let mut receipts = Vec::new();
    for number in 0..10 {
        let called = Arc::clone(&called);
        let callback = move |_: Result<Ack, DeliveryError>| {
            called.fetch_add(1, Ordering::Relaxed);
            assert!(number % 2 == 0, "an odd callback");
        };
        let record = Record::to("t").value("0");
        producer.try_send_with(record.clone(), callback).unwrap();
        receipts.push(producer.try_send(record).unwrap());
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
    assert_eq!(called.load(Ordering::Relaxed), 10);
    assert_eq!(producer.metrics().panics, 5);
    assert!(producer.flush().await.unwrap().is_success());
}

#[tokio::test(start_paused = true)]
async fn a_send_with_dropped_at_any_poll_accepts_nothing_and_calls_nothing() {
    for how in Drop::ALL {
        let mut polls = 0;
        loop {
            polls += 1;
            let world = World::start(1, 1).await;
            let producer = world.producer(ProducerConfig::default());
            let outcomes = Outcomes::default();
            let sending = producer.send_with(Record::to("t").value("0"), collect(&outcomes));
            let sent = dropped_after(sending, polls, how).await;
            producer.flush().await.unwrap();
            let called = outcomes.lock().unwrap().len();
            if let Some(sent) = sent {
                sent.unwrap();
                assert_eq!((called, world.numbers(0).len()), (1, 1));
                break;
            }
            assert_eq!((called, world.batches(0).len()), (0, 0));
        }
        assert!(polls > 1, "it did not wait");
    }
}
