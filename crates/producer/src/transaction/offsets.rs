//! Offsets of consumed records, committed with a transaction (KIP-447).

use milena_codec::Str;

/// Who consumed: the group, and the member as the group knows it. With the member's data a
/// coordinator refuses the commit of one that the group has moved on from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMetadata {
    /// `group.id`.
    pub group_id: Str,
    /// The group's generation, or the member's epoch; −1 for none.
    pub generation: i32,
    /// The member's id; empty for none.
    pub member_id: Str,
    /// `group.instance.id` of a static member.
    pub group_instance_id: Option<Str>,
}

impl GroupMetadata {
    /// A group whose members are not managed by Kafka: nobody is fenced.
    pub fn new(group_id: impl Into<Str>) -> Self {
        Self {
            group_id: group_id.into(),
            generation: -1,
            member_id: Str::new(),
            group_instance_id: None,
        }
    }

    /// With the member that consumed, and its generation or epoch.
    #[must_use]
    pub fn member(mut self, member_id: impl Into<Str>, generation: i32) -> Self {
        self.member_id = member_id.into();
        self.generation = generation;
        self
    }

    /// Whether brokers below Kafka 2.5 could not honour it.
    pub(super) fn names_member(&self) -> bool {
        self.generation >= 0 || !self.member_id.is_empty() || self.group_instance_id.is_some()
    }
}

/// Where a partition's consumer goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumedOffset {
    /// The topic.
    pub topic: Str,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record to consume.
    pub offset: i64,
    /// The leader epoch of the last record consumed (KIP-320), if it is known.
    pub leader_epoch: Option<i32>,
    /// What the committer wants to note, up to 4,096 bytes by default.
    pub metadata: Option<Str>,
}

impl ConsumedOffset {
    /// The next record to consume is the one at `offset`.
    pub fn new(topic: impl Into<Str>, partition: i32, offset: i64) -> Self {
        Self {
            topic: topic.into(),
            partition,
            offset,
            leader_epoch: None,
            metadata: None,
        }
    }
}

/// What one `send_offsets` was given.
#[derive(Debug)]
pub(super) struct Offsets {
    pub(super) group: GroupMetadata,
    pub(super) offsets: Vec<ConsumedOffset>,
}
