//! A program's first steps, on the embedded broker in this process.

#![allow(clippy::disallowed_methods, reason = "a program has the real clock")]

use std::time::{Duration, Instant};

use milena::{Client, ConnectError, Fate, Record, Start};

async fn written(client: &Client, topic: &str, value: &str) -> Option<i64> {
    let producer = client.producer().build().await.unwrap();
    let receipt = producer
        .send(Record::to(topic).key("k").value(value))
        .await
        .unwrap();
    receipt.await.unwrap().offset
}

async fn read(client: &Client, topic: &str) -> Vec<String> {
    let consumer = client
        .consumer()
        .topics([topic])
        .from(Start::Beginning)
        .stop_at_end(true);
    let mut consumer = consumer.build().await.unwrap();
    let mut values = Vec::new();
    while let Some(batch) = consumer.next_batch().await.unwrap() {
        for record in &batch {
            values.push(String::from_utf8_lossy(record.value.unwrap()).into_owned());
        }
    }
    values
}

#[tokio::test]
async fn clients_of_one_mock_name_share_a_broker_and_others_do_not() {
    let one = Client::connect("mock://shared").await.unwrap();
    let two = Client::connect("mock://shared").await.unwrap();
    let other = Client::connect("mock://alone").await.unwrap();
    assert_eq!(written(&one, "t", "first").await, Some(0));
    assert_eq!(written(&two, "t", "second").await, Some(1));
    assert_eq!(written(&other, "t", "third").await, Some(0));
    assert_eq!(read(&two, "t").await, ["first", "second"]);
    assert_eq!(read(&other, "t").await, ["third"]);
}

#[tokio::test]
async fn a_mock_broker_ends_with_its_last_client() {
    let client = Client::connect("mock://short-lived").await.unwrap();
    assert_eq!(written(&client, "t", "gone").await, Some(0));
    client.close(Instant::now() + Duration::from_secs(1)).await;
    let client = Client::connect("mock://short-lived").await.unwrap();
    assert_eq!(written(&client, "t", "new").await, Some(0));
    assert_eq!(read(&client, "t").await, ["new"]);
}

#[tokio::test]
async fn a_record_that_did_not_make_it_comes_back_with_its_fate() {
    let client = Client::connect("mock://fate").await.unwrap();
    let admin = client.admin();
    let topic = milena::admin::NewTopic::new("small")
        .partitions(1)
        .config("max.message.bytes", "500");
    let deadline = Instant::now() + Duration::from_secs(10);
    admin
        .create_topics(&[topic], false, deadline)
        .await
        .unwrap()[0]
        .result
        .clone()
        .unwrap();
    let producer = client.producer().build().await.unwrap();
    let record = "x".repeat(1000);
    let receipt = producer
        .send(Record::to("small").value(&record))
        .await
        .unwrap();
    let error = receipt.await.unwrap_err();
    assert_eq!(error.fate(), Fate::NotWritten);
    assert!(error.to_string().contains("small"), "{error}");
}

#[tokio::test]
async fn nothing_to_connect_to_is_an_error_that_says_what_to_set() {
    let error = Client::builder().connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::NoBootstrap));
    assert!(error.to_string().contains("bootstrap.servers"));
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_named() {
    let client = Client::builder()
        .bootstrap("mock://settings")
        .set("acks", "1")
        .and_then(|builder| builder.set("enable.idempotence", "true"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let error = client.producer().build().await.unwrap_err().to_string();
    assert!(
        error.contains("enable.idempotence") && error.contains("acks=1"),
        "{error}"
    );
}

#[test]
fn a_program_without_a_runtime_sends_and_waits() {
    let client = || Client::builder().bootstrap("mock://blocking");
    let configure = |producer: milena::ProducerBuilder| producer.batch_records(2);
    let producer = milena::blocking::producer(client(), configure).unwrap();
    assert_eq!(producer.config().batch_records, Some(2));
    for offset in 0..5 {
        let receipt = producer.send(Record::to("t").value("v")).unwrap();
        assert_eq!(receipt.wait().unwrap().offset, Some(offset));
    }
    println!("{}", producer.inner().verdict());
    let report = producer.close(Duration::from_secs(10)).unwrap();
    assert_eq!(report.delivered, 5);
    let nobody = Client::builder()
        .bootstrap("127.0.0.1:1")
        .timeout(Duration::from_millis(10));
    let error = milena::blocking::producer(nobody, |producer| producer).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}
