//! Asking a client to wait (KIP-219).

use std::any::Any;

use milena_codec::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, CreateTopicsResponse, EndTxnResponse,
    FetchResponse, FindCoordinatorResponse, InitProducerIdResponse, ListOffsetsResponse,
    MetadataResponse, ProduceResponse, TxnOffsetCommitResponse,
};

/// Puts the time into an answer that has a place for it and is among those below.
pub(super) fn ask(answer: &mut dyn Any, millis: i32) {
    macro_rules! put {
        ($($response:ty),*) => {
            $(if let Some(answer) = answer.downcast_mut::<$response>() {
                answer.throttle_time_ms = millis;
            })*
        };
    }
    put!(
        AddOffsetsToTxnResponse,
        AddPartitionsToTxnResponse,
        EndTxnResponse,
        TxnOffsetCommitResponse,
        CreateTopicsResponse,
        FetchResponse,
        FindCoordinatorResponse,
        InitProducerIdResponse,
        ListOffsetsResponse,
        MetadataResponse,
        ProduceResponse
    );
}
