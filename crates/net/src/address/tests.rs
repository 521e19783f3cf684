use super::{Address, AddressError};

#[test]
fn names_and_both_kinds_of_ip_addresses_are_read_and_shown_alike() {
    for text in [
        "localhost:9092",
        "10.0.0.1:1",
        "[::1]:9092",
        "b-1.kafka.example:65535",
    ] {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
    }
    assert_eq!(Address::new("::1", 9092).to_string(), "[::1]:9092");
}

#[test]
fn what_is_not_an_address_is_named_with_its_problem() {
    let cases = [
        ("localhost", "the port is missing"),
        ("localhost:", "the port is not a number"),
        ("localhost:0", "the port is not a number"),
        ("localhost:65536", "the port is not a number"),
        ("::1:9092", "an IPv6 address needs brackets"),
        ("[::1:9092", "the closing bracket is missing"),
        (":9092", "the host is missing"),
        ("PLAINTEXT://a:9092", "a listener name does not belong"),
        ("a/b:9092", "no host name has"),
    ];
    for (text, problem) in cases {
        let error = text.parse::<Address>().unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains(text), "{error}");
    }
}

#[test]
fn a_list_skips_spaces_and_repetitions() {
    let list = Address::parse_list(" a:1, b:2,,a:1 ").unwrap();
    assert_eq!(list, [Address::new("a", 1), Address::new("b", 2)]);
    assert_eq!(Address::parse_list(" , "), Err(AddressError::Empty));
}
