//! The JVM: is there one, and how Kafka's classes are run in it.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};

use anyhow::{Context as _, Result, bail};

use super::jars;

const FIX: &str =
    "Java 17 or later is needed: install a JDK (Debian: apt-get install openjdk-17-jdk-headless)";

/// An error that names the fix, unless there is Java 17 or later.
pub(super) fn check() -> Result<()> {
    let output = Command::new("java")
        .arg("-version")
        .stdin(Stdio::null())
        .output();
    let output = output.context(FIX)?;
    let text = String::from_utf8_lossy(&output.stderr);
    match major(&text) {
        Some(17..) => Ok(()),
        _ => bail!(
            "{FIX}; `java -version` says: {}",
            text.lines().next().unwrap_or("nothing")
        ),
    }
}

fn major(version: &str) -> Option<u32> {
    let quoted = version.split('"').nth(1)?;
    quoted.split(['.', '-', '+']).next()?.parse().ok()
}

/// The arguments that every JVM of ours starts with: the jars, and a log that shows warnings.
pub(super) fn base_args(libs: &Path) -> Vec<String> {
    vec![
        "-cp".to_owned(),
        format!("{}/*", libs.display()),
        format!(
            "-Dlog4j.configuration=file:{}/kafka/log4j.properties",
            crate::own_dir().display()
        ),
    ]
}

/// Runs a class to its end and takes what it prints.
pub(super) fn output(libs: &Path, class: &str, args: &[OsString]) -> Result<Output> {
    let mut command = Command::new("java");
    command
        .args(base_args(libs))
        .arg(class)
        .args(args)
        .stdin(Stdio::null());
    command
        .output()
        .with_context(|| format!("cannot run {class}"))
}

/// One of Kafka's own tools, with our standard streams.
pub(super) fn run_tool(version: &str, class: &str, args: &[String]) -> Result<ExitCode> {
    check()?;
    let libs = jars::libs(version)?;
    let status = Command::new("java")
        .args(base_args(&libs))
        .arg(class)
        .args(args)
        .status()
        .with_context(|| format!("cannot run {class}"))?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, Into::into))
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_version_is_read_from_what_java_prints() {
        assert_eq!(
            major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"),
            Some(17)
        );
        assert_eq!(major("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(major("openjdk version \"25-ea\" 2025-09-16"), Some(25));
        assert_eq!(major("java version \"1.8.0_292\""), Some(1));
        assert_eq!(major(""), None);
    }
}
