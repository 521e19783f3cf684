use bytes::Bytes;
use milena_codec::frame;
use milena_codec::messages::HeartbeatRequest;

use super::stamp;

#[test]
fn the_correlation_id_is_put_where_the_header_has_it() {
    let request = HeartbeatRequest::default();
    for version in 0..=4 {
        let frame = frame::request(&request, version, 0, Some("client".into())).unwrap();
        let stamped = stamp(frame.segments, 0x0102_0304).concat();
        let expected = frame::request(&request, version, 0x0102_0304, Some("client".into()));
        assert_eq!(stamped, expected.unwrap().into_bytes());
    }
}

#[test]
fn a_shared_head_is_copied_and_not_written_through() {
    let head = Bytes::from(vec![0; 16]);
    let stamped = stamp(vec![head.clone(), Bytes::from_static(b"tail")], -1);
    assert_eq!(head, vec![0; 16]);
    assert_eq!(stamped[0][8..12], [0xff; 4]);
    assert_eq!(stamped[1], b"tail"[..]);
}
