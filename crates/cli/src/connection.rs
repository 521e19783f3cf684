//! From flags, environment and a properties file to a client.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

use milena::Client;
use milena::settings::{SettingError, Settings, Source};

use crate::args::Connection;
use crate::failure::Failure;

/// The prefix of environment variables that are settings: `MILENA_SASL_PASSWORD`.
const PREFIX: &str = "MILENA_";

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
    let builder = Client::builder()
        .settings(&settings)
        .timeout(connection.timeout);
    Ok(builder.connect().await?)
}

fn settings(connection: &Connection, flags: &[(&str, String, &str)]) -> Result<Settings, Failure> {
    let mut settings = Settings::new();
    if let Some(path) = &connection.properties {
        read_properties(path, &mut settings)?;
    }
    for name in Settings::names() {
        let variable = format!("{PREFIX}{}", name.replace('.', "_").to_ascii_uppercase());
        if let Ok(value) = std::env::var(&variable) {
            settings
                .set(name, value, Source::Environment(variable))
                .map_err(Failure::usage)?;
        }
    }
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
            Ok(()) => {}
            Err(unknown @ SettingError::Unknown { .. }) => eprintln!("milena: ignored: {unknown}"),
            Err(error) => return Err(Failure::usage(error)),
        }
    }
    Ok(())
}
