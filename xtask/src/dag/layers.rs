//! The layers, and which edges between crates they allow.
//!
//! I1. A crate depends on crates of lower layers only, tests included: a test that needs two
//! crates of one layer lives in `protocol-tests`. [`ALLOWED`] lists the exceptions.
//! I2. Nothing but a dev crate depends on a dev crate, unless for its own tests.
//! I3. The crates in [`WITHOUT_IO`] do not depend on tokio, unless for their own tests.

use super::{Dependency, Package};

/// Every crate's layer. A new crate is added here.
const LAYERS: &[(&str, u8)] = &[
    ("milena-codec", 0),
    ("milena-records", 1),
    ("milena-auth", 1),
    ("milena-partitioner", 1),
    ("milena-proto", 2),
    ("milena-net", 3),
    ("milena-metadata", 3),
    ("milena-accumulator", 3),
    ("milena-rpc", 4),
    ("milena-producer", 5),
    ("milena-consumer", 5),
    ("milena-admin", 5),
    ("milena-broker", 5),
    ("milena", 6),
    ("milena-schema", 7),
    ("milena-stream", 7),
    ("milena-service", 7),
    ("milena-gateway", 7),
    ("milena-cli", 7),
];

/// Crates that are never published and may depend on anything.
const DEV: &[&str] = &["milena-sim", "milena-benches", "protocol-tests", "xtask"];

/// Edges within one layer: from, to. Each needs its reason beside it.
const ALLOWED: &[(&str, &str)] = &[];

const WITHOUT_IO: &[&str] = &[
    "milena-codec",
    "milena-records",
    "milena-auth",
    "milena-partitioner",
    "milena-proto",
    "milena-metadata",
    "milena-accumulator",
];

/// One line for each edge that is not allowed.
pub(super) fn check(packages: &[Package]) -> Vec<String> {
    check_with(packages, ALLOWED)
}

fn check_with(packages: &[Package], allowed: &[(&str, &str)]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        let from = package.name.as_str();
        if layer(from).is_none() && !is_dev(from) {
            problems.push(format!(
                "{from} has no layer: give it one in xtask/src/dag/layers.rs"
            ));
            continue;
        }
        for dependency in &package.dependencies {
            let known = packages
                .iter()
                .any(|package| package.name == dependency.name);
            let problem = if known {
                edge(from, dependency, allowed)
            } else {
                io(from, dependency)
            };
            problems.extend(problem.map(|why| format!("{from} -> {}: {why}", dependency.name)));
        }
    }
    problems
}

/// Why a crate may not depend on another one of the workspace.
fn edge(from: &str, dependency: &Dependency, allowed: &[(&str, &str)]) -> Option<String> {
    let to = dependency.name.as_str();
    let above = layer(from)?; // a dev crate may
    if is_dev(to) {
        let for_tests = dependency.kind.as_deref() == Some("dev");
        return (!for_tests).then(|| format!("{to} is for tests only")); // I2
    }
    let below = layer(to)?;
    if below < above || allowed.contains(&(from, to)) {
        return None;
    }
    let what = if below == above {
        "both are in layer"
    } else {
        "it points up, from layer"
    };
    let to_layer = if below == above {
        String::new()
    } else {
        format!(" to {below}")
    };
    Some(format!("{what} {above}{to_layer}; edges point down only")) // I1
}

/// Why a crate may not depend on one from outside.
fn io(from: &str, dependency: &Dependency) -> Option<String> {
    let tokio = dependency.name == "tokio" || dependency.name.starts_with("tokio-");
    let for_tests = dependency.kind.as_deref() == Some("dev");
    let refused = tokio && !for_tests && WITHOUT_IO.contains(&from); // I3
    refused.then(|| format!("{from} does no I/O and knows no runtime"))
}

fn layer(name: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(crate_name, _)| *crate_name == name)
        .map(|(_, layer)| *layer)
}

fn is_dev(name: &str) -> bool {
    DEV.contains(&name)
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
