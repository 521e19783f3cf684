//! Bytes on their way into a transport.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Segments handed to one write at most.
const BATCH: usize = 64;

/// Segments in order, written many at a time, never copied.
///
/// Bound: the connection adds nothing once [`queued`](Self::queued) has reached its limit.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    segments: VecDeque<Bytes>,
    queued: usize,
    accepted: u64,
    written: u64,
    unflushed: bool,
}

impl Writer {
    /// Adds a frame and returns the position of its end in the stream.
    pub(crate) fn push(&mut self, segments: Vec<Bytes>) -> u64 {
        for segment in segments.into_iter().filter(|s| !s.is_empty()) {
            self.queued += segment.len();
            self.accepted += segment.len() as u64;
            self.segments.push_back(segment);
        }
        self.accepted
    }

    /// The bytes that are waiting.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// The bytes that the transport has taken so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether everything has reached the transport's other side, as far as one can know.
    pub(crate) fn is_idle(&self) -> bool {
        self.segments.is_empty() && !self.unflushed
    }

    /// Writes once, or flushes if there is nothing to write. `Ready(true)` says that something has
    /// been written; `Ready(false)` that there is nothing to do.
    pub(crate) fn poll_write<T: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        mut transport: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        if self.segments.is_empty() {
            if self.unflushed {
                ready!(Pin::new(&mut transport).poll_flush(cx))?;
                self.unflushed = false;
            }
            return Poll::Ready(Ok(false));
        }
        let written = if transport.is_write_vectored() {
            let mut slices = [IoSlice::new(&[]); BATCH];
            let mut used = 0;
            for (slice, segment) in slices.iter_mut().zip(&self.segments) {
                *slice = IoSlice::new(segment);
                used += 1;
            }
            ready!(Pin::new(&mut transport).poll_write_vectored(cx, &slices[..used]))?
        } else {
            let first = self.segments.front().map_or(&[][..], |bytes| &bytes[..]);
            ready!(Pin::new(&mut transport).poll_write(cx, first))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(true))
    }

    fn advance(&mut self, mut written: usize) {
        // A transport that claims more than it was given cannot be believed beyond that.
        written = written.min(self.queued);
        self.unflushed = true;
        self.queued -= written;
        self.written += written as u64;
        while let Some(first) = self.segments.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.segments.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
