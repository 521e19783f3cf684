//! The embedded broker's model under any requests: each after its length in two bytes.

use std::time::Duration;

use bytes::Bytes;
use milena_broker::{ClusterModel, ClusterSettings, Outcome};

use super::unpacked;
use crate::dice::Dice;

/// What the model may keep, so that a run stays small.
const MAX_BYTES: usize = 1 << 20;

/// A cluster of one node, one connection, and then another one that finds it working.
pub fn broker_model(input: &[u8]) {
    let mut model = ClusterModel::new(ClusterSettings {
        max_log_bytes: MAX_BYTES,
        max_decompressed: MAX_BYTES,
        max_request_bytes: MAX_BYTES,
        ..ClusterSettings::default()
    });
    let mut now = Duration::ZERO;
    let mut connection = model.connect(1).expect("node 1 runs");
    for frame in unpacked(Dice::new(input)) {
        now += Duration::from_millis(1);
        let outcome = model.handle(now, connection, Bytes::copy_from_slice(frame));
        let outcome = match outcome {
            Outcome::Parked => released(&mut model, &mut now),
            outcome => outcome,
        };
        match outcome {
            Outcome::Answer(answer) => {
                let bytes = answer.into_bytes();
                let size = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
                assert_eq!(size as usize, bytes.len() - 4);
            }
            Outcome::Silent => {}
            Outcome::Close => {
                model.disconnect(connection);
                connection = model.connect(1).expect("node 1 runs");
            }
            Outcome::Parked | Outcome::Busy(_) => panic!("not done after it was released"),
        }
    }
}

/// Lets time pass until what was parked comes out.
fn released(model: &mut ClusterModel, now: &mut Duration) -> Outcome {
    loop {
        if let Some((_, outcome)) = model.poll_release() {
            return outcome;
        }
        let due = model.poll_timeout().expect("what is parked has a deadline");
        *now = due.max(*now);
        model.handle_timeout(*now);
    }
}
