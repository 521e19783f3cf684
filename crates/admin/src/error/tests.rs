use super::*;

fn error(code: ErrorCode, message: Option<&str>) -> ItemError {
    ItemError {
        kind: "topic",
        name: "orders".into(),
        code,
        message: message.map(Str::from),
    }
}

#[test]
fn an_error_names_the_item_what_is_wrong_and_the_fix() {
    assert_eq!(
        error(ErrorCode::TopicAlreadyExists, None).to_string(),
        "topic orders exists already; use it, delete it first, or choose another name"
    );
    let words = "Unable to replicate the partition 3 time(s)";
    let text = error(ErrorCode::InvalidReplicationFactor, Some(words)).to_string();
    assert!(
        text.contains(words) && text.ends_with("at most the number of brokers"),
        "{text}"
    );
}

#[test]
fn a_code_without_a_text_of_its_own_is_shown_with_the_brokers_words() {
    let text = error(ErrorCode::NotController, Some("moved")).to_string();
    assert!(
        text.contains("NOT_CONTROLLER") && text.ends_with("(\"moved\")"),
        "{text}"
    );
}

#[test]
fn success_is_no_error() {
    assert!(ItemError::check("topic", &"t".into(), 0, None).is_ok());
    let failed = ItemError::check("topic", &"t".into(), 36, Some(&Str::new()));
    assert_eq!(failed.unwrap_err().message, None);
}
