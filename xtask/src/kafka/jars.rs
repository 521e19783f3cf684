//! Kafka's jars, one directory a version in the user's cache.
//!
//! I1. A directory with a `.complete` file in it is whole: jars are fetched beside it, and it
//! appears by one rename.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::legacy;

/// The directory with the jars of `version`; Maven fetches them the first time.
pub(crate) fn libs(version: &str) -> Result<PathBuf> {
    let dir = cache()?.join(format!("kafka-{version}"));
    if !is_complete(&dir) {
        fetch(version, &dir)?;
    }
    Ok(dir)
}

fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => {
            let home = std::env::var_os("HOME");
            PathBuf::from(home.context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache")
        }
    };
    Ok(base.join("milena"))
}

fn is_complete(dir: &Path) -> bool {
    dir.join(".complete").exists()
}

fn fetch(version: &str, dir: &Path) -> Result<()> {
    eprintln!("fetching the jars of Kafka {version} …");
    let partial = dir.with_extension(format!("{}.partial", std::process::id()));
    let pom = if version == legacy::VERSION {
        "pom-2.1.1.xml"
    } else {
        "pom.xml"
    };
    let status = Command::new("mvn")
        .args(["-B", "-q", "-f"])
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("kafka")
                .join(pom),
        )
        .arg(format!("-Dkafka.version={version}"))
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", partial.display()))
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| {
            format!(
                "the jars of Kafka {version} are not in {} and fetching them needs Maven: \
                 install it (Debian: apt-get install maven)",
                dir.display()
            )
        })?;
    if !status.success() {
        bail!("Maven could not fetch the jars of Kafka {version}; it says why above");
    }
    fs::write(partial.join(".complete"), "")?;
    publish(&partial, dir)
}

/// Makes `partial` be `dir`, unless somebody else was first. // I1
fn publish(partial: &Path, dir: &Path) -> Result<()> {
    if is_complete(dir) {
        return Ok(fs::remove_dir_all(partial)?);
    }
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::rename(partial, dir).with_context(|| format!("cannot create {}", dir.display()))
}
