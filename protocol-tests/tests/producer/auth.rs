//! Logins and rights that are refused: said at once, and not asked for again and again.
//!
//! Scenario 24.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use milena_auth::PlainCredentials;
use milena_broker::{Broker, RequestInfo, Verdict};
use milena_codec::ApiKey;
use milena_codec::messages::api_versions_response::ApiVersion;
use milena_codec::messages::{
    ApiVersionsRequest, MetadataRequest, SaslAuthenticateResponse, SaslHandshakeResponse,
};
use milena_net::{Address, Environment};
use milena_producer::{
    DeliveryCause, ErrorCode, Fate, Producer, ProducerConfig, Record, SendError,
};
use milena_rpc::{Cluster, ClusterConfig};
use tokio::time::{Instant, sleep};

use crate::tamper;
use crate::world::{World, millis, offsets, send, send_each, within};

const SECOND: Duration = Duration::from_secs(1);

/// A cluster with logins, those refused while `refuses`, and how many there were.
struct Guarded {
    world: World,
    refuses: Arc<AtomicBool>,
    logins: Arc<AtomicUsize>,
}

async fn guarded() -> Guarded {
    let broker = Broker::builder().nodes(2).topic("t", 1).start();
    let broker = broker.await.unwrap();
    let (refuses, logins) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let connector = {
        let (refuses, logins) = (Arc::clone(&refuses), Arc::clone(&logins));
        tamper::answering(broker.connector(), move |api, version| match api {
            ApiKey::SaslHandshake => {
                let answer = SaslHandshakeResponse {
                    mechanisms: vec!["PLAIN".into()],
                    ..SaslHandshakeResponse::default()
                };
                Some(tamper::body(&answer, api, version))
            }
            ApiKey::SaslAuthenticate => {
                logins.fetch_add(1, Ordering::Relaxed);
                let mut answer = SaslAuthenticateResponse::default();
                if refuses.load(Ordering::Relaxed) {
                    answer.error_code = ErrorCode::SaslAuthenticationFailed.code();
                    answer.error_message = Some("Authentication failed: wrong".into());
                }
                Some(tamper::body(&answer, api, version))
            }
            _ => None,
        })
    };
    let connector = tamper::changing::<ApiVersionsRequest>(connector, |answer| {
        for api in [ApiKey::SaslHandshake, ApiKey::SaslAuthenticate] {
            answer.api_keys.push(ApiVersion {
                api_key: api.code(),
                max_version: 1,
                ..ApiVersion::default()
            });
        }
    });
    let bootstrap = Address::parse_list(&broker.bootstrap()).unwrap();
    let mut config = ClusterConfig::new(bootstrap);
    config.net.credentials = Some(Arc::new(PlainCredentials::new("me", "secret").unwrap()));
    let env = Environment::seeded(0, connector);
    let cluster = Cluster::connect(config, env, within(10)).await.unwrap();
    Guarded {
        world: World { broker, cluster },
        refuses,
        logins,
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_fails_records_at_once_and_is_not_repeated_for_ever() {
    let guarded = guarded().await;
    let producer = guarded.world.producer(ProducerConfig::default());
    producer.topic("t").await.unwrap();
    guarded.refuses.store(true, Ordering::Relaxed);
    let before = guarded.logins.load(Ordering::Relaxed);
    let begun = Instant::now();
    let receipts = send_each(&producer, 0..3).await;
    for receipt in receipts {
        let error = receipt.await.unwrap_err();
        assert_eq!(error.fate(), Fate::NotWritten);
        assert!(matches!(error.cause(), DeliveryCause::Call(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("PLAIN") && text.contains("wrong"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    sleep(Duration::from_secs(600)).await;
    let logins = guarded.logins.load(Ordering::Relaxed) - before;
    assert!(logins <= 60, "{logins} logins in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn once_the_login_is_accepted_the_same_producer_goes_on() {
    let guarded = guarded().await;
    let producer = guarded.world.producer(ProducerConfig::default());
    producer.topic("t").await.unwrap();
    guarded.refuses.store(true, Ordering::Relaxed);
    send(&producer, 0, 0).await.await.unwrap_err();
    guarded.refuses.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(offsets(send_each(&producer, 1..=3).await).await, [0, 1, 2]);
}

fn refusing(api: ApiKey, code: ErrorCode) -> impl FnMut(&RequestInfo) -> Verdict + Send + 'static {
    move |request| match request.api {
        asked if asked == api => Verdict::Error(code),
        _ => Verdict::Pass,
    }
}

async fn at_once(world: &World, producer: &Producer, api: ApiKey) -> DeliveryCause {
    let begun = Instant::now();
    let error = send(producer, 0, 0).await.await.unwrap_err();
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    assert_eq!(error.fate(), Fate::NotWritten);
    let asked = world.requests(api);
    sleep(Duration::from_secs(300)).await;
    assert_eq!(world.requests(api), asked, "nobody asks again");
    error.cause().clone()
}

#[tokio::test(start_paused = true)]
async fn a_right_to_write_that_is_missing_is_said_at_once() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    let code = ErrorCode::TopicAuthorizationFailed;
    world.broker.faults(refusing(ApiKey::Produce, code));
    let cause = at_once(&world, &producer, ApiKey::Produce).await;
    assert!(matches!(cause, DeliveryCause::Refused { code: said, .. } if said == code));
    world.broker.faults(|_| Verdict::Pass);
    assert_eq!(offsets(send_each(&producer, [1]).await).await, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_producer_id_that_may_not_be_had_is_said_at_once_with_the_way_out() {
    let world = World::start(1, 1).await;
    let producer = world.producer(ProducerConfig::default());
    let code = ErrorCode::ClusterAuthorizationFailed;
    world.broker.faults(refusing(ApiKey::InitProducerId, code));
    let cause = at_once(&world, &producer, ApiKey::InitProducerId).await;
    assert!(matches!(cause, DeliveryCause::NoProducerId(said) if said == code));
    let text = cause.to_string();
    assert!(text.contains("IDEMPOTENT_WRITE"), "{text}");
    world.broker.faults(|_| Verdict::Pass);
    assert_eq!(offsets(send_each(&producer, [1]).await).await, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_may_not_be_seen_is_an_error_of_the_send_itself() {
    let broker = Broker::builder().topic("t", 1).start().await.unwrap();
    let connector = tamper::changing::<MetadataRequest>(broker.connector(), |answer| {
        for topic in &mut answer.topics {
            topic.error_code = ErrorCode::TopicAuthorizationFailed.code();
            topic.partitions.clear();
        }
    });
    let world = World::within(broker, Environment::seeded(0, connector)).await;
    let producer = world.producer(ProducerConfig::default());
    let begun = Instant::now();
    let error = producer.send(Record::to("t").value("0")).await.unwrap_err();
    assert!(
        matches!(error, SendError::Topic(_)) && !error.is_retriable(),
        "{error:?}"
    );
    assert!(error.to_string().contains("DESCRIBE"), "{error}");
    assert!(begun.elapsed() <= millis(500), "{:?}", begun.elapsed());
}
