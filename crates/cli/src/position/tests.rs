use std::time::Duration;

use jiff::Timestamp;

use super::Position;

#[test]
fn every_form_of_a_position_is_read() {
    let cases = [
        ("beginning", Position::Beginning),
        ("end", Position::End),
        ("0", Position::Offset(0)),
        ("42", Position::Offset(42)),
        ("@1700000000000", Position::Time(1_700_000_000_000)),
        ("@2023-11-14T22:13:20Z", Position::Time(1_700_000_000_000)),
        ("@15m", Position::Ago(Duration::from_secs(900))),
        ("@7d", Position::Ago(Duration::from_secs(604_800))),
    ];
    for (text, position) in cases {
        assert_eq!(text.parse(), Ok(position), "{text}");
    }
    assert!(matches!("@2026-01-31".parse(), Ok(Position::Time(_))));
}

#[test]
fn what_is_no_position_is_refused_with_what_would_be_one() {
    for text in [
        "",
        "start-ish",
        "-1",
        "@",
        "@soon",
        "@99999999999999999999",
        "1.5",
    ] {
        let error = text.parse::<Position>().unwrap_err().to_string();
        assert!(error.contains("give"), "{error}");
    }
}

#[test]
fn how_long_ago_counts_from_now() {
    let now = Timestamp::from_millisecond(1_700_000_060_000).unwrap();
    let minute_ago: Position = "@1m".parse().unwrap();
    assert_eq!(minute_ago.millis(now), Some(1_700_000_000_000));
    assert_eq!(Position::End.millis(now), None);
}
