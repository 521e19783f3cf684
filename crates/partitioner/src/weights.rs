//! Which partition gets the next sticky turn when their leaders are not equally quick (KIP-794).

/// A cumulative frequency table: the fewer batches wait for a partition, the likelier it is.
///
/// The weight of a partition is one more than the difference between the longest queue and its
/// own, so the longest keeps a weight of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    partitions: Vec<i32>,
    /// Of each partition, its weight and those of all before it. Strictly ascending.
    cumulative: Vec<u64>,
}

impl Weights {
    /// Without partitions.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            partitions: Vec::new(),
            cumulative: Vec::new(),
        }
    }

    /// Takes partitions with how many batches wait for each, instead of those before. Those that
    /// should get nothing are left out.
    pub fn set(&mut self, queued: impl IntoIterator<Item = (i32, u32)>) {
        self.partitions.clear();
        self.cumulative.clear();
        for (partition, queued) in queued {
            self.partitions.push(partition);
            self.cumulative.push(u64::from(queued));
        }
        let longest = self.cumulative.iter().copied().max().unwrap_or(0);
        let mut sum = 0;
        for entry in &mut self.cumulative {
            sum += longest - *entry + 1;
            *entry = sum;
        }
    }

    /// The partition that `random` falls on, by weight; `None` without partitions. `random` should
    /// be uniform over much more than the sum of the weights.
    #[must_use]
    pub fn pick(&self, random: u64) -> Option<i32> {
        let at = random % self.cumulative.last()?;
        let index = self.cumulative.partition_point(|&sum| sum <= at);
        self.partitions.get(index).copied()
    }
}

#[cfg(test)]
mod tests;
