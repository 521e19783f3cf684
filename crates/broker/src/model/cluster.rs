//! What tests do to a cluster: nodes come and go, leaders move, records get lost; and the creation
//! of topics, which the API shares.

use milena_codec::{ErrorCode, Str, Uuid};

use super::ClusterModel;
use super::config::TopicConfig;
use super::settings::NodeAddress;
use super::topics::{Topic, check_name};

/// Why the cluster cannot do what a test asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// There is no such node.
    #[error("there is no node {0}; nodes count from 1")]
    NoNode(i32),
    /// There is no such topic.
    #[error("there is no topic '{0}'; create it first")]
    NoTopic(String),
    /// The topic cannot have this setting.
    #[error("{0}")]
    Setting(String),
    /// There is no such partition.
    #[error("there is no partition {1} of a topic '{0}'; create the topic first")]
    NoPartition(String, i32),
    /// The node is down or holds no replica.
    #[error("node {0} cannot lead this partition: it is down or holds no replica of it")]
    CannotLead(i32),
    /// The node is down.
    #[error("node {0} cannot coordinate: it is down")]
    CannotCoordinate(i32),
    /// The topic cannot be created.
    #[error("topic '{name}' cannot be created: {message}")]
    Topic {
        /// Its name.
        name: String,
        /// What Kafka answers.
        code: ErrorCode,
        /// What is wrong.
        message: String,
    },
}

/// A topic to be created: what was asked for, defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct NewTopic {
    pub(crate) name: Str,
    /// The nodes of each partition.
    pub(crate) assignment: Vec<Vec<i32>>,
    pub(crate) config: TopicConfig,
}

impl ClusterModel {
    /// Creates a topic of `partitions` partitions with the default replication factor.
    ///
    /// # Errors
    /// [`AdminError::Topic`].
    pub fn create_topic(&mut self, name: &str, partitions: i32) -> Result<Uuid, AdminError> {
        let new = self.plan_topic(name, Some(partitions), None);
        let new = new.map_err(|(code, message)| AdminError::Topic {
            name: name.into(),
            code,
            message,
        })?;
        Ok(self.add_topic(new))
    }

    /// Deletes a topic with all its records; what waits there is answered. Whether it was there.
    pub fn remove_topic(&mut self, name: &str) -> bool {
        let found = self.delete_topic(name).is_some();
        self.settle();
        found
    }

    /// Sets a setting of a topic.
    ///
    /// # Errors
    /// [`AdminError::NoTopic`], [`AdminError::Setting`].
    pub fn configure_topic(
        &mut self,
        topic: &str,
        name: &str,
        value: &str,
    ) -> Result<(), AdminError> {
        let found = self.topics.by_name_mut(topic);
        let found = found.ok_or_else(|| AdminError::NoTopic(topic.into()))?;
        let set = found.config.set(&name.into(), Some(&value.into()));
        set.map_err(AdminError::Setting)
    }

    /// Puts a node into a rack (`broker.rack`), or out of any.
    ///
    /// # Errors
    /// [`AdminError::NoNode`].
    pub fn set_rack(&mut self, node: i32, rack: Option<&str>) -> Result<(), AdminError> {
        let found = self.nodes.get_mut(&node).ok_or(AdminError::NoNode(node))?;
        found.rack = rack.map(Into::into);
        Ok(())
    }

    /// Starts a node that is down; with it, partitions that only it can lead.
    ///
    /// # Errors
    /// [`AdminError::NoNode`].
    pub fn start_node(&mut self, node: i32) -> Result<(), AdminError> {
        self.nodes
            .get_mut(&node)
            .ok_or(AdminError::NoNode(node))?
            .up = true;
        self.elect_coordinators();
        self.for_each_partition(|up, partition| {
            partition.elect(up);
            // Only a leader can take replicas back in sync.
            for replica in partition
                .leader
                .iter()
                .flat_map(|_| partition.replicas.iter())
            {
                if up(*replica) && !partition.isr.contains(replica) {
                    partition.isr.push(*replica);
                }
            }
        });
        self.settle();
        Ok(())
    }

    /// Tells clients another address of a node from now on. Who leads there is up to the test.
    ///
    /// # Errors
    /// [`AdminError::NoNode`].
    pub fn advertise(&mut self, node: i32, host: &str, port: u16) -> Result<(), AdminError> {
        let found = self.nodes.get_mut(&node);
        found.ok_or(AdminError::NoNode(node))?.address = NodeAddress {
            host: host.into(),
            port,
        };
        Ok(())
    }

    /// Stops a node in good order: its leaders move first, what waits there is answered, then its
    /// connections close.
    ///
    /// # Errors
    /// [`AdminError::NoNode`].
    pub fn stop_node(&mut self, node: i32) -> Result<(), AdminError> {
        self.nodes
            .get_mut(&node)
            .ok_or(AdminError::NoNode(node))?
            .up = false;
        self.leave(node);
        self.settle();
        self.sever(node);
        Ok(())
    }

    /// Kills a node: its connections break without answers, then its leaders move.
    ///
    /// # Errors
    /// [`AdminError::NoNode`].
    pub fn kill_node(&mut self, node: i32) -> Result<(), AdminError> {
        self.nodes
            .get_mut(&node)
            .ok_or(AdminError::NoNode(node))?
            .up = false;
        self.sever(node);
        self.leave(node);
        self.settle();
        Ok(())
    }

    /// Moves a partition's leadership; records from `lose_from` on are lost, as when the new
    /// leader had not replicated them.
    ///
    /// # Errors
    /// [`AdminError::NoPartition`], [`AdminError::CannotLead`].
    pub fn move_leader(
        &mut self,
        topic: &str,
        partition: i32,
        to: i32,
        lose_from: Option<i64>,
    ) -> Result<(), AdminError> {
        let up = self.is_up(to);
        let (id, found) = self.partition_mut(topic, partition)?;
        if !up || !found.replicas.contains(&to) {
            return Err(AdminError::CannotLead(to));
        }
        let before = found.log.size();
        if let Some(offset) = lose_from {
            found.truncate(offset);
            found.held_at = found.held_at.map(|held| held.min(offset));
        }
        if !found.isr.contains(&to) {
            found.isr.push(to);
        }
        found.lead(Some(to));
        let lost = before - found.log.size();
        self.log_bytes -= lost;
        self.touched.insert((id, partition));
        self.settle();
        Ok(())
    }

    /// Holds a partition's high watermark where it is, as followers that stop fetching do while
    /// they still count as in sync, or lets it go on: acks=all waits, consumers see nothing new.
    ///
    /// # Errors
    /// [`AdminError::NoPartition`].
    pub fn hold_replication(
        &mut self,
        topic: &str,
        partition: i32,
        hold: bool,
    ) -> Result<(), AdminError> {
        let (id, found) = self.partition_mut(topic, partition)?;
        found.held_at = hold.then(|| found.high_watermark());
        self.touched.insert((id, partition));
        self.settle();
        Ok(())
    }

    /// Makes a partition forget its idempotent producers, as after their expiry.
    ///
    /// # Errors
    /// [`AdminError::NoPartition`].
    pub fn forget_producers(&mut self, topic: &str, partition: i32) -> Result<(), AdminError> {
        self.partition_mut(topic, partition)?
            .1
            .producers
            .forget_all();
        Ok(())
    }

    /// The leader of a partition and its epoch.
    ///
    /// # Errors
    /// [`AdminError::NoPartition`].
    pub fn leader(&self, topic: &str, partition: i32) -> Result<(Option<i32>, i32), AdminError> {
        let found = self
            .topics
            .by_name(topic)
            .and_then(|topic| topic.partition(partition));
        let found = found.ok_or_else(|| AdminError::NoPartition(topic.into(), partition))?;
        Ok((found.leader, found.leader_epoch))
    }

    /// The batches of a partition, as they lie in its log.
    ///
    /// # Errors
    /// [`AdminError::NoPartition`].
    pub fn log(&self, topic: &str, index: i32) -> Result<Vec<milena_codec::Bytes>, AdminError> {
        let found = self
            .topics
            .by_name(topic)
            .and_then(|topic| topic.partition(index));
        let found = found.ok_or_else(|| AdminError::NoPartition(topic.into(), index))?;
        Ok(found.log.batches().map(super::log::Stored::bytes).collect())
    }

    /// Checks a new topic and chooses its nodes.
    pub(crate) fn plan_topic(
        &self,
        name: &str,
        partitions: Option<i32>,
        replication_factor: Option<i16>,
    ) -> Result<NewTopic, (ErrorCode, String)> {
        self.check_new_name(name)?;
        let partitions = partitions.unwrap_or(self.settings.partitions);
        if partitions <= 0 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return Err((ErrorCode::InvalidPartitions, message.into()));
        }
        if partitions > MAX_PARTITIONS {
            let message = format!("This broker takes at most {MAX_PARTITIONS} partitions a topic.");
            return Err((ErrorCode::InvalidPartitions, message));
        }
        let factor =
            replication_factor.unwrap_or_else(|| self.settings.default_replication_factor());
        if factor <= 0 {
            let message =
                "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err((ErrorCode::InvalidReplicationFactor, message.into()));
        }
        let nodes = self.nodes.len();
        let factor = usize::from(factor.cast_unsigned());
        if factor > nodes {
            let message = format!(
                "Unable to replicate the partition {factor} time(s): The target replication factor \
                 of {factor} cannot be reached because only {nodes} broker(s) are registered."
            );
            return Err((ErrorCode::InvalidReplicationFactor, message));
        }
        let config = TopicConfig::default();
        let assignment = self.assign(name, 0..partitions, factor);
        Ok(NewTopic {
            name: name.into(),
            assignment,
            config,
        })
    }

    /// Spreads partitions over the nodes: each topic starts at a node of its own.
    pub(crate) fn assign(
        &self,
        name: &str,
        partitions: std::ops::Range<i32>,
        factor: usize,
    ) -> Vec<Vec<i32>> {
        let nodes: Vec<i32> = self.nodes.keys().copied().collect();
        let first = name.bytes().map(usize::from).sum::<usize>();
        let replicas = |index: i32| {
            let from = first + usize::try_from(index).unwrap_or(0);
            (from..from + factor)
                .map(|at| nodes[at % nodes.len()])
                .collect()
        };
        partitions.map(replicas).collect()
    }

    pub(crate) fn check_new_name(&self, name: &str) -> Result<(), (ErrorCode, String)> {
        check_name(name).map_err(|message| (ErrorCode::InvalidTopicException, message))?;
        if self.topics.by_name(name).is_some() {
            return Err((
                ErrorCode::TopicAlreadyExists,
                format!("Topic '{name}' already exists."),
            ));
        }
        let plain = |name: &str| name.replace('.', "_");
        let collides = |topic: &&Topic| plain(&topic.name) == plain(name);
        if let Some(other) = self.topics.iter().find(collides) {
            let message = format!(
                "Topic '{name}' collides with existing topic: {}",
                other.name
            );
            return Err((ErrorCode::InvalidTopicException, message));
        }
        Ok(())
    }

    pub(crate) fn add_topic(&mut self, new: NewTopic) -> Uuid {
        let id = self.random.uuid();
        let mut topic = Topic {
            name: new.name,
            id,
            config: new.config,
            partitions: Vec::new(),
        };
        for replicas in new.assignment {
            topic.add(replicas, |node| self.is_up(node));
        }
        self.topics.insert(topic);
        id
    }

    pub(crate) fn delete_topic(&mut self, name: &str) -> Option<Uuid> {
        let topic = self.topics.remove(name)?;
        self.log_bytes -= topic.size();
        self.offsets.forget(topic.id);
        self.touched.extend(
            (0..)
                .zip(&topic.partitions)
                .map(|(index, _)| (topic.id, index)),
        );
        Some(topic.id)
    }

    /// A node left: it is out of sync wherever another replica is in sync.
    fn leave(&mut self, node: i32) {
        self.for_each_partition(|up, partition| {
            if partition.isr.len() > 1 {
                partition.isr.retain(|replica| *replica != node);
            }
            partition.elect(up);
        });
        if let Some(node) = self.nodes.get_mut(&node) {
            node.sessions = super::sessions::Sessions::default();
            node.warm = false;
        }
        self.elect_coordinators();
    }

    fn for_each_partition(
        &mut self,
        mut change: impl FnMut(&dyn Fn(i32) -> bool, &mut super::topics::Partition),
    ) {
        let up = |node: i32| self.nodes.get(&node).is_some_and(|node| node.up);
        for topic in self.topics.iter_mut() {
            for (index, partition) in (0..).zip(&mut topic.partitions) {
                change(&up, partition);
                self.touched.insert((topic.id, index));
            }
        }
    }

    fn partition_mut(
        &mut self,
        topic: &str,
        partition: i32,
    ) -> Result<(Uuid, &mut super::topics::Partition), AdminError> {
        let missing = || AdminError::NoPartition(topic.into(), partition);
        let found = self.topics.by_name_mut(topic).ok_or_else(missing)?;
        let index = usize::try_from(partition).map_err(|_| missing())?;
        let id = found.id;
        Ok((id, found.partitions.get_mut(index).ok_or_else(missing)?))
    }
}

/// More partitions in one topic are refused: each costs memory before it holds anything.
pub(crate) const MAX_PARTITIONS: i32 = 100_000;
