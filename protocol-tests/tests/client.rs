//! The client's own futures, and those of the cluster and of administration, dropped at every poll.

use std::time::{Duration, Instant};

use milena::admin::{Admin, ConfigResource, NewTopic};
use milena::{AutoCreate, Client, ConnectError, Environment, Start};
use milena_broker::Broker;
use protocol_tests::cancel::{Drop, dropped_after};
use tokio::runtime::Handle;
use tokio::time::sleep;

async fn broker() -> Broker {
    let builder = Broker::builder().nodes(2).topic("t", 2);
    builder.start().await.unwrap()
}

async fn connect(broker: &Broker) -> Result<Client, ConnectError> {
    let environment = Environment::seeded(5, broker.connector());
    let builder = Client::builder().bootstrap(broker.bootstrap());
    builder.environment(environment).connect().await
}

fn soon() -> Instant {
    tokio::time::Instant::now().into_std() + Duration::from_secs(10)
}

async fn tasks() -> usize {
    sleep(Duration::from_secs(1)).await;
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connect_leaves_nothing_behind() {
    let broker = broker().await;
    let before = tasks().await;
    for how in Drop::ALL {
        for polls in 0.. {
            let client = dropped_after(connect(&broker), polls, how).await;
            let done = client.map(Result::unwrap).is_some();
            assert_eq!(tasks().await, before, "{polls} polls");
            if done {
                assert!(polls >= 2, "{polls}");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_ends_with_the_client() {
    let broker = broker().await;
    let before = tasks().await;
    for how in Drop::ALL {
        for polls in 0.. {
            let client = connect(&broker).await.unwrap();
            let closed = dropped_after(client.close(soon()), polls, how).await;
            assert_eq!(tasks().await, before, "{polls} polls");
            if closed.is_some() {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_build_leaves_nothing_behind() {
    let broker = broker().await;
    for how in Drop::ALL {
        for polls in 0.. {
            let before = tasks().await;
            let client = connect(&broker).await.unwrap();
            let build = client
                .consumer()
                .topics(["t"])
                .from(Start::Beginning)
                .build();
            let built = dropped_after(build, polls, how).await.map(Result::unwrap);
            if let Some(consumer) = &built {
                assert_eq!(consumer.assignment().len(), 2);
            }
            let build = client.producer().build();
            let producer = dropped_after(build, polls, how).await.map(Result::unwrap);
            assert_eq!(producer.is_some(), polls > 0, "it does not wait");
            let done = built.is_some();
            drop((built, producer, client));
            assert_eq!(tasks().await, before, "{polls} polls");
            if done {
                assert!(polls >= 2, "{polls}");
                break;
            }
        }
    }
}

/// Drops a call of the client at each of its polls. It has to be answered after each drop, and no
/// task may be left behind.
macro_rules! sweep {
    ($client:ident, $call:expr) => {
        for how in Drop::ALL {
            let broker = broker().await;
            let before = tasks().await;
            for polls in 0.. {
                let $client = connect(&broker).await.unwrap();
                let done = dropped_after($call, polls, how).await;
                let answered = $client.cluster().refreshed(soon()).await;
                assert_eq!(answered.unwrap().brokers().count(), 2);
                if done.is_none() {
                    assert!(polls < 500, "it never gets ready");
                    drop($client);
                    assert_eq!(tasks().await, before);
                    continue;
                }
                println!("{}: {polls} polls", stringify!($call));
                break;
            }
        }
    };
}

fn admin(client: &Client) -> Admin {
    client.admin()
}

#[tokio::test(start_paused = true)]
async fn calls_of_the_cluster_can_be_dropped() {
    sweep!(client, async {
        let topic = client.cluster().topic("t", AutoCreate::Never, soon()).await;
        assert_eq!(topic.unwrap().partitions.len(), 2);
    });
    sweep!(client, async {
        client.cluster().refreshed(soon()).await.unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn administration_can_be_dropped() {
    sweep!(client, async {
        admin(&client).describe_cluster(soon()).await.unwrap();
    });
    sweep!(client, async {
        admin(&client).list_topics(soon()).await.unwrap();
    });
    sweep!(client, async {
        let topics = ["t".into()];
        admin(&client)
            .describe_topics(&topics, soon())
            .await
            .unwrap();
    });
    sweep!(client, async {
        let resources = [ConfigResource::Topic("t".into())];
        admin(&client)
            .describe_configs(&resources, soon())
            .await
            .unwrap();
    });
    sweep!(client, async {
        let wanted = [("t".into(), 3)];
        // It is there already if an earlier one was carried out though it was dropped.
        admin(&client)
            .create_partitions(&wanted, false, soon())
            .await
            .unwrap();
        assert_eq!(partitions(&client, "t").await, 3);
    });
    sweep!(client, async {
        let wanted = [NewTopic::new("u").partitions(4)];
        admin(&client)
            .create_topics(&wanted, false, soon())
            .await
            .unwrap();
        assert_eq!(partitions(&client, "u").await, 4);
    });
    sweep!(client, async {
        admin(&client)
            .delete_topics(&["t".into()], soon())
            .await
            .unwrap();
        let left = admin(&client).list_topics(soon()).await.unwrap();
        assert!(left.iter().all(|topic| &*topic.name != "t"));
    });
}

async fn partitions(client: &Client, name: &str) -> usize {
    let topic = client
        .cluster()
        .topic(name, AutoCreate::Never, soon())
        .await;
    let stale = topic.unwrap().partitions.len();
    let snapshot = client.cluster().refreshed(soon()).await.unwrap();
    snapshot
        .topic(name)
        .map_or(stale, |topic| topic.partitions.len())
}
