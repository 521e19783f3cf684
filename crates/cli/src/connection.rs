//! From flags, environment and a properties file to a client.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use milena::settings::{SettingError, Settings, Source};
use milena::{Client, ConnectClusterError, ConnectError};

use crate::args::Connection;
use crate::failure::Failure;
use crate::output::{note, say};

/// The prefix of environment variables that are settings: `MILENA_SASL_PASSWORD`.
const PREFIX: &str = "MILENA_";
/// Variables with the prefix that are no settings of the client.
const OTHERS: [&str; 2] = ["MILENA_LOG", "MILENA_PROPERTIES"];
/// How long connecting may take before a user who watches is told so.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an unknown topic is looked up again: less than a program's, as a user waits.
const UNKNOWN_TOPIC: Duration = Duration::from_secs(2);

static CONNECTED: AtomicBool = AtomicBool::new(false);

/// Whether the command has reached its cluster.
pub(crate) fn is_connected() -> bool {
    CONNECTED.load(Ordering::Relaxed)
}

/// When closing what has nothing left to do must be over.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

/// Connects, with `flags` (name, value, flag) on top of everything else.
pub(crate) async fn connect(
    connection: &Connection,
    flags: &[(&str, String, &str)],
) -> Result<Client, Failure> {
    let settings = settings(connection, flags)?;
    let timeout = connection.timeout;
    let connecting = Client::builder()
        .settings(&settings)
        .timeout(timeout)
        .unknown_topic_timeout(timeout.min(UNKNOWN_TOPIC))
        .connect();
    tokio::pin!(connecting);
    let connected = match tokio::time::timeout(PATIENCE, &mut connecting).await {
        Ok(connected) => connected,
        Err(_) => {
            let text = format!("no broker answers yet; trying for {timeout:?} (--timeout)");
            note(connection.quiet, text);
            connecting.await
        }
    };
    let client = connected.map_err(|error| failure(error, timeout))?;
    CONNECTED.store(true, Ordering::Relaxed);
    Ok(client)
}

fn failure(error: ConnectError, timeout: Duration) -> Failure {
    let tried = match &error {
        ConnectError::Cluster(cause @ ConnectClusterError::Unreachable { .. })
            if cause.is_retriable() =>
        {
            Some(format!("tried for {timeout:?}; --timeout changes that"))
        }
        ConnectError::NoBootstrap => {
            Some("that is --bootstrap HOST:PORT, or $MILENA_BOOTSTRAP".to_owned())
        }
        _ => None,
    };
    match tried {
        Some(tried) => Failure::from(error).and(tried),
        None => error.into(),
    }
}

fn settings(connection: &Connection, flags: &[(&str, String, &str)]) -> Result<Settings, Failure> {
    let mut settings = Settings::new();
    let named = std::env::var_os("MILENA_PROPERTIES").filter(|path| !path.is_empty());
    let named = named.map(Into::into);
    if let Some(path) = connection.properties.as_ref().or(named.as_ref()) {
        read_properties(path, &mut settings)?;
    }
    read_environment(&mut settings)?;
    for (name, value) in &connection.set {
        let flag = Source::Flag(format!("-X {name}"));
        settings.set(name, value, flag).map_err(Failure::usage)?;
    }
    if let Some(bootstrap) = &connection.bootstrap {
        let flag = Source::Flag("--bootstrap".into());
        settings
            .set("bootstrap.servers", bootstrap, flag)
            .map_err(Failure::usage)?;
    }
    for (name, value, flag) in flags {
        let source = Source::Flag((*flag).to_owned());
        settings
            .set(name, value.clone(), source)
            .map_err(Failure::usage)?;
    }
    Ok(settings)
}

/// Other programs' variables may begin alike, so what is no setting is reported and passed over.
fn read_environment(settings: &mut Settings) -> Result<(), Failure> {
    let mut variables: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, value)| {
            name.starts_with(PREFIX) && !OTHERS.contains(&name.as_str()) && !value.is_empty()
        })
        .collect();
    // MILENA_BOOTSTRAP_SERVERS, which sorts behind MILENA_BOOTSTRAP, is the same setting.
    variables.sort();
    for (variable, value) in variables {
        let name = match variable.as_str() {
            "MILENA_BOOTSTRAP" => "bootstrap.servers".to_owned(),
            other => other[PREFIX.len()..].replace('_', ".").to_ascii_lowercase(),
        };
        let value = value
            .into_string()
            .map_err(|_| Failure::usage(format!("${variable} is not UTF-8")))?;
        match settings.set(&name, value, Source::Environment(variable)) {
            Err(unknown @ SettingError::Unknown { .. }) => say(format_args!("ignored: {unknown}")),
            other => other.map_err(Failure::usage)?,
        }
    }
    Ok(())
}

/// Files are shared with other clients, so what only those know is reported and passed over.
fn read_properties(path: &Path, settings: &mut Settings) -> Result<(), Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "cannot read the properties file {}: {error}",
            path.display()
        ))
    };
    let file = File::open(path).map_err(|error| cannot(&error))?;
    let pairs: HashMap<String, String> =
        java_properties::read(BufReader::new(file)).map_err(|error| cannot(&error))?;
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort();
    for (name, value) in pairs {
        match settings.set(&name, value, Source::File(path.display().to_string())) {
            Err(unknown @ SettingError::Unknown { .. }) => say(format_args!("ignored: {unknown}")),
            other => other.map_err(Failure::usage)?,
        }
    }
    Ok(())
}
