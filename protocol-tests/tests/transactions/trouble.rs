//! What goes wrong in the chaos test, by chance.

use std::time::Duration;

use milena_broker::{ClusterModel, Verdict};
use milena_codec::ApiKey;
use milena_producer::ErrorCode;
use protocol_tests::dice::XorShift;

use crate::history::PARTITIONS;
use crate::world::World;

pub(crate) const IDS: [&str; 2] = ["one", "two"];

/// Makes requests fail once in `odds` times. Without `late`, no Produce is executed after its caller
/// has gone: brokers before KIP-890 take it for one of the next transaction, which no client can
/// prevent.
pub(crate) fn faults(world: &World, seed: u64, odds: usize, late: bool) {
    let mut dice = XorShift::new(seed ^ 0xfeed);
    world.broker.faults(move |request| {
        let codes = codes(request.api);
        if codes.is_empty() || dice.below(odds) != 0 {
            return Verdict::Pass;
        }
        match dice.below(8) {
            0 => Verdict::Disconnect,
            1 => Verdict::ApplyThenDisconnect,
            2 => Verdict::Silence,
            3 => Verdict::Delay(Duration::from_millis(dice.below(300) as u64)),
            // Late: executed after its caller has gone.
            4 if late || request.api != ApiKey::Produce => {
                Verdict::Delay(Duration::from_millis(dice.below(9_000) as u64))
            }
            5 => applied(request.api),
            _ => Verdict::Error(codes[dice.below(codes.len())]),
        }
    });
}

/// A request that was executed all the same, as its answer does not show.
fn applied(api: ApiKey) -> Verdict {
    Verdict::ApplyThenError(match api {
        ApiKey::Produce => ErrorCode::NotLeaderOrFollower,
        ApiKey::FindCoordinator => ErrorCode::CoordinatorNotAvailable,
        ApiKey::TxnOffsetCommit => ErrorCode::RequestTimedOut,
        _ => ErrorCode::NotCoordinator,
    })
}

/// What this API can be refused with, without having been executed.
fn codes(api: ApiKey) -> &'static [ErrorCode] {
    match api {
        ApiKey::Produce => &[
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::NotEnoughReplicas,
            ErrorCode::ConcurrentTransactions,
            ErrorCode::TransactionAbortable,
            ErrorCode::RequestTimedOut,
        ],
        ApiKey::FindCoordinator => &[ErrorCode::CoordinatorNotAvailable],
        ApiKey::InitProducerId => &[
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::NotCoordinator,
            ErrorCode::ConcurrentTransactions,
        ],
        ApiKey::AddPartitionsToTxn
        | ApiKey::AddOffsetsToTxn
        | ApiKey::EndTxn
        | ApiKey::TxnOffsetCommit => &[
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::NotCoordinator,
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::ConcurrentTransactions,
            ErrorCode::TransactionAbortable,
        ],
        _ => &[],
    }
}

/// Moves things, and stops one node at a time, until dropped. At the end [`heal`] is due.
pub(crate) async fn events(world: &World, seed: u64, mixed: bool) -> std::convert::Infallible {
    let mut dice = XorShift::new(seed ^ 0xbeef);
    let mut down = None;
    loop {
        let pause = 50 + dice.below(1_500) as u64;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let node = 1 + dice.below(3) as i32;
        let id = IDS[dice.below(IDS.len())];
        let partition = dice.below(PARTITIONS) as i32;
        let what = dice.below(10);
        world.broker.with_model(|model| {
            // What is down cannot take over, which is no matter.
            match what {
                0..4 => drop(model.move_transaction_coordinator(id, node)),
                4..7 => drop(model.move_leader("t", partition, node, None)),
                7 if mixed => model.set_transaction_version(2 * (node % 2) as i16),
                _ => restart(model, &mut down, node, dice.below(2) == 0),
            }
        });
    }
}

fn restart(model: &mut ClusterModel, down: &mut Option<i32>, node: i32, kill: bool) {
    let done = match down.take() {
        Some(node) => model.start_node(node),
        None => {
            *down = Some(node);
            if kill {
                model.kill_node(node)
            } else {
                model.stop_node(node)
            }
        }
    };
    done.expect("the node exists");
}

pub(crate) fn heal(world: &World) {
    world.heal();
    world.broker.with_model(|model| {
        for node in 1..=3 {
            model.start_node(node).expect("the node exists");
        }
    });
}
