//! Which node coordinates which transactional ids: the leaders of `__transaction_state`.

/// Kafka's `transaction.state.log.num.partitions` and `offsets.topic.num.partitions`.
const PARTITIONS: i32 = 50;

/// The partition of `__transaction_state` or `__consumer_offsets` that an id or a group belongs
/// to: Java's hash of the string.
pub(crate) fn partition_of(key: &str) -> i32 {
    let hash = key.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    hash.checked_abs().unwrap_or(0) % PARTITIONS
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    node: Option<i32>,
    epoch: i32,
    /// It answers its first request that it is loading.
    cold: bool,
}

/// The coordinators of all transactional ids.
#[derive(Debug)]
pub(crate) struct Coordinators {
    slots: Vec<Slot>,
    cold_start: bool,
}

/// Why a node does not act for an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    Elsewhere,
    Loading,
}

impl Coordinators {
    pub(crate) fn new(nodes: &[i32], cold_start: bool) -> Self {
        let slot = |partition: i32| Slot {
            node: spread(nodes, partition, |_| true),
            epoch: 0,
            cold: cold_start,
        };
        Self {
            slots: (0..PARTITIONS).map(slot).collect(),
            cold_start,
        }
    }

    /// The node that coordinates an id, and for how many changes.
    pub(crate) fn of(&self, id: &str) -> (Option<i32>, i32) {
        let slot = self.slots[index(id)];
        (slot.node, slot.epoch)
    }

    /// Whether `node` acts for an id.
    pub(crate) fn ask(&mut self, id: &str, node: i32) -> Result<(), Absent> {
        let slot = &mut self.slots[index(id)];
        if slot.node != Some(node) {
            return Err(Absent::Elsewhere);
        }
        if std::mem::take(&mut slot.cold) {
            return Err(Absent::Loading);
        }
        Ok(())
    }

    /// Elects others where a coordinator is down.
    pub(crate) fn elect(&mut self, nodes: &[i32], is_up: impl Fn(i32) -> bool) {
        let cold = self.cold_start;
        for (partition, slot) in (0..).zip(&mut self.slots) {
            if !slot.node.is_some_and(&is_up) {
                slot.change(spread(nodes, partition, &is_up), cold);
            }
        }
    }

    /// Moves the coordinator of an id, and of all ids in its partition.
    pub(crate) fn move_to(&mut self, id: &str, node: i32) {
        let cold = self.cold_start;
        self.slots[index(id)].change(Some(node), cold);
    }
}

impl Slot {
    fn change(&mut self, node: Option<i32>, cold: bool) {
        if node != self.node {
            self.node = node;
            self.epoch += 1;
            self.cold = cold;
        }
    }
}

fn index(id: &str) -> usize {
    usize::try_from(partition_of(id)).expect("partitions count from 0")
}

fn spread(nodes: &[i32], partition: i32, is_up: impl Fn(i32) -> bool) -> Option<i32> {
    let from = usize::try_from(partition).ok()?;
    (from..from + nodes.len())
        .map(|at| nodes[at % nodes.len()])
        .find(|node| is_up(*node))
}
