//! The reading half of an open connection: answers, and records that come before their answer is
//! whole, to whom they belong.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use milena_proto::wire::{Answer, Room, WireError};
use tokio::io::AsyncReadExt;

use super::{End, Running, broken, lost};
use crate::{BoxedTransport, LostCause, Outcome};

impl Running<'_> {
    /// Reads once and hands out the answers. True if something came.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, End> {
        self.expect();
        let read = match poll_read(&mut self.transport, self.reader.room(), cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0)) if self.is_unused() && !self.reader.is_mid_frame() => {
                return Err(End::PeerIdle);
            }
            Poll::Ready(Ok(0)) => return Err(End::Lost(LostCause::PeerClosed)),
            Poll::Ready(Ok(read)) => read,
            Poll::Ready(Err(error)) => return Err(lost(&error)),
        };
        while let Some(frame) = self.next_frame()? {
            self.check_sent()?;
            let answer = self.pipeline.handle_frame(frame, now).map_err(broken)?;
            self.deliver(answer);
            self.expect();
        }
        Ok(read > 0)
    }

    /// Tells the reader how to receive the next answer, while nothing of it was read.
    fn expect(&mut self) {
        if let Some(oldest) = self.routes.front_mut()
            && let Some(blocks) = oldest.blocks.take()
        {
            self.reader.expect(blocks, oldest.request.correlation_id);
        }
    }

    /// Reads on, handing over the records that come before their frame is whole.
    fn next_frame(&mut self) -> Result<Option<Bytes>, End> {
        let frame = self.reader.poll_frame().map_err(broken)?;
        while let Some(part) = self.reader.poll_part() {
            self.check_sent()?;
            if let Some(oldest) = self.routes.front().filter(|oldest| !oldest.abandoned) {
                self.outbox(&oldest.owner).part(oldest.owner.token, part);
            }
        }
        Ok(frame)
    }

    /// Nothing is answered before it was sent.
    fn check_sent(&self) -> Result<(), End> {
        let written = self.writer.written();
        match self.routes.front() {
            Some(oldest) if oldest.end > written => Err(broken(WireError::Unexpected)),
            _ => Ok(()),
        }
    }

    fn deliver(&mut self, answer: Answer) {
        self.answered = true;
        let route = self.routes.pop_front();
        if let Some(route) = route.filter(|_| !answer.abandoned) {
            self.tell(&route.owner, Outcome::Answer(answer.body));
        }
    }
}

/// Reads into `room`.
fn poll_read(
    transport: &mut BoxedTransport,
    room: Room<'_>,
    cx: &mut Context<'_>,
) -> Poll<std::io::Result<usize>> {
    // `read_buf` keeps nothing between polls, so a new one each time loses nothing.
    match room {
        Room::Buffer(mut room) => pin!(transport.read_buf(&mut room)).poll(cx),
        Room::Block(mut room) => pin!(transport.read_buf(&mut room)).poll(cx),
    }
}
