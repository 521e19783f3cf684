//! Frames without their size: the first byte chooses the direction; an answer's key and version
//! follow, since they are not in it.

use bytes::Bytes;
use milena_codec::messages::ResponseHeader;
use milena_codec::{ApiKey, Message, decode, encode, frame};

use crate::allocation;
use crate::dice::Dice;
use crate::messages::TABLE;

/// Request frames and response frames.
pub fn frames(input: &[u8]) {
    let mut dice = Dice::new(input);
    match dice.byte() % 2 {
        0 => request(&Bytes::copy_from_slice(dice.rest())),
        _ => {
            let key = dice.one_of(ApiKey::ALL);
            let version = i16::from(dice.byte()).min(key.versions().max);
            response(&Bytes::copy_from_slice(dice.rest()), key, version);
        }
    }
}

fn request(frame: &Bytes) {
    let (read, peak) = allocation::peak(|| frame::read_request(frame.clone()));
    assert!(peak <= allocation::limit(frame.len()));
    let Ok((header, body)) = read else { return };
    let key = ApiKey::from_code(header.request_api_key);
    let version = header.request_api_version;
    same_header(
        &header,
        key.map_or(1, |key| key.request_header_version(version)),
    );
    assert!(frame.ends_with(&body));
    if let Some(key) = key {
        explore(key, "Request", version, &body);
    }
}

fn response(frame: &Bytes, key: ApiKey, version: i16) {
    let (read, peak) = allocation::peak(|| frame::read_response(frame.clone(), key, version));
    assert!(peak <= allocation::limit(frame.len()));
    let Ok((correlation_id, body)) = read else {
        return;
    };
    assert_eq!(frame[..4], correlation_id.to_be_bytes());
    assert!(frame.ends_with(&body));
    let header = ResponseHeader {
        correlation_id,
        ..ResponseHeader::default()
    };
    same_header(&header, key.response_header_version(version));
    explore(key, "Response", version, &body);
}

fn same_header<H: Message>(header: &H, version: i16) {
    let bytes = encode(header, version).expect("a header that decodes encodes");
    assert_eq!(decode::<H>(bytes, version).as_ref(), Ok(header));
}

fn explore(key: ApiKey, suffix: &str, version: i16, body: &Bytes) {
    let name = format!("{}{suffix}", key.name());
    let entry = TABLE
        .get(name.as_str())
        .expect("every API has both messages");
    entry.explore(body, version);
}
