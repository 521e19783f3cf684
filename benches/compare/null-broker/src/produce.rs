//! Produce: batches are counted, dropped and acknowledged.

use std::collections::HashMap;
use std::io;

use bytes::{BufMut as _, BytesMut};
use rustix::net::SendFlags;

use crate::answers::{begin, set_size};
use crate::input::{Input, Request, invalid, write};

/// A batch's header up to the offset of its last record.
const HEAD: usize = 27;
/// What a batch's length does not count.
const BEFORE_LENGTH: usize = 12;

/// The next offset of each partition, by topic and index.
pub(crate) type Ends = HashMap<(Vec<u8>, i32), i64>;

pub(crate) fn answer(input: &mut Input<'_>, request: Request, ends: &mut Ends) -> io::Result<()> {
    let flexible = request.version >= 9;
    let _transactional_id = input.text(flexible)?;
    let acks = input.i16()?;
    let _timeout = input.i32()?;
    let mut answer = begin(request, flexible);
    let topics = input.length(flexible)?;
    put_length(&mut answer, topics, flexible);
    for _ in 0..topics {
        let name = input.text(flexible)?;
        put_text(&mut answer, &name, flexible);
        let partitions = input.length(flexible)?;
        put_length(&mut answer, partitions, flexible);
        for _ in 0..partitions {
            let index = input.i32()?;
            let length = input.length(flexible)?;
            let end = ends.entry((name.clone(), index)).or_insert(0);
            let base = *end;
            *end += count(input, length)?;
            if flexible {
                input.tags()?;
            }
            put_partition(&mut answer, request.version, index, base);
        }
        if flexible {
            input.tags()?;
            answer.put_u8(0);
        }
    }
    input.skip_rest()?;
    let throttle = 0;
    answer.put_i32(throttle);
    if flexible {
        answer.put_u8(0);
    }
    set_size(&mut answer, 0)?;
    match acks {
        0 => Ok(()),
        _ => write(input.stream, &answer, SendFlags::empty()),
    }
}

/// Drops batches; how many records were in them.
fn count(input: &mut Input<'_>, length: usize) -> io::Result<i64> {
    let (mut left, mut records) = (length, 0);
    while left > 0 {
        let head: [u8; HEAD] = input.take()?;
        let field =
            |at: usize| i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        records += i64::from(field(23)) + 1;
        let whole = BEFORE_LENGTH + field(8).max(0) as usize;
        let body = whole.checked_sub(HEAD);
        input.skip(body.ok_or_else(|| invalid("a batch without a header"))?)?;
        left = left
            .checked_sub(whole)
            .ok_or_else(|| invalid("a batch that is longer than what holds it"))?;
    }
    Ok(records)
}

fn put_partition(answer: &mut BytesMut, version: i16, index: i32, base_offset: i64) {
    let flexible = version >= 9;
    let (no_error, no_append_time, log_start) = (0, -1, 0);
    answer.put_i32(index);
    answer.put_i16(no_error);
    answer.put_i64(base_offset);
    answer.put_i64(no_append_time);
    if version >= 5 {
        answer.put_i64(log_start);
    }
    if version >= 8 {
        let record_errors = 0;
        put_length(answer, record_errors, flexible);
        // and no message
        match flexible {
            true => answer.put_u8(0),
            false => answer.put_i16(-1),
        }
    }
    if flexible {
        answer.put_u8(0);
    }
}

pub(crate) fn put_length(answer: &mut BytesMut, length: usize, flexible: bool) {
    match flexible {
        true => put_unsigned_varint(answer, length + 1),
        false => answer.put_i32(length as i32),
    }
}

pub(crate) fn put_text(answer: &mut BytesMut, text: &[u8], flexible: bool) {
    match flexible {
        true => put_unsigned_varint(answer, text.len() + 1),
        false => answer.put_i16(text.len() as i16),
    }
    answer.put_slice(text);
}

fn put_unsigned_varint(answer: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        answer.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    answer.put_u8(value as u8);
}
