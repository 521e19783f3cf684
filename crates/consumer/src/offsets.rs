//! Asking for offsets without reading.

use std::collections::BTreeMap;

use milena_rpc::{FoundOffset, Isolation, ListOffsetsError, OffsetQuery, OffsetSpec, list_offsets};

use crate::{Consumer, TopicPartition};

impl Consumer {
    /// The first offset of each partition, assigned or not.
    ///
    /// # Cancel safety
    /// It changes nothing.
    ///
    /// # Errors
    /// The first partition's whose offset cannot be had within `default.api.timeout.ms`.
    pub async fn beginning_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, ListOffsetsError> {
        self.bounds(partitions, OffsetSpec::Earliest).await
    }

    /// The end of each partition, assigned or not: the offset behind the last record that
    /// consumers can see.
    ///
    /// # Cancel safety
    /// It changes nothing.
    ///
    /// # Errors
    /// As [`beginning_offsets`](Self::beginning_offsets).
    pub async fn end_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, ListOffsetsError> {
        self.bounds(partitions, OffsetSpec::Latest).await
    }

    /// The first offset of each partition whose record has the timestamp given with it (in ms
    /// since the epoch) or a later one; `None` if there is no such record.
    ///
    /// # Cancel safety
    /// It changes nothing.
    ///
    /// # Errors
    /// As [`beginning_offsets`](Self::beginning_offsets).
    pub async fn offsets_for_times(
        &self,
        times: &[(TopicPartition, i64)],
    ) -> Result<BTreeMap<TopicPartition, Option<i64>>, ListOffsetsError> {
        let queries = times
            .iter()
            .map(|(name, at)| query(name, OffsetSpec::Timestamp(*at)));
        self.ask(queries.collect(), |found| found.offset).await
    }

    async fn bounds(
        &self,
        partitions: &[TopicPartition],
        at: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, i64>, ListOffsetsError> {
        let queries = partitions.iter().map(|name| query(name, at)).collect();
        // A log has bounds even when it is empty.
        self.ask(queries, |found| found.offset.unwrap_or(0)).await
    }

    async fn ask<T>(
        &self,
        queries: Vec<OffsetQuery>,
        value: impl Fn(FoundOffset) -> T,
    ) -> Result<BTreeMap<TopicPartition, T>, ListOffsetsError> {
        let shared = self.shared();
        let deadline = shared.now() + shared.config.api_timeout;
        let isolation = Isolation::ReadUncommitted;
        let answers = list_offsets(&shared.cluster, &queries, isolation, deadline).await;
        let pairs = answers.into_iter().map(|answer| {
            let name = TopicPartition::new(answer.topic, answer.partition);
            Ok((name, value(answer.result?)))
        });
        pairs.collect()
    }
}

fn query(name: &TopicPartition, at: OffsetSpec) -> OffsetQuery {
    OffsetQuery {
        topic: name.topic.clone(),
        partition: name.partition,
        at,
    }
}
