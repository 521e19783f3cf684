//! From an address to a connection that is ready for requests.

use std::future::poll_fn;
use std::io;
use std::time::Instant;

use milena_auth::Nonce;
use milena_codec::Bytes;
use milena_proto::wire::{
    Action, ClientIdentity, Exchange, FrameReader, Opened, Opening, OpeningError, OpeningStage,
    Stepped, WireError,
};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tracing::debug;

use crate::lane::LaneShared;
use crate::pool::PoolShared;
use crate::write::Writer;
use crate::{BoxedTransport, ConnectError, Environment, Stage};

/// A connection that is ready for requests.
pub(crate) struct Ready {
    pub(crate) transport: BoxedTransport,
    pub(crate) reader: FrameReader,
    pub(crate) opened: Opened,
}

/// One attempt, which ends by `deadline`.
pub(crate) async fn open(
    lane: &LaneShared,
    pool: &PoolShared,
    deadline: Instant,
) -> Result<Ready, ConnectError> {
    let started = pool.env.now();
    lane.at(Some(Stage::Connect));
    match tokio::time::timeout_at(deadline.into(), attempt(lane, pool, deadline)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::TimedOut {
            stage: lane.link().stage.unwrap_or(Stage::Connect),
            after: pool.env.now().saturating_duration_since(started),
        }),
    }
}

async fn attempt(
    lane: &LaneShared,
    pool: &PoolShared,
    deadline: Instant,
) -> Result<Ready, ConnectError> {
    let map = &pool.config.address_map;
    let target = map.target(&lane.address);
    if target != lane.address {
        debug!(event = "address_mapped", %target);
    }
    let transport = pool.env.connector.connect(&target, deadline).await;
    let mut transport = transport.map_err(|e| ConnectError::from_io(Stage::Connect, &e))?;
    if let Some(tls) = &pool.config.tls {
        lane.at(Some(Stage::Tls));
        let name = map
            .way(&lane.address)
            .and_then(|way| way.server_name.as_ref());
        let secured = tls.handshake(&lane.address, name, transport).await;
        transport = secured.map_err(|e| ConnectError::from_io(Stage::Tls, &e))?;
    }
    let mut talk = Talk {
        transport,
        reader: FrameReader::new(pool.config.max_response_bytes),
    };
    let opened = talk.negotiate(lane, pool).await?;
    Ok(Ready {
        transport: talk.transport,
        reader: talk.reader,
        opened,
    })
}

/// One request at a time.
struct Talk {
    transport: BoxedTransport,
    reader: FrameReader,
}

impl Talk {
    async fn negotiate(
        &mut self,
        lane: &LaneShared,
        pool: &PoolShared,
    ) -> Result<Opened, ConnectError> {
        let mut opening = opening(pool);
        let mut action = opening.start()?;
        loop {
            let stage = opening.stage();
            lane.at(Some(stage.into()));
            action = match action {
                Action::Send(frame) => {
                    let written = self.write(frame.segments).await;
                    let read = self.read(stage).await;
                    // What the peer said before it closed explains more than that it has closed.
                    let answer = match (written, read) {
                        (
                            Err(error),
                            Err(ConnectError::Closed { .. } | ConnectError::Io { .. }),
                        ) => {
                            return Err(ConnectError::from_io(stage.into(), &error));
                        }
                        (_, read) => read?,
                    };
                    opening.handle_frame(answer)?
                }
                Action::Step(exchange) => {
                    opening.handle_stepped(step(&pool.env, exchange, stage).await?)?
                }
                Action::Done(opened) => return Ok(opened),
            };
        }
    }

    async fn write(&mut self, segments: Vec<Bytes>) -> io::Result<()> {
        let mut writer = Writer::default();
        writer.push(segments);
        while poll_fn(|cx| writer.poll_write(&mut self.transport, cx)).await? {}
        Ok(())
    }

    async fn read(&mut self, stage: OpeningStage) -> Result<Bytes, ConnectError> {
        let wire = |error: WireError| OpeningError::Wire { stage, error };
        loop {
            if let Some(frame) = self.reader.poll_frame().map_err(wire)? {
                return Ok(frame);
            }
            let read = self.transport.read_buf(self.reader.buffer()).await;
            match read {
                Ok(0) => {
                    return Err(ConnectError::Closed {
                        stage: stage.into(),
                    });
                }
                Ok(_) => {}
                Err(error) => return Err(ConnectError::from_io(stage.into(), &error)),
            }
        }
    }
}

fn opening(pool: &PoolShared) -> Opening {
    let config = &pool.config;
    let identity = ClientIdentity {
        client_id: config.client_id.clone(),
        software_name: config.client_software_name.clone(),
        software_version: config.client_software_version.clone(),
    };
    let credentials = config.credentials.as_deref().map(|credentials| {
        let mut random = [0; 24];
        pool.env.random.fill(&mut random);
        (credentials, Nonce::from_random(random))
    });
    Opening::new(identity, credentials)
}

/// Takes a step of the login, beside this task if it takes milliseconds.
async fn step(
    env: &Environment,
    exchange: Exchange,
    stage: OpeningStage,
) -> Result<Stepped, ConnectError> {
    if !exchange.is_heavy() {
        return Ok(exchange.run());
    }
    let (done, stepped) = oneshot::channel();
    env.offload.run(Box::new(move || {
        // The opening may have been given up meanwhile.
        drop(done.send(exchange.run()));
    }));
    stepped.await.map_err(|_| ConnectError::Protocol {
        stage: stage.into(),
        reason: "the offloaded step of the login was dropped".to_owned(),
    })
}
