//! Batches of arbitrary records, written and read again.

use milena_records::{Batches, Decompressor};

use crate::batches::{Names, Plan};
use crate::dice::Dice;

/// More than a batch of a plan decompresses to.
const MAX_DECOMPRESSED: usize = 2 << 20;

/// The builder: what it writes is read back the same.
pub fn batch_builder(input: &[u8]) {
    let mut plan = Plan::roll(&mut Dice::new(input), None, Names::Bytes);
    let mut batches = Batches::new(plan.build());
    let batch = batches
        .next()
        .expect("a batch")
        .and_then(|batch| batch.check(&mut Decompressor::new(), MAX_DECOMPRESSED))
        .expect("what we write is valid");
    assert_eq!(batches.remaining(), 0);
    plan.check(&batch);
    if batch.iter().len() > 0 {
        assert_eq!(batch.check_produced(), Ok(()));
    }
}
