use super::*;

fn names(all: &[&str]) -> Vec<Str> {
    all.iter().map(|name| Str::from(*name)).collect()
}

#[test]
fn distance_counts_edits_and_ignores_case() {
    assert_eq!(distance("orders", "orders"), 0);
    assert_eq!(distance("orders", "Orders"), 0);
    assert_eq!(distance("orders", "order"), 1);
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("", "abc"), 3);
}

#[test]
fn the_closest_names_come_first_and_distant_ones_not_at_all() {
    let known = names(&["order", "ordres", "orders-dlq", "payments", "Orders"]);
    let found = closest("orders", known.iter());
    assert_eq!(found, names(&["Orders", "order", "ordres"]));
}

#[test]
fn the_name_itself_is_not_similar_to_itself() {
    assert!(closest("orders", names(&["orders"]).iter()).is_empty());
}

#[test]
fn names_beyond_kafkas_limit_are_not_compared() {
    let long = "x".repeat(10_000);
    assert!(closest(&long, names(&[&long[1..]]).iter()).is_empty());
}
