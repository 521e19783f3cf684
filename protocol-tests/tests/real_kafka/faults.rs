//! What happens to the nodes of the three-broker cluster while a test writes.

use std::fmt;
use std::thread;
use std::time::Duration;

use milena::{Client, Str};
use protocol_tests::real_kafka::{variable, xtask};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::paced::PARTITIONS;
use crate::requests::{elect_preferred, reassign};
use crate::world::{AWAY, leader_of_first, restart, soon};

/// How long replicas may take to catch up after a fault.
const TO_CATCH_UP: Duration = Duration::from_secs(120);
const NODES: [i32; 3] = [1, 2, 3];
const BETWEEN_ELECTIONS: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// SIGKILL to a leader, and its start.
    Kill,
    /// SIGTERM to a leader, and its start.
    Stop,
    /// SIGSTOP to a leader, and SIGCONT after this time.
    Pause(Duration),
    /// SIGTERM to each node and its start, one after another, each when replicas have caught up.
    Rolling,
    /// No fault, only work for the clients: so often, another replica of each partition is elected.
    Elections(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("SIGKILL"),
            Self::Stop => f.write_str("SIGTERM"),
            Self::Pause(time) => write!(f, "SIGSTOP for {} s", time.as_secs()),
            Self::Rolling => f.write_str("rolling restart"),
            Self::Elections(count) => write!(f, "{count} elections"),
        }
    }
}

impl Fault {
    /// Done when all replicas of the topic are in sync again. Leaders are that of its partition 0.
    pub(crate) async fn happen(self, client: &Client, topic: &str) {
        let (client, topic) = (client.clone(), topic.to_owned());
        let happen = move || {
            let _away = AWAY.lock().unwrap();
            let caught_up = || Handle::current().block_on(caught_up(&client, &topic));
            caught_up();
            let leader = Handle::current().block_on(leader_of_first(&client, &topic));
            match self {
                Self::Kill => restart("kill", leader),
                Self::Stop => restart("stop", leader),
                Self::Pause(time) => pause(leader, time),
                Self::Rolling => {
                    for node in NODES {
                        restart("stop", node);
                        caught_up();
                    }
                }
                Self::Elections(count) => {
                    let elections = elect(&client, &topic, count);
                    Handle::current().block_on(elections);
                }
            }
            caught_up();
        };
        spawn_blocking(happen).await.unwrap();
    }
}

fn pause(node: i32, time: Duration) {
    let (node, dir) = (node.to_string(), variable("MILENA_TEST_KAFKA_3_DIR"));
    xtask(&["pause", &node, "-d", &dir]);
    thread::sleep(time);
    xtask(&["resume", &node, "-d", &dir]);
}

/// Makes the next replica of each partition the preferred one and has it elected.
async fn elect(client: &Client, topic: &str, count: usize) {
    let names = [Str::from(topic)];
    for _ in 0..count {
        let described = client
            .admin()
            .describe_topics(&names, soon())
            .await
            .unwrap();
        let partitions = &described[0].result.as_ref().unwrap().partitions;
        let mut replicas: Vec<_> = partitions.iter().map(|it| it.replicas.clone()).collect();
        replicas.iter_mut().for_each(|it| it.rotate_left(1));
        reassign(client, topic, &replicas).await;
        elect_preferred(client, topic, PARTITIONS).await;
        sleep(BETWEEN_ELECTIONS).await;
    }
}

/// Waits until every replica of the topic is in sync.
async fn caught_up(client: &Client, topic: &str) {
    let wait = async {
        while !is_whole(client, topic).await {
            sleep(Duration::from_millis(250)).await;
        }
    };
    let waited = timeout(TO_CATCH_UP, wait).await;
    waited.unwrap_or_else(|_| panic!("replicas of {topic} do not catch up"));
}

async fn is_whole(client: &Client, topic: &str) -> bool {
    let names = [Str::from(topic)];
    let described = client.admin().describe_topics(&names, soon()).await;
    let Ok(described) = described else {
        return false; // The one asked is on its way out.
    };
    let described = described.into_iter().map(|topic| topic.result);
    let mut described = described.filter_map(Result::ok);
    described.all(|topic| {
        let mut partitions = topic.partitions.iter();
        partitions.all(|it| it.leader.is_some() && it.isr.len() == it.replicas.len())
    })
}
