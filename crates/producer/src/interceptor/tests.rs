use super::*;

fn changes(key: Option<Option<&str>>, header: &str) -> Changes {
    Changes {
        key: key.map(|key| key.map(|key| key.as_bytes().to_vec())),
        headers: vec![(header.to_owned(), None)],
        ..Changes::default()
    }
}

#[test]
fn later_changes_win_and_headers_add_up_behind_the_records_own() {
    let record = Record::to("t").key("k").value("v").header("a", "1");
    let mut all = changes(Some(Some("one")), "b");
    all.merge(changes(None, "c"));
    all.merge(changes(Some(None), "d"));
    let changed = all.apply(&record);
    assert_eq!(changed.key_bytes(), None);
    assert_eq!(changed.value_bytes(), Some(&b"v"[..]));
    let names: Vec<_> = changed.headers().iter().map(|it| it.name).collect();
    assert_eq!(names, [&b"a"[..], b"b", b"c", b"d"]);
}

#[test]
fn an_interceptor_sees_what_those_before_have_made_of_the_record() {
    let record = Record::to("t").key("k").header("a", "1").partition(3);
    let mut before = changes(Some(Some("one")), "b");
    before.partition = Some(None);
    let mut outgoing = OutgoingRecord {
        record: &record,
        before: &before,
        changes: Changes::default(),
    };
    assert_eq!((outgoing.topic(), outgoing.partition()), ("t", None));
    assert_eq!(
        (outgoing.key(), outgoing.value()),
        (Some(&b"one"[..]), None)
    );
    outgoing.set_key(None);
    outgoing.set_value(Some(b"v".to_vec()));
    outgoing.set_partition(Some(1));
    outgoing.add_header("c", Some(b"2".to_vec()));
    assert_eq!((outgoing.key(), outgoing.value()), (None, Some(&b"v"[..])));
    assert_eq!(outgoing.partition(), Some(1));
    let values: Vec<_> = outgoing.headers().map(|it| it.value).collect();
    assert_eq!(values, [Some(&b"1"[..]), None, Some(b"2")]);
}
