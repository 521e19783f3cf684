use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::{BATCH, Writer};

/// Takes at most `at_once` bytes a write and counts the writes.
struct Narrow {
    at_once: usize,
    vectored: bool,
    taken: Vec<u8>,
    writes: usize,
    flushes: usize,
}

impl Narrow {
    fn new(at_once: usize, vectored: bool) -> Self {
        Self {
            at_once,
            vectored,
            taken: Vec::new(),
            writes: 0,
            flushes: 0,
        }
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.at_once);
        self.taken.extend_from_slice(&bytes[..taken]);
        self.writes += 1;
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let before = self.taken.len();
        for slice in slices {
            let room = self.at_once - (self.taken.len() - before);
            let taken = slice.len().min(room);
            self.taken.extend_from_slice(&slice[..taken]);
        }
        self.writes += 1;
        Poll::Ready(Ok(self.taken.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn write_all(writer: &mut Writer, transport: &mut Narrow) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(result) = writer.poll_write(transport, &mut cx) {
        if !result.unwrap() {
            return;
        }
    }
}

fn segments() -> (Vec<Bytes>, Vec<u8>) {
    let sizes = [1, 0, 7, 300, 1, 1, 64, 0];
    let segments: Vec<_> = (1_u8..)
        .zip(sizes)
        .map(|(n, size)| Bytes::from(vec![n; size]))
        .collect();
    let whole = segments.concat();
    (segments, whole)
}

#[test]
fn segments_arrive_in_order_however_few_bytes_a_write_takes() {
    for at_once in [1, 2, 8, 100, 10_000] {
        for vectored in [true, false] {
            let (segments, whole) = segments();
            let mut transport = Narrow::new(at_once, vectored);
            let mut writer = Writer::default();
            assert_eq!(writer.push(segments), whole.len() as u64);
            write_all(&mut writer, &mut transport);
            assert_eq!(transport.taken, whole);
            assert_eq!(writer.written(), whole.len() as u64);
            assert_eq!(writer.queued(), 0);
            assert!(writer.is_idle());
            assert_eq!(transport.flushes, 1);
        }
    }
}

#[test]
fn a_vectored_transport_gets_many_segments_in_one_write() {
    let mut transport = Narrow::new(usize::MAX / 2, true);
    let mut writer = Writer::default();
    for _ in 0..BATCH {
        writer.push(vec![Bytes::from_static(b"segment")]);
    }
    write_all(&mut writer, &mut transport);
    assert_eq!(transport.writes, 1);
}

#[test]
fn a_transport_that_takes_nothing_is_an_error_and_not_a_loop() {
    let mut transport = Narrow::new(0, true);
    let mut writer = Writer::default();
    writer.push(vec![Bytes::from_static(b"x")]);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Err(error)) = writer.poll_write(&mut transport, &mut cx) else {
        panic!("the write should fail");
    };
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}
