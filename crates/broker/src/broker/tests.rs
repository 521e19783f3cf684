use std::time::Duration;

use milena_codec::messages::{FetchRequest, MetadataRequest, ProduceRequest};
use milena_codec::{Bytes, Request, frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::testing::{batch, fetch_request, only, produce_request, records};

async fn send<R: Request>(stream: &mut (impl AsyncWrite + Unpin), request: &R, version: i16) {
    let frame = frame::request(request, version, 1, None).unwrap();
    stream.write_all(&frame.into_bytes()).await.unwrap();
}

async fn receive<R: Request>(stream: &mut (impl AsyncRead + Unpin), version: i16) -> R::Response {
    let size = stream.read_u32().await.unwrap();
    let mut body = vec![0; size as usize];
    stream.read_exact(&mut body).await.unwrap();
    let (_, body) = frame::read_response(body.into(), R::KEY, version).unwrap();
    milena_codec::decode(body, version).unwrap()
}

async fn call<R: Request>(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &R,
    version: i16,
) -> R::Response {
    send(stream, request, version).await;
    receive::<R>(stream, version).await
}

async fn connect(broker: &Broker) -> milena_net::BoxedTransport {
    let address = Address::parse_list(&broker.bootstrap()).unwrap().remove(0);
    let deadline = SystemClock.now() + Duration::from_secs(5);
    broker
        .connector()
        .connect(&address, deadline)
        .await
        .unwrap()
}

fn topic_id(broker: &Broker) -> milena_codec::Uuid {
    broker.with_model(|model| model.topics.by_name("t").unwrap().id)
}

async fn with_topic() -> Broker {
    Broker::builder().topic("t", 1).start().await.unwrap()
}

#[tokio::test]
async fn tcp_nodes_listen_on_ports_of_their_own_and_are_advertised() {
    let broker = Broker::builder()
        .nodes(3)
        .listen("127.0.0.1:0")
        .advertise("localhost")
        .start()
        .await
        .unwrap();
    let addresses = Address::parse_list(&broker.bootstrap()).unwrap();
    assert_eq!(addresses.len(), 3);
    for address in &addresses {
        let mut stream = TcpStream::connect(("127.0.0.1", address.port))
            .await
            .unwrap();
        let answer = call(&mut stream, &MetadataRequest::default(), 12).await;
        let told: Vec<Address> = answer
            .brokers
            .iter()
            .map(|node| Address::new(node.host.clone(), u16::try_from(node.port).unwrap()))
            .collect();
        assert_eq!(told, addresses);
    }
    broker.close().await;
    let port = addresses[0].port;
    assert!(
        TcpStream::connect(("127.0.0.1", port)).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = Broker::builder()
        .listen("127.0.0.1:0")
        .start()
        .await
        .unwrap();
    let error = Broker::builder()
        .listen(first.bootstrap())
        .start()
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StartError::PortInUse { .. }), "{text}");
    assert!(
        text.contains(&first.bootstrap()) && text.contains("port 0"),
        "{text}"
    );
    for address in ["nowhere", "127.0.0.1:70000", ":1"] {
        let error = Broker::builder().listen(address).start().await.unwrap_err();
        assert!(matches!(error, StartError::Listen { .. }), "{error}");
    }
    assert!(matches!(
        Broker::builder().nodes(0).start().await,
        Err(StartError::NoNodes)
    ));
}

#[tokio::test]
async fn records_go_round_in_memory() {
    let broker = with_topic().await;
    let id = topic_id(&broker);
    let mut stream = connect(&broker).await;
    let produced = call(
        &mut stream,
        &produce_request(id, 0, batch(&["a"]), -1, 13),
        13,
    )
    .await;
    assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
    let fetched = only(call(&mut stream, &fetch_request(id, 0, 0, 13), 13).await);
    assert_eq!(records(fetched.records.unwrap()), [(0, "a".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_follows_the_clock_and_other_connections() {
    let broker = with_topic().await;
    let id = topic_id(&broker);
    let (mut fetcher, mut producer) = (connect(&broker).await, connect(&broker).await);
    let before = tokio::time::Instant::now();
    let wait = FetchRequest {
        max_wait_ms: 700,
        ..fetch_request(id, 0, 0, 12)
    };
    assert!(
        only(call(&mut fetcher, &wait, 12).await)
            .records
            .unwrap()
            .is_empty()
    );
    assert_eq!(before.elapsed().as_millis(), 700);

    send(&mut fetcher, &wait, 12).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    call(
        &mut producer,
        &produce_request(id, 0, batch(&["a"]), -1, 9),
        9,
    )
    .await;
    let fetched = only(receive::<FetchRequest>(&mut fetcher, 12).await);
    assert_eq!(records(fetched.records.unwrap()).len(), 1);
    assert_eq!(before.elapsed().as_millis(), 800);
}

#[tokio::test(start_paused = true)]
async fn requests_received_before_a_close_are_carried_out() {
    let broker = with_topic().await;
    let id = topic_id(&broker);
    let mut stream = connect(&broker).await;
    let wait = FetchRequest {
        max_wait_ms: 300,
        ..fetch_request(id, 0, 0, 12)
    };
    send(&mut stream, &wait, 12).await;
    for _ in 0..3 {
        send(
            &mut stream,
            &produce_request(id, 0, batch(&["a"]), -1, 9),
            9,
        )
        .await;
    }
    drop(stream);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let appended = broker.with_model(|model| model.log("t", 0).unwrap().len());
    assert_eq!(appended, 3);
}

#[tokio::test]
async fn an_oversized_frame_closes_the_connection() {
    let broker = with_topic().await;
    for size in [i32::MAX, -1] {
        let mut stream = connect(&broker).await;
        stream.write_all(&size.to_be_bytes()).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_silenced_connection_ends_when_its_client_does() {
    let broker = with_topic().await;
    broker.faults(|_| Verdict::Silence);
    let mut stream = connect(&broker).await;
    send(&mut stream, &MetadataRequest::default(), 12).await;
    tokio::task::yield_now().await;
    drop(stream);
    let task = { std::mem::take(&mut broker.inner.tasks().running) };
    assert!(task.join_all().await.len() <= 1, "the task ends by itself");
}

#[tokio::test]
async fn clusters_of_one_name_are_one_until_the_last_handle_goes() {
    let (one, two) = (Broker::shared("a name"), Broker::shared("a name"));
    let other = Broker::shared("another name");
    one.with_model(|model| model.create_topic("here", 1))
        .unwrap();
    let knows = |broker: &Broker| broker.with_model(|model| model.leader("here", 0).is_ok());
    assert!(knows(&two) && !knows(&other));
    drop(one);
    assert!(knows(&Broker::shared("a name")));
    drop(two);
    assert!(!knows(&Broker::shared("a name")));
}

#[tokio::test]
async fn a_connector_outlives_its_broker_and_refuses() {
    let broker = with_topic().await;
    let connector = broker.connector();
    let mut open = connect(&broker).await;
    let deadline = SystemClock.now() + Duration::from_secs(5);
    let unknown = connector
        .connect(&Address::new("elsewhere", 9092), deadline)
        .await;
    assert_eq!(
        unknown.err().unwrap().kind(),
        io::ErrorKind::ConnectionRefused
    );
    broker.with_model(|model| model.kill_node(1)).unwrap();
    assert_eq!(
        open.read(&mut [0; 1]).await.unwrap(),
        0,
        "a killed node closes its connections"
    );
    let address = Address::new("node-1.mock", 9092);
    let down = connector.connect(&address, deadline).await;
    assert_eq!(down.err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    drop(broker);
    let gone = connector.connect(&address, deadline).await;
    assert!(gone.err().unwrap().to_string().contains("gone"));
}

#[tokio::test]
async fn closing_ends_all_connections() {
    let broker = with_topic().await;
    let mut stream = connect(&broker).await;
    call(&mut stream, &MetadataRequest::default(), 12).await;
    let connector = broker.connector();
    let other = broker.clone();
    broker.close().await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    let deadline = SystemClock.now() + Duration::from_secs(5);
    let after = connector
        .connect(&Address::new("node-1.mock", 9092), deadline)
        .await;
    assert!(after.is_err());
    drop(other);
}

#[tokio::test]
async fn a_large_batch_arrives_whole_over_tcp() {
    let broker = Broker::builder()
        .listen("127.0.0.1:0")
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let id = topic_id(&broker);
    let address = Address::parse_list(&broker.bootstrap()).unwrap().remove(0);
    let mut stream = TcpStream::connect(("127.0.0.1", address.port))
        .await
        .unwrap();
    let large = "x".repeat(1_000_000);
    let sent: Bytes = batch(&[&large]);
    for _ in 0..3 {
        let request: ProduceRequest = produce_request(id, 0, sent.clone(), 1, 13);
        let answer = call(&mut stream, &request, 13).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    let mut request = fetch_request(id, 0, 1, 13);
    request.topics[0].partitions[0].partition_max_bytes = 10 << 20;
    let fetched = records(only(call(&mut stream, &request, 13).await).records.unwrap());
    assert_eq!((fetched[0].0, fetched[0].1.len()), (1, 1_000_000));
}

#[tokio::test(start_paused = true)]
async fn a_read_committed_long_poll_ends_with_the_markers() {
    use crate::testing::{data, end_request, init_request};
    let broker = with_topic().await;
    let id = topic_id(&broker);
    let (mut fetcher, mut producer) = (connect(&broker).await, connect(&broker).await);
    let who = call(&mut producer, &init_request("a"), 4).await;
    let who = (who.producer_id, who.producer_epoch);
    let mut request = produce_request(id, 0, data(who, 0, &["x"]), -1, 12);
    request.transactional_id = Some("a".into());
    call(&mut producer, &request, 12).await;
    let wait = FetchRequest {
        isolation_level: 1,
        max_wait_ms: 60_000,
        ..fetch_request(id, 0, 0, 12)
    };
    send(&mut fetcher, &wait, 12).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = tokio::time::Instant::now();
    call(&mut producer, &end_request("a", who, true), 5).await;
    let fetched = only(receive::<FetchRequest>(&mut fetcher, 12).await);
    assert_eq!(fetched.last_stable_offset, 2);
    assert!(before.elapsed() < Duration::from_millis(20));
}
