//! A sealed batch's records in several smaller batches: for brokers that take none so large.

use bytes::Bytes;

use crate::{
    BatchBuilder, BatchError, Batches, CheckedBatch, CompressError, Compressor, Decompressor,
    HEADER_LEN, Header, Heap, SealedBatch, Stamp,
};

/// Why a batch was not divided. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// It has one record at most.
    #[error("a batch of one record cannot be divided")]
    Indivisible,
    /// What was sealed cannot be read again.
    #[error(transparent)]
    Unreadable(#[from] BatchError),
    /// The codec failed on a part.
    #[error(transparent)]
    Compression(#[from] CompressError),
}

impl SealedBatch {
    /// The same records, in order, in at least two batches, and the size that each is held to unless
    /// a single record is larger: about half the bytes before compression.
    ///
    /// # Errors
    /// [`SplitError`].
    pub fn split(
        &self,
        compressor: &mut Compressor,
        decompressor: &mut Decompressor,
    ) -> Result<(Vec<Self>, usize), SplitError> {
        if self.count() < 2 {
            return Err(SplitError::Indivisible);
        }
        let checked = self.read(decompressor)?;
        let body = checked.block().len();
        // Half, and half a record more, so that the second part holds the rest.
        let record = body.div_ceil(checked.header().record_count.unsigned_abs().max(1) as usize);
        let limit = (body.saturating_add(record) / 2).saturating_add(HEADER_LEN);
        let mut parts = Vec::new();
        let mut builder = BatchBuilder::new(Vec::new(), limit);
        for (index, record) in (1..).zip(&checked) {
            let headers: Vec<Header<'_>> = record.headers.collect();
            let parts_of = record.parts(&headers);
            let last = index == self.count();
            // Each side gets a record, however large the others are.
            let must_close = last && parts.is_empty() && !builder.is_empty();
            if must_close || builder.append(&parts_of).is_err() {
                let full = std::mem::replace(&mut builder, BatchBuilder::new(Vec::new(), limit));
                parts.push(full.seal(compressor, &mut Heap)?);
                // A record that was in a batch fits into an empty one.
                let again = builder.append(&parts_of);
                again.map_err(|_| SplitError::Indivisible)?;
            }
        }
        parts.push(builder.seal(compressor, &mut Heap)?);
        Ok((parts, limit))
    }

    fn read(&self, decompressor: &mut Decompressor) -> Result<CheckedBatch, SplitError> {
        let bytes: Bytes = self.to_bytes(Stamp::NONE);
        let batch = Batches::new(bytes)
            .next()
            .ok_or(SplitError::Indivisible)??;
        Ok(batch.check(decompressor, usize::MAX)?)
    }
}

#[cfg(test)]
mod tests;
