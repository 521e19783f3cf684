//! Fetch: the answer's own bytes and, between them, batches out of a file.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::Result;
use bytes::{BufMut as _, BytesMut};
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::protocol::Decodable as _;
use rustix::fs::sendfile;
use rustix::net::SendFlags;
use rustix::net::sockopt::set_tcp_cork;

use crate::answers::{END, begin, set_size};
use crate::batches::{Batches, Set};
use crate::input::{Input, Request, write};
use crate::produce::{put_length, put_text};

/// A batch's base offset, which its checksum does not cover.
const BASE_OFFSET: usize = 8;

/// Batches of one partition, and where in the answer they belong.
struct Part {
    at: usize,
    set: Arc<Set>,
    batches: std::ops::Range<i64>,
}

pub(crate) fn answer(batches: &Batches, input: &mut Input<'_>, request: Request) -> Result<()> {
    let body = input.rest()?;
    let asked = FetchRequest::decode(&mut body.clone(), request.version)?;
    let version = request.version;
    let flexible = version >= 12;
    let (mut parts, mut length) = (Vec::new(), 0);
    let mut answer = begin(request, flexible);
    let (throttle, no_error, no_session) = (0, 0, 0);
    answer.put_i32(throttle);
    if version >= 7 {
        answer.put_i16(no_error);
        answer.put_i32(no_session);
    }
    put_length(&mut answer, asked.topics.len(), flexible);
    let mut room = asked.max_bytes.max(0) as usize;
    for topic in &asked.topics {
        let set = batches.of(&topic.topic)?;
        put_text(&mut answer, topic.topic.as_bytes(), flexible);
        put_length(&mut answer, topic.partitions.len(), flexible);
        for partition in &topic.partitions {
            let limit = room.min(partition.partition_max_bytes.max(0) as usize);
            let at_least_one = length == 0;
            let (range, bytes) = choose(&set, partition.fetch_offset, limit, at_least_one);
            put_partition(&mut answer, version, partition.partition, bytes);
            parts.push(Part {
                at: answer.len(),
                set: Arc::clone(&set),
                batches: range,
            });
            room = room.saturating_sub(bytes);
            length += bytes;
            if flexible {
                answer.put_u8(0);
            }
        }
        if flexible {
            answer.put_u8(0);
        }
    }
    if flexible {
        answer.put_u8(0);
    }
    set_size(&mut answer, length)?;
    Ok(send(input.stream, &answer, &parts)?)
}

/// The batches from an offset on that take no more than `limit` bytes, and what they take.
fn choose(
    set: &Set,
    offset: i64,
    limit: usize,
    at_least_one: bool,
) -> (std::ops::Range<i64>, usize) {
    let first = offset / set.records;
    let (mut next, mut bytes) = (first, 0);
    loop {
        let (_, length) = set.place(next);
        if bytes + length > limit && !(at_least_one && next == first) {
            return (first..next, bytes);
        }
        bytes += length;
        next += 1;
    }
}

fn put_partition(answer: &mut BytesMut, version: i16, index: i32, bytes: usize) {
    let flexible = version >= 12;
    let (no_error, log_start, no_preferred_replica) = (0, 0, -1);
    answer.put_i32(index);
    answer.put_i16(no_error);
    answer.put_i64(END);
    answer.put_i64(END);
    if version >= 5 {
        answer.put_i64(log_start);
    }
    // no aborted transactions
    match flexible {
        true => answer.put_u8(0),
        false => answer.put_i32(-1),
    }
    if version >= 11 {
        answer.put_i32(no_preferred_replica);
    }
    put_length(answer, bytes, flexible);
}

/// Sends the answer with the batches in their places.
fn send(stream: &TcpStream, answer: &[u8], parts: &[Part]) -> io::Result<()> {
    set_tcp_cork(stream, true)?;
    let mut sent = 0;
    for part in parts {
        write(stream, &answer[sent..part.at], SendFlags::MORE)?;
        sent = part.at;
        for number in part.batches.clone() {
            send_batch(stream, &part.set, number)?;
        }
    }
    write(stream, &answer[sent..], SendFlags::empty())?;
    Ok(set_tcp_cork(stream, false)?)
}

fn send_batch(stream: &TcpStream, set: &Set, number: i64) -> io::Result<()> {
    let base_offset = number * set.records;
    write(stream, &base_offset.to_be_bytes(), SendFlags::MORE)?;
    let (at, length) = set.place(number);
    let mut from = (at + BASE_OFFSET) as u64;
    let mut left = length - BASE_OFFSET;
    while left > 0 {
        match sendfile(stream, &set.file, Some(&mut from), left)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            sent => left -= sent,
        }
    }
    Ok(())
}
