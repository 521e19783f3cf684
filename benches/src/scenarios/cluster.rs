//! An embedded cluster in a thread of its own.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use milena::Client;
use milena::broker::{Broker, BrokerBuilder};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// The cluster; dropping it ends its thread.
pub(crate) struct Cluster {
    pub(crate) broker: Broker,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Starts what `builder` describes, on free ports.
    pub(crate) fn start(builder: BrokerBuilder) -> Result<Self> {
        let (end, ended) = oneshot::channel();
        let (started, wait) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                let builder = builder.settings(|settings| settings.max_log_bytes = 4 << 30);
                let broker = builder.listen("127.0.0.1:0").start().await;
                if started.send(broker).is_ok() {
                    // Either way it is time to end.
                    let _ = ended.await;
                }
            });
        });
        let broker = wait.recv().context("the broker's thread has ended")??;
        Ok(Self {
            broker,
            end: Some(end),
            thread: Some(thread),
        })
    }

    pub(crate) async fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.broker.bootstrap()).await?)
    }

    /// The partitions of a topic that a node leads.
    pub(crate) fn led_by(&self, node: i32, topic: &str, partitions: i32) -> Result<BTreeSet<i32>> {
        let mut led = BTreeSet::new();
        for partition in 0..partitions {
            let leader = self
                .broker
                .with_model(|model| model.leader(topic, partition))?;
            if leader.0 == Some(node) {
                led.insert(partition);
            }
        }
        Ok(led)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}
