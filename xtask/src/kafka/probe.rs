//! Asks a node which brokers are registered, by one Metadata v1 request written by hand.
//!
//! A port accepts connections before its node has registered; a node that lists all brokers and a
//! controller serves clients. Every supported version of Kafka speaks Metadata v1.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(2);
const LARGEST_ANSWER: usize = 64 * 1024;

/// What a node says about its cluster.
#[derive(Debug, PartialEq)]
pub(super) struct View {
    pub(super) brokers: Vec<i32>,
    /// -1 while there is none.
    pub(super) controller: i32,
}

/// The view of the node on `port`; nothing while it does not answer.
pub(super) fn view(port: u16) -> Option<View> {
    let answer = exchange(port).ok()?;
    parse(&answer)
}

/// Whether something accepts connections on `port`.
pub(super) fn accepts(port: u16) -> bool {
    TcpStream::connect_timeout(&address(port), LIMIT).is_ok()
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn exchange(port: u16) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address(port), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(&request())?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let size = usize::try_from(i32::from_be_bytes(size)).unwrap_or(usize::MAX);
    if size > LARGEST_ANSWER {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn request() -> Vec<u8> {
    let client = b"xtask";
    let mut body = Vec::new();
    body.extend(3_i16.to_be_bytes()); // Metadata
    body.extend(1_i16.to_be_bytes());
    body.extend(0_i32.to_be_bytes()); // correlation id
    body.extend((client.len() as i16).to_be_bytes());
    body.extend(client);
    body.extend(0_i32.to_be_bytes()); // no topics
    [&(body.len() as i32).to_be_bytes()[..], &body].concat()
}

fn parse(answer: &[u8]) -> Option<View> {
    let mut rest = Rest(answer);
    let _correlation = rest.int32()?;
    let count = rest.int32()?;
    let mut brokers = Vec::new();
    for _ in 0..count {
        brokers.push(rest.int32()?);
        rest.skip_string()?; // host
        rest.int32()?; // port
        rest.skip_string()?; // rack
    }
    Some(View {
        brokers,
        controller: rest.int32()?,
    })
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(*head)
    }

    fn int32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// A nullable string: -1 stands for null.
    fn skip_string(&mut self) -> Option<()> {
        let length = usize::try_from(i16::from_be_bytes(self.array()?)).unwrap_or(0);
        self.0 = self.0.get(length..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::{View, parse, request};

    fn answer() -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 2];
        bytes.extend([0, 0, 0, 1, 0, 1, b'a', 0, 0, 0x23, 0x84, 0xff, 0xff]);
        bytes.extend([0, 0, 0, 3, 0, 1, b'b', 0, 0, 0x23, 0x85, 0, 1, b'r']);
        bytes.extend([0, 0, 0, 3, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn brokers_with_and_without_a_rack_are_read() {
        let expected = View {
            brokers: vec![1, 3],
            controller: 3,
        };
        assert_eq!(parse(&answer()), Some(expected));
    }

    #[test]
    fn an_answer_cut_before_the_controller_is_no_view() {
        for cut in 0..answer().len() - 4 {
            assert_eq!(parse(&answer()[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn the_request_declares_its_own_length() {
        let request = request();
        assert_eq!(request[..4], (request.len() as i32 - 4).to_be_bytes());
    }
}
