//! Where reading starts and ends, as `--from` and `--until` say it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    Beginning,
    End,
    /// An offset.
    Offset(i64),
    /// The first record at or after a time, in milliseconds since 1970.
    Time(i64),
    /// The first record at or after this long ago.
    Ago(Duration),
}

/// For `--help`.
pub(crate) const POSITION_HELP: &str = "\
beginning, end, an offset, or @TIME, where TIME is 2026-01-31, 2026-01-31T12:00:00 (local),
2026-01-31T12:00:00Z, milliseconds since 1970, or how long ago: @90s @15m @2h @7d";

/// A text is no position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PositionError(String);

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PositionError {}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        match text {
            "beginning" | "earliest" | "start" => return Ok(Self::Beginning),
            "end" | "latest" => return Ok(Self::End),
            _ => {}
        }
        if let Some(time) = text.strip_prefix('@') {
            return time_of(time).ok_or_else(|| {
                PositionError(format!(
                    "@{time} is no time; give @2026-01-31, @2026-01-31T12:00:00Z, milliseconds since 1970, or how long ago, such as @15m"
                ))
            });
        }
        match text.parse() {
            Ok(offset @ 0..) => Ok(Self::Offset(offset)),
            _ => Err(PositionError(format!(
                "{text:?} is no position; give beginning, end, an offset, or @TIME"
            ))),
        }
    }
}

impl Position {
    /// The time it stands for, in milliseconds since 1970, if it is one.
    pub(crate) fn millis(self, now: Timestamp) -> Option<i64> {
        match self {
            Self::Time(millis) => Some(millis),
            Self::Ago(ago) => {
                let ago = SignedDuration::try_from(ago).ok()?;
                Some(
                    now.checked_sub(ago)
                        .unwrap_or(Timestamp::UNIX_EPOCH)
                        .as_millisecond(),
                )
            }
            Self::Beginning | Self::End | Self::Offset(_) => None,
        }
    }
}

fn time_of(text: &str) -> Option<Position> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Position::Time);
    }
    if let Some(ago) = ago(text) {
        return Some(Position::Ago(ago));
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(Position::Time(timestamp.as_millisecond()));
    }
    let local: DateTime = text.parse().ok()?;
    let zoned = local.to_zoned(TimeZone::system()).ok()?;
    Some(Position::Time(zoned.timestamp().as_millisecond()))
}

fn ago(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let count: u64 = text[..text.len() - 1].parse().ok()?;
    Some(Duration::from_secs(count.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests;
