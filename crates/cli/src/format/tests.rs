use milena::Headers;

use super::{Format, Line};

fn printed(format: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    let record = Line {
        topic: "orders",
        partition: 3,
        offset: 7,
        timestamp: 1_700_000_000_000,
        key,
        value,
        headers: Headers::default(),
    };
    let mut out = Vec::new();
    format
        .parse::<Format>()
        .unwrap()
        .write(&mut out, &record)
        .unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn raw_is_the_value_and_a_newline() {
    assert_eq!(printed("raw", Some(b"k"), Some(b"v")), "v\n");
    assert_eq!(printed("raw", None, None), "\n");
}

#[test]
fn a_template_prints_its_fields_and_escapes() {
    assert_eq!(
        printed(
            "%t/%p@%o %T [%K:%k] %V:%s 100%%\\x21\\n",
            Some(b"k"),
            Some(b"vv")
        ),
        "orders/3@7 1700000000000 [1:k] 2:vv 100%!\n"
    );
    assert_eq!(printed("%K %V", None, None), "-1 -1");
}

#[test]
fn json_keeps_nulls_and_encodes_what_is_not_text() {
    let text = printed("json", None, Some(&[0xff]));
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(object["key"], serde_json::Value::Null);
    assert_eq!(object["value_base64"], "/w==");
    assert_eq!(object["offset"], 7);
}

#[test]
fn a_template_that_is_none_is_refused() {
    for text in ["plain", "%", "%q", "\\q", "\\x4", "\\xzz"] {
        assert!(text.parse::<Format>().is_err(), "{text}");
    }
}
