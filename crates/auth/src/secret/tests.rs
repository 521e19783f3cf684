use super::Secret;

#[test]
fn debug_shows_stars_whatever_the_content() {
    assert_eq!(format!("{:?}", Secret::from("pencil")), "***");
    assert_eq!(format!("{:#?}", Secret::default()), "***");
}

#[test]
fn secrets_compare_by_content() {
    assert_eq!(Secret::from("pencil"), Secret::from(b"pencil".to_vec()));
    assert_ne!(Secret::from("pencil"), Secret::from("pencik"));
    assert_ne!(Secret::from("pencil"), Secret::from("pencil "));
}

#[test]
fn the_bytes_come_out_as_they_went_in() {
    assert_eq!(Secret::from(String::from("é")).expose(), "é".as_bytes());
    assert_eq!(Secret::concat(&[b"a", b"", b"bc"]).expose(), b"abc");
}
