//! Settings by Kafka's own names, from files, the environment, flags or code, and where each came
//! from.
//!
//! - I1: the last value set for a name counts; [`Settings::explain`] says where it came from.
//! - I2: a name that nothing reads is an error that names the closest one, never silence.
//! - I3: no `Debug`, `Display` or error shows the value of a secret.

mod apply;
mod jaas;
mod known;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use milena_metadata::edit_distance;
use thiserror::Error;

pub(crate) use self::apply::put;
pub(crate) use self::jaas::Jaas;
use self::known::{KNOWN, Known};

/// Where the value of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// It was not set.
    Default,
    /// A file, by its path.
    File(String),
    /// An environment variable, by its name.
    Environment(String),
    /// A command-line flag, by its name.
    Flag(String),
    /// The program itself.
    Code,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
            Self::Code => f.write_str("code"),
        }
    }
}

/// Why a setting was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SettingError {
    /// No setting has this name.
    #[error("unknown setting {name} ({source_name}){}", similar.map(|s| format!("; did you mean {s}?")).unwrap_or_default())]
    Unknown {
        /// The name that was given.
        name: String,
        /// Where it came from.
        source_name: String,
        /// The closest known name, if one is close.
        similar: Option<&'static str>,
    },
    /// The value is not of the setting's kind.
    #[error("{name}={value} ({source_name}): {expected} is expected")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// Its value; `***` when it is a secret.
        value: String,
        /// Where it came from.
        source_name: String,
        /// What a value looks like.
        expected: String,
    },
    /// Two settings do not go together, or one needs another.
    #[error("{0}")]
    Conflict(String),
}

#[derive(Clone)]
struct Entry {
    value: String,
    source: Source,
}

/// A set of settings.
#[derive(Clone, Default)]
pub struct Settings {
    entries: BTreeMap<&'static str, Entry>,
}

impl Settings {
    /// No settings: everything at its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` (Kafka's name, or librdkafka's for the same thing) to `value`.
    ///
    /// # Errors
    /// [`SettingError::Unknown`] when nothing reads a setting of that name. Files that are shared
    /// with other clients hold such names: report the error and go on.
    pub fn set(
        &mut self,
        name: &str,
        value: impl Into<String>,
        source: Source,
    ) -> Result<(), SettingError> {
        let Some(known) = find(name) else {
            return Err(SettingError::Unknown {
                name: name.to_owned(),
                source_name: source.to_string(),
                similar: closest(name),
            });
        };
        self.entries.insert(
            known.name,
            Entry {
                value: value.into().trim().to_owned(),
                source,
            },
        );
        Ok(())
    }

    /// Puts `over` on top of these settings: where both set a name, `over` counts.
    pub fn merge(&mut self, over: &Self) {
        for (name, entry) in &over.entries {
            self.entries.insert(name, entry.clone());
        }
    }

    /// Kafka's names of all settings.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|known| known.name)
    }

    /// Every setting with its value and source, a line each; secrets as `***`.
    pub fn explain(&self) -> String {
        let mut out = String::new();
        for known in KNOWN {
            let (value, source) = match self.entries.get(known.name) {
                Some(entry) if known.is_secret => ("***", entry.source.to_string()),
                Some(entry) => (entry.value.as_str(), entry.source.to_string()),
                None => (known.default, Source::Default.to_string()),
            };
            out.push_str(&format!("{}={value}  # {source}\n", known.name));
        }
        out
    }

    /// The value of `name` if it was set.
    pub(crate) fn value(&self, name: &'static str) -> Option<&str> {
        debug_assert!(
            find(name).is_some(),
            "{name} is not in the table of settings"
        );
        self.entries
            .get(name)
            .map(|entry| entry.value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A time in milliseconds.
    pub(crate) fn millis(&self, name: &'static str) -> Result<Option<Duration>, SettingError> {
        let millis = self.parsed(name, "a number of milliseconds")?;
        Ok(millis.map(Duration::from_millis))
    }

    /// A number, described by `expected` in the error.
    pub(crate) fn parsed<T: std::str::FromStr>(
        &self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, SettingError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        value
            .parse()
            .map(Some)
            .map_err(|_| self.invalid(name, expected))
    }

    pub(crate) fn boolean(&self, name: &'static str) -> Result<Option<bool>, SettingError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        match value.to_ascii_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(self.invalid(name, "true or false")),
        }
    }

    /// The error for a value of `name` that is not what is `expected`.
    pub(crate) fn invalid(&self, name: &'static str, expected: &str) -> SettingError {
        let entry = self.entries.get(name);
        let is_secret = find(name).is_some_and(|known| known.is_secret);
        let value = entry.map_or("", |entry| if is_secret { "***" } else { &entry.value });
        SettingError::Invalid {
            name,
            value: value.to_owned(),
            source_name: entry
                .map_or(Source::Default, |entry| entry.source.clone())
                .to_string(),
            expected: expected.to_owned(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.entries.iter().map(|(name, entry)| {
            let is_secret = find(name).is_some_and(|known| known.is_secret);
            (
                name,
                if is_secret {
                    "***"
                } else {
                    entry.value.as_str()
                },
            )
        });
        f.debug_map().entries(shown).finish()
    }
}

fn find(name: &str) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.name == name || known.aliases.contains(&name))
}

/// The known name that takes the fewest edits to reach, if that is not most of it.
fn closest(name: &str) -> Option<&'static str> {
    KNOWN
        .iter()
        .map(|known| (edit_distance(name, known.name), known.name))
        .min()
        .filter(|(edits, known)| *edits <= known.len() / 3)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests;
