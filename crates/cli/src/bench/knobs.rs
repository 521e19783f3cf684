//! `--set` of `milena bench`: settings by Kafka's names, and a few of its own.

use milena::settings::Settings;

use crate::args::Connection;
use crate::failure::Failure;

/// The names that are no settings of the client.
const OWN: &str = "rt (current or multi), workers and window";

/// What `--set` says.
#[derive(Clone, Debug)]
pub(crate) struct Knobs {
    /// `rt=current`: everything in one thread. Default `multi`.
    pub current_thread: bool,
    /// `workers`: the threads of `rt=multi`. Default 2.
    pub workers: usize,
    /// `window`: how many receipts may be outstanding.
    window: Option<usize>,
    /// All else: settings by Kafka's names.
    pub settings: Vec<Setting>,
}

/// A setting of the client's.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Name and value.
    pub pair: (String, String),
    /// The flag it came from.
    pub source: String,
}

impl Knobs {
    pub(crate) fn of(connection: &Connection) -> Result<Self, Failure> {
        let mut knobs = Self {
            current_thread: false,
            workers: 2,
            window: None,
            settings: Vec::new(),
        };
        for (name, value) in &connection.set {
            match name.as_str() {
                "rt" => knobs.current_thread = is_current(value)?,
                "workers" => knobs.workers = at_least_one(name, value)?,
                "window" => knobs.window = Some(at_least_one(name, value)?),
                _ if name.contains('.') || Settings::names().any(|known| known == name) => {
                    knobs.settings.push(Setting {
                        pair: (name.clone(), value.clone()),
                        source: format!("-X {name}"),
                    });
                }
                _ => {
                    return Err(Failure::usage(format!(
                        "unknown key {name} (-X {name}): milena bench reads {OWN}, and settings \
                         by Kafka's names"
                    )));
                }
            }
        }
        Ok(knobs)
    }

    /// How many receipts may be outstanding: by default as many as 20 MB of values have, so that
    /// the memory for records, which is 32 MiB, is not what holds the sender up.
    pub(crate) fn window(&self, size: usize) -> usize {
        self.window.unwrap_or(20_000_000 / size.max(100))
    }
}

fn is_current(value: &str) -> Result<bool, Failure> {
    match value {
        "current" => Ok(true),
        "multi" => Ok(false),
        _ => Err(Failure::usage(format!(
            "rt={value} (-X rt): current or multi is expected"
        ))),
    }
}

fn at_least_one(name: &str, value: &str) -> Result<usize, Failure> {
    match crate::args::number(value) {
        Ok(number @ 1..) => Ok(number),
        _ => Err(Failure::usage(format!(
            "{name}={value} (-X {name}): a number from 1 on is expected"
        ))),
    }
}
