use super::*;

fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
    let dependency = |&(name, kind): &(&str, Option<&str>)| Dependency {
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
    };
    let dependencies = dependencies.iter().map(dependency).collect();
    Package {
        name: name.to_owned(),
        dependencies,
        targets: Vec::new(),
    }
}

/// `from` depends on `to`, which exists.
fn problems(from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
    check_with(&[package(from, &[(to, kind)]), package(to, &[])], &[])
}

#[test]
fn an_edge_down_is_allowed() {
    assert!(problems("milena-proto", "milena-codec", None).is_empty());
    assert!(problems("milena-cli", "milena-codec", Some("dev")).is_empty());
}

#[test]
fn an_edge_up_is_refused_for_tests_too() {
    let expected = "milena-net -> milena-rpc: it points up, from layer 3 to 4; \
                    edges point down only";
    assert_eq!(problems("milena-net", "milena-rpc", None), [expected]);
    assert_eq!(
        problems("milena-net", "milena-rpc", Some("dev")),
        [expected]
    );
}

#[test]
fn an_edge_within_a_layer_is_refused_unless_listed() {
    let packages = [
        package("milena-producer", &[("milena-admin", None)]),
        package("milena-admin", &[]),
    ];
    let expected = "milena-producer -> milena-admin: both are in layer 5; edges point down only";
    assert_eq!(check_with(&packages, &[]), [expected]);
    assert!(check_with(&packages, &[("milena-producer", "milena-admin")]).is_empty());
    let reverse = [("milena-admin", "milena-producer")];
    assert_eq!(check_with(&packages, &reverse), [expected]);
}

#[test]
fn tokio_is_refused_where_there_is_no_io_except_for_tests() {
    let with = |from, name, kind| check_with(&[package(from, &[(name, kind)])], &[]);
    let expected = "milena-proto -> tokio: milena-proto does no I/O and knows no runtime";
    assert_eq!(with("milena-proto", "tokio", None), [expected]);
    assert_eq!(with("milena-metadata", "tokio-util", None).len(), 1);
    assert_eq!(with("milena-codec", "tokio", Some("build")).len(), 1);
    assert!(with("milena-proto", "tokio", Some("dev")).is_empty());
    assert!(with("milena-net", "tokio", None).is_empty());
    assert!(with("milena-proto", "bytes", None).is_empty());
}

#[test]
fn a_dev_crate_may_use_anything_and_is_used_by_tests_only() {
    assert!(problems("protocol-tests", "milena", None).is_empty());
    assert!(problems("milena-net", "milena-sim", Some("dev")).is_empty());
    let expected = "milena-net -> milena-sim: milena-sim is for tests only";
    assert_eq!(problems("milena-net", "milena-sim", None), [expected]);
}

#[test]
fn a_crate_without_a_layer_is_named() {
    let expected = "milena-new has no layer: give it one in xtask/src/dag/layers.rs";
    assert_eq!(check_with(&[package("milena-new", &[])], &[]), [expected]);
}
