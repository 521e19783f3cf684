//! How `consume` prints a record: raw, JSON, or a template.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use milena::Headers;

/// One of the formats of `--format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The value and a newline; a null value is an empty line.
    Raw,
    /// One JSON object a line.
    Json,
    /// Pieces of text and fields.
    Template(Vec<Piece>),
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeyLength,
    Value,
    ValueLength,
    Headers,
}

/// What a template may hold, for `--help`.
pub(crate) const TEMPLATE_HELP: &str = "\
raw: the value and a newline
json: an object a line; bytes that are not UTF-8 as base64 in key_base64, value_base64
TEMPLATE: text with %t topic, %p partition, %o offset, %T timestamp in ms, %k key, %K its length,
%v (or %s) value, %V (or %S) its length, %h headers, %% a percent sign, \\n \\r \\t \\0 \\xNN \\\\";

/// A template is not one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FormatError(String);

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FormatError {}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "raw" => Ok(Self::Raw),
            "json" => Ok(Self::Json),
            _ if text.contains(['%', '\\']) => template(text).map(Self::Template),
            _ => Err(FormatError(format!(
                "{text:?} is neither raw nor json nor a template with a % field, such as '%k %v\\n'"
            ))),
        }
    }
}

fn template(text: &str) -> Result<Vec<Piece>, FormatError> {
    let mut pieces = Vec::new();
    let mut plain = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(escape(&mut characters)?),
            '%' => {
                let field = match characters.next() {
                    Some('%') => {
                        plain.push(b'%');
                        continue;
                    }
                    Some(name) => field(name)?,
                    None => {
                        return Err(FormatError(
                            "the template ends in %; write %% for one".into(),
                        ));
                    }
                };
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(field);
            }
            other => plain.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

fn field(name: char) -> Result<Piece, FormatError> {
    Ok(match name {
        't' => Piece::Topic,
        'p' => Piece::Partition,
        'o' => Piece::Offset,
        'T' => Piece::Timestamp,
        'k' => Piece::Key,
        'K' => Piece::KeyLength,
        'v' | 's' => Piece::Value,
        'V' | 'S' => Piece::ValueLength,
        'h' => Piece::Headers,
        other => {
            return Err(FormatError(format!(
                "%{other} is no field; there are %t %p %o %T %k %K %v %V %s %S %h %%"
            )));
        }
    })
}

fn escape(characters: &mut std::str::Chars<'_>) -> Result<u8, FormatError> {
    let bad = |what: &str| {
        FormatError(format!(
            "\\{what} is no escape; there are \\n \\r \\t \\0 \\xNN \\\\"
        ))
    };
    match characters.next() {
        Some('n') => Ok(b'\n'),
        Some('r') => Ok(b'\r'),
        Some('t') => Ok(b'\t'),
        Some('0') => Ok(0),
        Some('\\') => Ok(b'\\'),
        Some('x') => {
            let digits: String = characters.by_ref().take(2).collect();
            let is_hex = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let byte = is_hex
                .then(|| u8::from_str_radix(&digits, 16).ok())
                .flatten();
            byte.ok_or_else(|| bad(&format!("x{digits}")))
        }
        Some(other) => Err(bad(&other.to_string())),
        None => Err(bad("")),
    }
}

/// What there is to print of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

impl Format {
    /// Writes one record.
    pub(crate) fn write(&self, out: &mut impl Write, record: &Line<'_>) -> io::Result<()> {
        match self {
            Self::Raw => {
                out.write_all(record.value.unwrap_or_default())?;
                out.write_all(b"\n")
            }
            Self::Json => write_json(out, record),
            Self::Template(pieces) => pieces
                .iter()
                .try_for_each(|piece| write_piece(piece, out, record)),
        }
    }
}

fn write_piece(piece: &Piece, out: &mut impl Write, record: &Line<'_>) -> io::Result<()> {
    // A null has the length -1, as in kcat, so that it differs from an empty value.
    let length = |field: Option<&[u8]>| field.map_or(-1, |bytes| bytes.len() as i64);
    match piece {
        Piece::Text(text) => out.write_all(text),
        Piece::Topic => out.write_all(record.topic.as_bytes()),
        Piece::Partition => write!(out, "{}", record.partition),
        Piece::Offset => write!(out, "{}", record.offset),
        Piece::Timestamp => write!(out, "{}", record.timestamp),
        Piece::Key => out.write_all(record.key.unwrap_or_default()),
        Piece::KeyLength => write!(out, "{}", length(record.key)),
        Piece::Value => out.write_all(record.value.unwrap_or_default()),
        Piece::ValueLength => write!(out, "{}", length(record.value)),
        Piece::Headers => write_headers(out, record),
    }
}

fn write_headers(out: &mut impl Write, record: &Line<'_>) -> io::Result<()> {
    for (index, header) in record.headers.enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(header.name)?;
        out.write_all(b"=")?;
        out.write_all(header.value.unwrap_or(b"NULL"))?;
    }
    Ok(())
}

fn write_json(out: &mut impl Write, record: &Line<'_>) -> io::Result<()> {
    out.write_all(b"{\"topic\":")?;
    serde_json::to_writer(&mut *out, record.topic)?;
    write!(
        out,
        ",\"partition\":{},\"offset\":{},\"timestamp\":{},",
        record.partition, record.offset, record.timestamp
    )?;
    write_member(out, "key", record.key)?;
    out.write_all(b",")?;
    write_member(out, "value", record.value)?;
    out.write_all(b",\"headers\":[")?;
    for (index, header) in record.headers.enumerate() {
        out.write_all(if index > 0 {
            b",{\"name\":"
        } else {
            b"{\"name\":"
        })?;
        serde_json::to_writer(&mut *out, &header.name_lossy())?;
        out.write_all(b",")?;
        write_member(out, "value", header.value)?;
        out.write_all(b"}")?;
    }
    out.write_all(b"]}\n")
}

/// `"name":"text"`, `"name":null`, or `"name_base64":"…"` for what is no text.
fn write_member(out: &mut impl Write, name: &str, bytes: Option<&[u8]>) -> io::Result<()> {
    match bytes.map(std::str::from_utf8) {
        None => write!(out, "\"{name}\":null"),
        Some(Ok(text)) => {
            write!(out, "\"{name}\":")?;
            Ok(serde_json::to_writer(out, text)?)
        }
        Some(Err(_)) => {
            let encoded = STANDARD.encode(bytes.unwrap_or_default());
            write!(out, "\"{name}_base64\":\"{encoded}\"")
        }
    }
}

#[cfg(test)]
mod tests;
