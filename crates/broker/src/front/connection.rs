//! One connection: frames in, answers out, one request at a time.
//!
//! I1. A frame larger than `socket.request.max.bytes` closes the connection; smaller ones take
//!     memory as their bytes arrive, never as they are declared.
//! I2. A close by the client does not stop the requests received before it: they are carried out,
//!     and their answers are lost.
//! I3. While a request is parked, at most [`READ_AHEAD`] bytes behind it are read.

use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use milena_codec::frame::Frame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::Shared;
use crate::model::{ConnectionId, Outcome};

const READ_AHEAD: usize = 256 * 1024;
/// How much room is made for the next read, at least.
const READ_ROOM: usize = 16 * 1024;
const SIZE_LEN: usize = 4;

/// Serves a connection until either side closes it.
pub(crate) async fn serve<T>(stream: T, shared: Arc<Shared>, node: i32, max_request: usize)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    // A node that is down takes no connections.
    let Some((id, mailbox)) = shared.open(node) else {
        return;
    };
    let mut served = Served {
        open: Open { shared, id },
        stream,
        mailbox,
        input: BytesMut::new(),
        max_request,
        ended: false,
        deaf: false,
    };
    if let Err(error) = served.run().await {
        tracing::debug!(node, connection = id.0, %error, "connection ended");
    }
}

/// Tells the model when the connection's task ends, however it does.
struct Open {
    shared: Arc<Shared>,
    id: ConnectionId,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.close(self.id);
    }
}

struct Served<T> {
    open: Open,
    stream: T,
    mailbox: mpsc::Receiver<Outcome>,
    input: BytesMut,
    max_request: usize,
    /// The client has closed: nothing more comes.
    ended: bool,
    /// The client no longer reads answers.
    deaf: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Served<T> {
    async fn run(&mut self) -> io::Result<()> {
        while let Some(frame) = self.next_frame().await? {
            let outcome = match self.open.shared.handle(self.open.id, frame) {
                Outcome::Parked => self.parked().await?,
                outcome => outcome,
            };
            match outcome {
                Outcome::Answer(frame) => self.write(frame).await,
                Outcome::Silent => {}
                Outcome::Close | Outcome::Parked | Outcome::Busy(_) => break,
            }
        }
        Ok(())
    }

    /// The next frame without its size; `None` when the connection is over.
    async fn next_frame(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            if self.ended {
                return Ok(None);
            }
            self.make_room();
            tokio::select! {
                biased;
                outcome = self.mailbox.recv() => {
                    // Nothing is parked, so this is the cluster closing the connection.
                    tracing::debug!(connection = self.open.id.0, ?outcome, "closed by the cluster");
                    return Ok(None);
                }
                read = self.stream.read_buf(&mut self.input) => self.ended = read? == 0,
            }
        }
    }

    fn take_frame(&mut self) -> io::Result<Option<Bytes>> {
        let Some(size) = self.input.first_chunk::<SIZE_LEN>() else {
            return Ok(None);
        };
        let size = usize::try_from(i32::from_be_bytes(*size)).ok();
        let Some(size) = size.filter(|size| *size <= self.max_request) else {
            return Err(io::Error::other(
                "a frame larger than socket.request.max.bytes",
            )); // I1
        };
        if self.input.len() - SIZE_LEN < size {
            return Ok(None);
        }
        self.input.advance(SIZE_LEN);
        Ok(Some(self.input.split_to(size).freeze()))
    }

    /// Doubles the buffer, so that it holds at most twice what was received. // I1
    fn make_room(&mut self) {
        if self.input.capacity() - self.input.len() < READ_ROOM {
            self.input.reserve(self.input.len().max(READ_ROOM));
        }
    }

    /// Waits for the outcome of a parked request.
    async fn parked(&mut self) -> io::Result<Outcome> {
        loop {
            let shared = self.open.shared.clone();
            let mut sooner = pin!(shared.sooner());
            sooner.as_mut().enable();
            let deadline = shared.deadline(self.open.id);
            let listens = !self.ended && self.input.len() < READ_AHEAD; // I3
            self.make_room();
            tokio::select! {
                biased;
                outcome = self.mailbox.recv() => return Ok(outcome.unwrap_or(Outcome::Close)),
                () = sleep_until(deadline.unwrap_or_else(|| self.open.shared.far()).into()) => {
                    self.open.shared.handle_timeout();
                }
                () = sooner => {}
                read = self.stream.read_buf(&mut self.input), if listens => {
                    self.ended = !matches!(read, Ok(more) if more > 0);
                    if self.ended && !self.open.shared.will_answer(self.open.id) {
                        return Ok(Outcome::Close);
                    }
                }
            }
        }
    }

    async fn write(&mut self, frame: Frame) {
        if !self.deaf
            && let Err(error) = write_frame(&mut self.stream, &frame).await
        {
            tracing::debug!(connection = self.open.id.0, %error, "the client no longer reads");
            self.deaf = true; // I2
        }
    }
}

async fn write_frame<W: AsyncWrite + Unpin>(out: &mut W, frame: &Frame) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = frame
        .segments
        .iter()
        .map(|segment| IoSlice::new(segment))
        .collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let written = out.write_vectored(rest).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    out.flush().await
}
