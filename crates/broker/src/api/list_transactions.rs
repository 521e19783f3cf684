//! ListTransactions: the transactional ids that a node coordinates (KIP-664, KIP-994, KIP-1152).

use milena_codec::messages::list_transactions_response::TransactionState as Listed;
use milena_codec::messages::{ListTransactionsRequest, ListTransactionsResponse};
use milena_codec::{ErrorCode, Str};

use super::Call;
use crate::model::ClusterModel;
use crate::model::transactions::{Transaction, TransactionState};

pub(super) fn handle(
    model: &mut ClusterModel,
    call: &Call,
    request: &ListTransactionsRequest,
) -> ListTransactionsResponse {
    // Java's regular expressions are not carried out.
    let pattern = request.transactional_id_pattern.as_deref();
    if pattern.is_some_and(|pattern| !is_literal(pattern)) {
        return refuse(ErrorCode::InvalidRegularExpression);
    }
    model.expire_transactional_ids();
    let here = |id: &str| model.transactions.coordinators.of(id).0 == Some(call.node);
    let wanted = |(id, found): &(&Str, &Transaction)| {
        here(id)
            && pattern.is_none_or(|pattern| pattern.is_empty() || pattern == &***id)
            && matches(model, request, found)
    };
    let listed = |(id, found): (&Str, &Transaction)| Listed {
        transactional_id: id.clone(),
        producer_id: found.producer.id,
        transaction_state: Str::from_static(found.state.name()),
        ..Listed::default()
    };
    let filters = request.state_filters.iter();
    let unknown = filters.filter(|filter| state(filter).is_none());
    ListTransactionsResponse {
        unknown_state_filters: unknown.cloned().collect(),
        transaction_states: model
            .transactions
            .iter()
            .filter(wanted)
            .map(listed)
            .collect(),
        ..ListTransactionsResponse::default()
    }
}

pub(super) fn refuse(code: ErrorCode) -> ListTransactionsResponse {
    ListTransactionsResponse {
        error_code: code.code(),
        ..ListTransactionsResponse::default()
    }
}

fn matches(model: &ClusterModel, request: &ListTransactionsRequest, found: &Transaction) -> bool {
    let states = &request.state_filters;
    let ids = &request.producer_id_filters;
    let age = found
        .started
        .map(|at| model.now.saturating_sub(at).as_millis());
    let old = match u128::try_from(request.duration_filter) {
        Ok(least) => age.is_some_and(|age| age > least),
        Err(_) => true,
    };
    (states.is_empty() || states.iter().any(|name| state(name) == Some(found.state)))
        && (ids.is_empty() || ids.contains(&found.producer.id))
        && old
}

fn state(name: &str) -> Option<TransactionState> {
    let mut states = TransactionState::ALL.into_iter();
    states.find(|state| state.name() == name)
}

/// Whether a regular expression matches itself alone.
fn is_literal(pattern: &str) -> bool {
    !pattern.contains([
        '\\', '.', '*', '+', '?', '[', ']', '(', ')', '{', '}', '|', '^', '$',
    ])
}
