//! What comes in on a connection.

use std::io;
use std::net::TcpStream;

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use rustix::net::{RecvFlags, SendFlags, recv, send};

const BUFFER: usize = 4096;
/// At most so much is dropped by one call.
const DROP: usize = 1 << 20;

/// A connection, and what of it has been read and not yet looked at.
pub(crate) struct Input<'a> {
    pub(crate) stream: &'a TcpStream,
    buffer: Box<[u8; BUFFER]>,
    start: usize,
    end: usize,
    /// Bytes of the request that have not been looked at.
    left: usize,
    dropped: Box<[u8]>,
}

/// A request's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
}

impl<'a> Input<'a> {
    pub(crate) fn new(stream: &'a TcpStream) -> Self {
        Self {
            stream,
            buffer: Box::new([0; BUFFER]),
            start: 0,
            end: 0,
            left: 0,
            dropped: vec![0; DROP].into_boxed_slice(),
        }
    }

    /// The header of the next request.
    pub(crate) fn request(&mut self) -> io::Result<Request> {
        self.left = size_of::<i32>();
        self.left = length(self.i32()?)?;
        let (api, version, correlation) = (self.i16()?, self.i16()?, self.i32()?);
        let api = ApiKey::try_from(api).map_err(|()| invalid("an unknown API"))?;
        let client_id = self.i16()?;
        self.skip(client_id.max(0) as usize)?;
        if api.request_header_version(version) >= 2 {
            self.tags()?;
        }
        Ok(Request {
            api,
            version,
            correlation,
        })
    }

    pub(crate) fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.fill(N)?;
        let mut taken = [0; N];
        taken.copy_from_slice(&self.buffer[self.start..self.start + N]);
        self.start += N;
        self.left = self.left.checked_sub(N).ok_or_else(too_short)?;
        Ok(taken)
    }

    pub(crate) fn i16(&mut self) -> io::Result<i16> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    pub(crate) fn i32(&mut self) -> io::Result<i32> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    pub(crate) fn unsigned_varint(&mut self) -> io::Result<usize> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(invalid("a number without an end"))
    }

    /// A length: of an array, of bytes, or of text that is not null.
    pub(crate) fn length(&mut self, flexible: bool) -> io::Result<usize> {
        match flexible {
            true => Ok(self.unsigned_varint()?.saturating_sub(1)),
            false => Ok(self.i32()?.max(0) as usize),
        }
    }

    pub(crate) fn text(&mut self, flexible: bool) -> io::Result<Vec<u8>> {
        let length = match flexible {
            true => self.unsigned_varint()?.saturating_sub(1),
            false => self.i16()?.max(0) as usize,
        };
        (0..length).map(|_| Ok(self.take::<1>()?[0])).collect()
    }

    pub(crate) fn tags(&mut self) -> io::Result<()> {
        for _ in 0..self.unsigned_varint()? {
            self.unsigned_varint()?;
            let length = self.unsigned_varint()?;
            self.skip(length)?;
        }
        Ok(())
    }

    /// Drops bytes. What has not been read yet never leaves the kernel.
    pub(crate) fn skip(&mut self, count: usize) -> io::Result<()> {
        self.left = self.left.checked_sub(count).ok_or_else(too_short)?;
        let here = count.min(self.end - self.start);
        self.start += here;
        let mut count = count - here;
        while count > 0 {
            let room = count.min(DROP);
            let flags = RecvFlags::TRUNC | RecvFlags::WAITALL;
            count -= read(self.stream, &mut self.dropped[..room], flags)?;
        }
        Ok(())
    }

    pub(crate) fn skip_rest(&mut self) -> io::Result<()> {
        self.skip(self.left)
    }

    /// All that is left of the request.
    pub(crate) fn rest(&mut self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.left];
        let mut at = bytes.len().min(self.end - self.start);
        bytes[..at].copy_from_slice(&self.buffer[self.start..self.start + at]);
        self.start += at;
        while at < bytes.len() {
            at += read(self.stream, &mut bytes[at..], RecvFlags::empty())?;
        }
        self.left = 0;
        Ok(bytes.into())
    }

    fn fill(&mut self, count: usize) -> io::Result<()> {
        if self.end - self.start >= count {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < count {
            let room = &mut self.buffer[self.end..];
            self.end += read(self.stream, room, RecvFlags::empty())?;
        }
        Ok(())
    }
}

fn read(stream: &TcpStream, into: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    match recv(stream, into, flags)? {
        (_, 0) => Err(io::ErrorKind::UnexpectedEof.into()),
        (_, count) => Ok(count),
    }
}

/// Sends all of it.
pub(crate) fn write(stream: &TcpStream, mut bytes: &[u8], flags: SendFlags) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = send(stream, bytes, flags | SendFlags::NOSIGNAL)?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

pub(crate) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn too_short() -> io::Error {
    invalid("a request that is shorter than what is in it")
}

fn length(value: i32) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| invalid("a negative size"))
}
