//! `milena quickstart`: a first round trip, told step by step.

use milena::broker::Broker;
use milena::{Client, Record, Start};

use crate::connection::soon;
use crate::failure::Failure;
use crate::output::print;

const TOPIC: &str = "quickstart";
const GREETINGS: [(&str, &str); 3] = [
    ("en", "Hello, Kafka"),
    ("de", "Hallo, Kafka"),
    ("cs", "Ahoj, Kafko"),
];

pub(crate) async fn run() -> Result<(), Failure> {
    tell(format_args!(
        "1. Starting an embedded broker inside this process, listening on a free port."
    ))?;
    let broker = Broker::builder()
        .listen("127.0.0.1:0")
        .start()
        .await
        .map_err(Failure::failed)?;
    let bootstrap = broker.bootstrap();
    tell(format_args!(
        "   It answers at {bootstrap}; any Kafka client could connect there now.\n"
    ))?;

    let client = Client::connect(&bootstrap).await?;
    tell(format_args!(
        "2. Writing {} records to topic {TOPIC}, which is created on first use.",
        GREETINGS.len()
    ))?;
    let producer = client.producer().build().await.map_err(Failure::failed)?;
    for (key, value) in GREETINGS {
        let record = Record::to(TOPIC).key(key).value(value);
        let receipt = producer.send(record).await.map_err(Failure::failed)?;
        let ack = receipt.await.map_err(Failure::failed)?;
        let offset = ack
            .offset
            .map_or_else(|| "?".to_owned(), |offset| offset.to_string());
        tell(format_args!(
            "   {key} = {value:?} is at offset {offset} of partition {}",
            ack.partition
        ))?;
    }

    tell(format_args!("\n3. Reading them back from the beginning."))?;
    let consumer = client
        .consumer()
        .topics([TOPIC])
        .from(Start::Beginning)
        .stop_at_end(true);
    let mut consumer = consumer.build().await.map_err(Failure::failed)?;
    let mut count = 0;
    while let Some(batch) = consumer.next_batch().await.map_err(Failure::failed)? {
        for record in &batch {
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
            };
            tell(format_args!(
                "   offset {}: {} = {:?}",
                record.offset,
                text(record.key),
                text(record.value)
            ))?;
            count += 1;
        }
    }
    consumer.close(soon()).await;
    producer.close(soon()).await;
    client.close(soon()).await;
    broker.close().await;
    if count != GREETINGS.len() {
        return Err(Failure::failed(format!(
            "{count} of {} records came back",
            GREETINGS.len()
        )));
    }
    tell(format_args!(
        "\nThat is the whole round trip. What to try next:\n"
    ))?;
    tell(format_args!("{NEXT}"))?;
    Ok(())
}

fn tell(text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

const NEXT: &str = "  \
  milena broker                                  # an embedded broker on 127.0.0.1:9092, in another terminal
  export MILENA_BOOTSTRAP=127.0.0.1:9092         # or your own Kafka
  milena topic create orders --partitions 3
  printf 'a=1\\nb=2\\n' | milena produce orders --key-separator =
  milena consume orders --exit-at-end --format '%p %o %k %v\\n'
  milena consume orders --from @15m --format json   # what came in the last quarter of an hour, and on

From Rust: Client::connect(\"mock://tests\") is an embedded broker inside your tests; see README.md.";
