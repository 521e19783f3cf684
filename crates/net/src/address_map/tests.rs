use super::*;

fn map(text: &str) -> AddressMap {
    text.parse().unwrap()
}

fn target(map: &AddressMap, advertised: &str) -> String {
    map.target(&advertised.parse().unwrap()).to_string()
}

#[test]
fn an_address_without_an_entry_is_reached_where_it_says() {
    let map = map("broker1:9092=localhost:19092");
    assert_eq!(target(&map, "broker1:9092"), "localhost:19092");
    assert_eq!(target(&map, "broker1:9093"), "broker1:9093");
    assert_eq!(target(&map, "broker2:9092"), "broker2:9092");
    assert_eq!(map.way(&Address::new("broker2", 9092)), None);
}

#[test]
fn the_most_specific_entry_counts() {
    let map = map(
        "*=all, *:9092=all-9092, *.internal=under, *.eu.internal:9092=under-eu, \
         b1.eu.internal=one, b1.eu.internal:9092=exact:1",
    );
    let targets = [
        ("b1.eu.internal:9092", "exact:1"),
        ("b1.eu.internal:9093", "one:9093"),
        ("b2.eu.internal:9092", "under-eu:9092"),
        ("b2.eu.internal:9093", "under:9093"),
        ("elsewhere:9092", "all-9092:9092"),
        ("elsewhere:9093", "all:9093"),
        ("internal:9093", "all:9093"),
    ];
    for (advertised, expected) in targets {
        assert_eq!(target(&map, advertised), expected, "{advertised}");
    }
}

#[test]
fn a_target_may_leave_the_host_or_the_port_as_advertised() {
    let map = map("*:9092=*:19092, a=b, [::1]:1=[fd00::1]:*");
    assert_eq!(target(&map, "x:9092"), "x:19092");
    assert_eq!(target(&map, "a:77"), "b:77");
    assert_eq!(target(&map, "[::1]:1"), "[fd00::1]:1");
}

#[test]
fn capitals_in_host_names_do_not_matter() {
    assert_eq!(target(&map("Broker1=x, *.EU=y"), "bROKER1:1"), "x:1");
    assert_eq!(target(&map("Broker1=x, *.EU=y"), "b.eu:1"), "y:1");
}

#[test]
fn the_name_for_tls_is_the_advertised_one_unless_given() {
    let map = map("a:1=localhost:2@tunnel.example, b:1=localhost:3");
    let name = |host: &str| {
        let way = map.way(&Address::new(host.to_owned(), 1)).unwrap();
        way.server_name.clone()
    };
    assert_eq!(name("a").as_deref(), Some("tunnel.example"));
    assert_eq!(name("b"), None);
}

#[test]
fn a_map_is_written_as_it_is_read() {
    let text = "[::1]:1=localhost:2,a=b@c,*.d:9092=*:1,*=e";
    assert_eq!(map(text).to_string(), text);
    assert_eq!(map(&map(text).to_string()), map(text));
    assert!(map(" , ").is_empty());
}

#[test]
fn a_text_that_maps_nothing_is_refused_with_what_is_wrong() {
    let wrong = [
        ("a:1", "the = is missing"),
        ("=b:1", "a host is missing"),
        ("a:1=", "a host is missing"),
        ("a:0=b:1", "a port is not a number from 1 to 65535"),
        ("a:1=b:x", "a port is not a number from 1 to 65535"),
        ("a*:1=b:1", "a * stands for a whole host"),
        ("a:1=b*:1", "a * in the target stands for the whole host"),
        ("a:1=b:1@", "the name after the @ is missing"),
        ("[::1=b:1", "the closing bracket is missing"),
        ("[::1]9=b:1", "an IPv6 address needs brackets"),
        ("::1=b:1", "a host is missing"),
        ("a b:1=c:1", "no host name has"),
        ("a:1=b:1,A:1=c:1", "another entry for the same address"),
    ];
    for (text, problem) in wrong {
        let error = text.parse::<AddressMap>().unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
}
