//! How a request comes in: its header, its record, the verdict over it, and its execution.

use std::time::Duration;

use milena_codec::messages::RequestHeader;
use milena_codec::{ApiKey, Bytes, ErrorCode, frame};

use super::fault::{RequestInfo, Verdict};
use super::parked::{Parked, Waiting};
use super::{ClusterModel, ConnectionId, Outcome};
use crate::api::{self, Call, Reply};

/// What was done with a request when it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// The verdict of the fault plan, [`Verdict::Pass`] without one.
    Judged(Verdict),
    /// The connection was closed, as for any unknown API or version.
    Refused,
}

/// A request that was received.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestRecord {
    /// The request's header and where it came from.
    pub request: RequestInfo,
    /// What was done with it.
    pub fate: Fate,
}

/// A request that waits to be carried out.
#[derive(Debug)]
pub(crate) struct Received {
    call: Call,
    body: Bytes,
}

impl ClusterModel {
    pub(super) fn receive(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        node: i32,
        frame: Bytes,
    ) -> Outcome {
        let Ok((header, body)) = frame::read_request(frame) else {
            return Outcome::Close;
        };
        let Some(api) = ApiKey::from_code(header.request_api_key) else {
            tracing::debug!(key = header.request_api_key, "closing: unknown api key");
            return Outcome::Close;
        };
        let request = info(now, connection, node, api, header);
        let known = self
            .settings
            .version
            .range(api)
            .is_some_and(|r| r.contains(request.version));
        // A client that asks for versions in a newer form than ours must be told so (KIP-511).
        if !known && api != ApiKey::ApiVersions {
            tracing::debug!(
                api = api.name(),
                request.version,
                "closing: unsupported version"
            );
            self.note(request, Fate::Refused);
            return Outcome::Close;
        }
        let verdict = self.faults.judge(&request);
        let received = Received {
            call: Call::new(&request),
            body,
        };
        self.note(request, Fate::Judged(verdict));
        self.carry_out(now, received, verdict)
    }

    /// Carries out a request that was delayed.
    pub(super) fn resume(&mut self, now: Duration, mut received: Received) -> Outcome {
        received.call.now = now;
        self.carry_out(now, received, Verdict::Pass)
    }

    fn carry_out(&mut self, now: Duration, mut received: Received, verdict: Verdict) -> Outcome {
        let connection = received.call.connection;
        match verdict {
            Verdict::Pass => {}
            Verdict::Delay(time) => {
                let deadline = Some(now.saturating_add(time));
                return self.park(
                    connection,
                    Waiting {
                        parked: Parked::Request(received),
                        deadline,
                    },
                );
            }
            Verdict::Error(code) => {
                if let Some(reply) = api::refused(&received.call, &received.body, code) {
                    return self.conclude(connection, reply);
                }
            }
            Verdict::ApplyThenError(code) => received.call.answer_with = Some(code),
            Verdict::Throttle(time) => {
                let millis = i32::try_from(time.as_millis());
                received.call.throttle_ms = millis.unwrap_or(i32::MAX);
            }
            Verdict::Disconnect => return Outcome::Close,
            Verdict::Silence => {
                return self.park(
                    connection,
                    Waiting {
                        parked: Parked::Never,
                        deadline: None,
                    },
                );
            }
            Verdict::ApplyThenDisconnect => {
                api::execute(self, &received.call, received.body);
                return Outcome::Close;
            }
        }
        let reply = api::execute(self, &received.call, received.body);
        self.conclude(connection, reply)
    }

    fn conclude(&mut self, connection: ConnectionId, reply: Reply) -> Outcome {
        match reply {
            Reply::Answer(frame) => Outcome::Answer(frame),
            Reply::Silent => Outcome::Silent,
            Reply::Close => Outcome::Close,
            Reply::Park(waiting) => self.park(connection, *waiting),
        }
    }

    fn park(&mut self, connection: ConnectionId, waiting: Waiting) -> Outcome {
        self.put_back(connection, waiting);
        Outcome::Parked
    }

    fn note(&mut self, request: RequestInfo, fate: Fate) {
        if self.requests.len() >= self.settings.request_log {
            self.requests.pop_front();
        }
        if self.settings.request_log > 0 {
            self.requests.push_back(RequestRecord { request, fate });
        }
    }
}

fn info(
    at: Duration,
    connection: ConnectionId,
    node: i32,
    api: ApiKey,
    header: RequestHeader,
) -> RequestInfo {
    RequestInfo {
        at,
        node,
        connection,
        api,
        version: header.request_api_version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
    }
}

impl Call {
    fn new(request: &RequestInfo) -> Self {
        Self {
            now: request.at,
            node: request.node,
            connection: request.connection,
            api: request.api,
            version: request.version,
            correlation_id: request.correlation_id,
            answer_with: None::<ErrorCode>,
            throttle_ms: 0,
        }
    }
}
