use super::{CHUNK, FIRST, FrameReader};
use crate::wire::{Foreign, WireError};

fn receive(reader: &mut FrameReader, mut bytes: &[u8], at_most: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let buffer = reader.buffer();
        let room = (buffer.capacity() - buffer.len())
            .min(at_most)
            .min(bytes.len());
        buffer.extend_from_slice(&bytes[..room]);
        bytes = &bytes[room..];
        while let Some(frame) = reader.poll_frame().unwrap() {
            frames.push(frame.to_vec());
        }
    }
    frames
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn frames_come_out_whole_however_they_arrive() {
    let bodies = [vec![1; 4], vec![2; 5_000], vec![3; 300_000], vec![4; 17]];
    let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
    for at_most in [1, 3, 4_096, usize::MAX] {
        let mut reader = FrameReader::new(1_000_000);
        assert_eq!(receive(&mut reader, &stream, at_most), bodies);
        assert!(!reader.is_mid_frame());
    }
}

#[test]
fn a_declared_size_alone_makes_the_buffer_no_larger_than_a_chunk() {
    let mut reader = FrameReader::new(usize::MAX);
    receive(&mut reader, &framed(&[0; 8]), 100);
    receive(&mut reader, &i32::MAX.to_be_bytes(), 4);
    assert!(reader.buffer().capacity() <= CHUNK + FIRST);
    let mut received = 4;
    for _ in 0..64 {
        receive(&mut reader, &vec![0; 10_000], usize::MAX);
        received += 10_000;
        let capacity = reader.buffer().capacity();
        assert!(
            capacity <= 4 * received + 2 * CHUNK,
            "{capacity} after {received}"
        );
    }
}

fn first_error(bytes: &[u8]) -> WireError {
    let mut reader = FrameReader::new(100_000_000);
    reader.buffer().extend_from_slice(bytes);
    reader.poll_frame().unwrap_err()
}

#[test]
fn a_first_frame_of_another_protocol_is_recognized() {
    let http = first_error(b"HTTP/1.1 400 Bad Request\r\n");
    assert!(matches!(&http, WireError::NotKafka(Foreign::Http(first)) if first.contains("400")));
    let alert = first_error(&[0x15, 3, 3, 0, 2, 2, 0x50]);
    assert_eq!(alert, WireError::NotKafka(Foreign::Tls));
    let ssh = first_error(b"SSH-2.0-OpenSSH_9.2\r\n").to_string();
    assert!(ssh.contains("SSH-2.0-OpenSSH"), "{ssh}");
    for size in [-1, i32::MIN, 0, 3, i32::MAX] {
        let error = first_error(&size.to_be_bytes());
        assert!(
            matches!(error, WireError::NotKafka(Foreign::Unknown(_))),
            "{size}"
        );
    }
}

#[test]
fn a_later_frame_with_an_impossible_size_is_refused_with_the_limit() {
    for size in [-1, 3, 1_001] {
        let mut reader = FrameReader::new(1_000);
        receive(&mut reader, &framed(&[0; 4]), 100);
        reader.buffer().extend_from_slice(&i32::to_be_bytes(size));
        let error = reader.poll_frame().unwrap_err();
        assert_eq!(error, WireError::Size { size, max: 1_000 });
    }
}
