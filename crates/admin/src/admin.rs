//! The handle, and what concerns the cluster as a whole.

use std::time::{Duration, Instant};

use milena_codec::Str;
use milena_net::NetConfig;
use milena_rpc::{BrokerInfo, Cluster, Isolation, OffsetAnswer, OffsetQuery, list_offsets};

use crate::AdminError;

/// Administration of a cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) cluster: Cluster,
}

/// The cluster as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id; `None` for a broker that has none.
    pub cluster_id: Option<Str>,
    /// The node id of the active controller; with KRaft, of any broker that forwards to it.
    pub controller: Option<i32>,
    /// The brokers by ascending node id.
    pub brokers: Vec<BrokerInfo>,
}

impl Admin {
    /// Works on this cluster.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// The cluster's brokers and controller, asked for anew.
    ///
    /// Cancel safe: it changes nothing.
    ///
    /// # Errors
    ///
    /// The cluster could not be asked by `deadline`.
    pub async fn describe_cluster(
        &self,
        deadline: Instant,
    ) -> Result<ClusterDescription, AdminError> {
        let snapshot = self.cluster.refreshed(deadline).await?;
        Ok(ClusterDescription {
            cluster_id: snapshot.cluster_id().cloned(),
            controller: snapshot.controller(),
            brokers: snapshot.brokers().cloned().collect(),
        })
    }

    /// Offsets of partitions, by place or time; see [`list_offsets`].
    ///
    /// Cancel safe: it changes nothing.
    pub async fn list_offsets(
        &self,
        queries: &[OffsetQuery],
        isolation: Isolation,
        deadline: Instant,
    ) -> Vec<OffsetAnswer> {
        list_offsets(&self.cluster, queries, isolation, deadline).await
    }

    /// How long a broker may take to carry a request out, so that it answers before the attempt
    /// ends: nine tenths of the time there is.
    pub(crate) fn broker_timeout_ms(&self, deadline: Instant) -> i32 {
        let NetConfig {
            request_timeout, ..
        } = &self.cluster.config().net;
        let left = deadline.saturating_duration_since(self.cluster.env().now());
        let patience: Duration = left.min(*request_timeout) * 9 / 10;
        i32::try_from(patience.as_millis()).unwrap_or(i32::MAX)
    }
}
