use super::*;

fn write(mut raw: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
    out
}

fn varint(bytes: &[u8]) -> Option<i32> {
    Cursor { rest: bytes }.varint()
}

fn varlong(bytes: &[u8]) -> Option<i64> {
    Cursor { rest: bytes }.varlong()
}

#[test]
fn every_width_is_read_back_and_measured() {
    for shift in 0..64 {
        for near in [-1i64, 0, 1] {
            let value = (1i64 << shift).wrapping_add(near);
            for value in [value, value.wrapping_neg()] {
                let bytes = write(zigzag64(value));
                assert_eq!(len(zigzag64(value)), bytes.len(), "{value}");
                assert_eq!(varlong(&bytes), Some(value));
                let short = value as i32;
                let bytes = write(u64::from(zigzag32(short)));
                assert_eq!(varint(&bytes), Some(short));
                assert_eq!(len(u64::from(zigzag32(short))), bytes.len());
            }
        }
    }
}

#[test]
fn known_encodings_match() {
    assert_eq!(varint(&[0]), Some(0));
    assert_eq!(varint(&[1]), Some(-1));
    assert_eq!(varint(&[2]), Some(1));
    assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Some(i32::MIN));
    assert_eq!(varint(&[0xfe, 0xff, 0xff, 0xff, 0x0f]), Some(i32::MAX));
    assert_eq!(
        varint(&[0x80, 0x00]),
        Some(0),
        "longer than needed is legal, as in Kafka"
    );
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
    assert_eq!(varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), None);
    assert_eq!(
        varlong(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
        None
    );
    assert_eq!(
        varlong(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        Some(i64::MIN)
    );
}

#[test]
fn cut_numbers_are_refused() {
    for cut in 0..4 {
        assert_eq!(varint(&[0x80; 4][..cut]), None);
        assert_eq!(varlong(&[0xff; 4][..cut]), None);
    }
}
