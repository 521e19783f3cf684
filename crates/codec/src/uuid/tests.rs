use super::Uuid;

#[test]
fn an_id_prints_and_parses_as_kafka_does() {
    let id = Uuid([
        0x30, 0x31, 0x32, 0x33, 0, 0xff, 7, 8, 9, 10, 11, 12, 13, 14, 0xfe, 0xff,
    ]);
    let text = id.to_string();
    assert_eq!(text.len(), 22);
    assert_eq!(text.parse(), Ok(id));
    assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(
        "AAAAAAAAAAAAAAAAAAAAAQ".parse(),
        Ok(Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]))
    );
}

#[test]
fn a_text_that_is_no_id_is_refused() {
    for text in [
        "",
        "A",
        "AAAAAAAAAAAAAAAAAAAAAB",
        "AAAAAAAAAAAAAAAAAAAAA+",
        "AAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert!(text.parse::<Uuid>().is_err(), "{text}");
    }
}
