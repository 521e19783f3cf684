//! Where reading starts.

use milena::{Client, Consumer, Record, Start};

use crate::world::{client, produce, soon, text, topic};

const RECORDS: i64 = 1000;

#[tokio::test]
#[ignore = "needs a real Kafka: cargo xtask kafka test"]
async fn reading_starts_where_it_is_told_to() {
    let client = client("MILENA_TEST_KAFKA").await;
    let topic = topic(&client, "positions", 1).await;
    let first = client.cluster().env().clock.wall_millis() - RECORDS * 10;
    write(&client, &topic, first).await;

    let at = |start| from(&client, &topic, start);
    assert_eq!(next(&mut at(Start::Beginning).await).await, (0, "0".into()));
    let mut consumer = at(Start::Offset(765)).await;
    assert_eq!(next(&mut consumer).await, (765, "765".into()));
    assert_eq!(next(&mut consumer).await, (766, "766".into()));
    // Record n has the time first + 10 n.
    let time = Start::Timestamp(first + 4321);
    assert_eq!(next(&mut at(time).await).await, (433, "433".into()));
    let time = Start::Timestamp(first + 4320);
    assert_eq!(next(&mut at(time).await).await, (432, "432".into()));

    for start in [Start::End, Start::Timestamp(first + RECORDS * 10_000)] {
        let mut consumer = at(start).await;
        let end = stand(&mut consumer, &topic).await;
        let value = format!("behind {start:?}");
        produce(client.producer(), &topic, [value.clone()]).await;
        assert_eq!(next(&mut consumer).await, (end, value));
    }
    client.close(soon()).await;
}

async fn write(client: &Client, topic: &str, first: i64) {
    let producer = client.producer().batch_size(2000).build().await.unwrap();
    for n in 0..RECORDS {
        let value = n.to_string();
        let record = Record::to(topic).value(&value).timestamp(first + n * 10);
        drop(producer.send(record).await.unwrap());
    }
    assert!(producer.close(soon()).await.is_success());
}

async fn from(client: &Client, topic: &str, start: Start) -> Consumer {
    let consumer = client.consumer().partitions(topic, [0]).from(start);
    consumer.build().await.unwrap()
}

async fn next(consumer: &mut Consumer) -> (i64, String) {
    let record = consumer.recv().await.unwrap().expect("it is not closed");
    (record.offset(), text(record.value()))
}

/// The position, once it was looked up; nothing may come.
async fn stand(consumer: &mut Consumer, topic: &str) -> i64 {
    loop {
        if let Some(position) = consumer.position(topic, 0) {
            return position;
        }
        let pause = std::time::Duration::from_millis(20);
        let came = tokio::time::timeout(pause, consumer.recv()).await;
        assert!(came.is_err(), "{came:?}");
    }
}
