//! Which broker coordinates a group or a transactional id.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Instant;

use milena_codec::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use milena_codec::{ApiKey, ErrorCode, Str, VersionRange};
use milena_net::{Address, BoxFuture, Lane};

use crate::shared::lock;
use crate::{CallError, Cluster, Target, Verdict};

/// What is coordinated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CoordinatorKind {
    /// A consumer group.
    Group,
    /// A transactional id.
    Transaction,
    /// The state of a share group's partition.
    Share,
}

impl CoordinatorKind {
    const fn key_type(self) -> i8 {
        match self {
            Self::Group => 0,
            Self::Transaction => 1,
            Self::Share => 2,
        }
    }

    /// The versions that know this kind.
    const fn versions(self) -> VersionRange {
        let max = ApiKey::FindCoordinator.stable_versions().max;
        match self {
            Self::Group => VersionRange::new(0, max),
            Self::Transaction => VersionRange::new(1, max),
            Self::Share => VersionRange::new(6, max),
        }
    }
}

impl fmt::Display for CoordinatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "group",
            Self::Transaction => "transactional id",
            Self::Share => "share partition",
        })
    }
}

/// The coordinators found so far, until one proves wrong.
#[derive(Debug, Default)]
pub(crate) struct Coordinators(Mutex<BTreeMap<(CoordinatorKind, Str), Address>>);

impl Coordinators {
    pub(crate) fn known(&self, kind: CoordinatorKind, key: &Str) -> Option<Address> {
        lock(&self.0).get(&(kind, key.clone())).cloned()
    }

    /// Forgets the coordinator, if it is still the one that failed.
    pub(crate) fn invalidate(&self, kind: CoordinatorKind, key: &Str, failed: &Address) {
        let mut known = lock(&self.0);
        let entry = (kind, key.clone());
        if known.get(&entry) == Some(failed) {
            known.remove(&entry);
        }
    }

    /// Forgets all of them: they may belong to another cluster.
    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }

    fn insert(&self, kind: CoordinatorKind, key: Str, address: Address) {
        lock(&self.0).insert((kind, key), address);
    }
}

impl Cluster {
    /// Asks the brokers, until one knows. Boxed because calls find coordinators by calls.
    pub(crate) fn find_coordinator(
        &self,
        kind: CoordinatorKind,
        key: Str,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Address, CallError>> {
        Box::pin(async move {
            let prepare = |version| request(kind, &key, version);
            let reply = self
                .call_within(
                    Target::Any,
                    Lane::Main,
                    kind.versions(),
                    prepare,
                    |answer| judge(&found(answer, &key)),
                    deadline,
                )
                .await?;
            let found = found(&reply.message, &key);
            if !found.code.is_ok() {
                return Err(CallError::NoCoordinator {
                    kind,
                    key,
                    code: found.code,
                    message: found.message,
                });
            }
            let address = found.address.ok_or_else(|| CallError::NoCoordinator {
                kind,
                key: key.clone(),
                code: ErrorCode::CoordinatorNotAvailable,
                message: None,
            })?;
            self.shared.coordinators.insert(kind, key, address.clone());
            Ok(address)
        })
    }
}

fn request(kind: CoordinatorKind, key: &Str, version: i16) -> FindCoordinatorRequest {
    let base = FindCoordinatorRequest {
        key_type: kind.key_type(),
        ..FindCoordinatorRequest::default()
    };
    if version >= 4 {
        FindCoordinatorRequest {
            coordinator_keys: vec![key.clone()],
            ..base
        }
    } else {
        FindCoordinatorRequest {
            key: key.clone(),
            ..base
        }
    }
}

/// One coordinator out of an answer in any version.
struct Found {
    code: ErrorCode,
    message: Option<Str>,
    address: Option<Address>,
}

fn found(answer: &FindCoordinatorResponse, key: &Str) -> Found {
    let batched = answer.coordinators.iter().find(|c| c.key == *key);
    let (code, message, host, port) = match batched {
        Some(c) => (c.error_code, &c.error_message, &c.host, c.port),
        None => (
            answer.error_code,
            &answer.error_message,
            &answer.host,
            answer.port,
        ),
    };
    let port = u16::try_from(port).ok().filter(|port| *port != 0);
    Found {
        code: code.into(),
        message: message.clone(),
        address: port
            .filter(|_| !host.is_empty())
            .map(|port| Address::new(host.clone(), port)),
    }
}

fn judge(found: &Found) -> Verdict {
    if found.code.is_retriable() {
        return Verdict::Retry(found.code);
    }
    if found.code.is_ok() && found.address.is_none() {
        return Verdict::Retry(ErrorCode::CoordinatorNotAvailable);
    }
    Verdict::Done
}
