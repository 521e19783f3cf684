//! Kafka's message schemas, as JSON with comments, read into plain structs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// A range of versions; `max` is `i16::MAX` when it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) min: i16,
    pub(super) max: i16,
}

impl Versions {
    pub(super) const NONE: Self = Self { min: 1, max: 0 };

    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text == "none" || text.is_empty() {
            return Ok(Self::NONE);
        }
        if let Some(min) = text.strip_suffix('+') {
            return Ok(Self {
                min: min.parse()?,
                max: i16::MAX,
            });
        }
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        Ok(Self {
            min: min.parse()?,
            max: max.parse()?,
        })
    }

    pub(super) fn is_empty(self) -> bool {
        self.min > self.max
    }

    pub(super) fn covers(self, other: Self) -> bool {
        other.is_empty() || (self.min <= other.min && self.max >= other.max)
    }

    pub(super) fn intersect(self, other: Self) -> Self {
        Self {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        }
    }

    /// A Rust condition that holds for the versions of `self` within `all`; `None` when it always holds.
    pub(super) fn condition(self, all: Self) -> Option<String> {
        let range = self.intersect(all);
        if range.is_empty() {
            return Some("false".into());
        }
        match (range.min <= all.min, range.max >= all.max) {
            (true, true) => None,
            (false, true) => Some(format!("version >= {}", range.min)),
            (true, false) => Some(format!("version <= {}", range.max)),
            (false, false) if range.min == range.max => Some(format!("version == {}", range.min)),
            (false, false) => Some(format!(
                "({}..={}).contains(&version)",
                range.min, range.max
            )),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawField {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) versions: Option<String>,
    pub(super) nullable_versions: Option<String>,
    pub(super) tagged_versions: Option<String>,
    pub(super) flexible_versions: Option<String>,
    pub(super) tag: Option<u32>,
    #[serde(default)]
    pub(super) ignorable: bool,
    pub(super) default: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) fields: Vec<RawField>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStruct {
    name: String,
    fields: Vec<RawField>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMessage {
    #[serde(default)]
    api_key: Option<i16>,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    valid_versions: String,
    flexible_versions: Option<String>,
    #[serde(default)]
    latest_version_unstable: bool,
    #[serde(default)]
    fields: Vec<RawField>,
    #[serde(default)]
    common_structs: Vec<RawStruct>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
    Header,
    Data,
}

#[derive(Clone, Debug)]
pub(super) enum Scalar {
    Bool,
    Int(&'static str),
    Float64,
    Uuid,
    String,
    Bytes,
    Struct(String),
}

#[derive(Clone, Debug)]
pub(super) struct Type {
    pub(super) scalar: Scalar,
    pub(super) is_array: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Type,
    pub(super) versions: Versions,
    pub(super) nullable: Versions,
    pub(super) tagged: Versions,
    pub(super) never_flexible: bool,
    pub(super) tag: Option<u32>,
    pub(super) ignorable: bool,
    /// The schema's default as text; `None` when it is the type's own zero.
    pub(super) default: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Struct {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) api_key: Option<i16>,
    pub(super) versions: Versions,
    pub(super) flexible: Versions,
    pub(super) latest_unstable: bool,
    /// The message's own struct first, then the nested ones in order of appearance.
    pub(super) structs: Vec<Struct>,
}

/// Parses one schema file; `None` for a message that has no valid version any more.
pub(super) fn parse(text: &str) -> Result<Option<Message>> {
    let raw: RawMessage = serde_json::from_str(&without_comments(text))?;
    let versions = Versions::parse(&raw.valid_versions)?;
    if versions.is_empty() {
        return Ok(None);
    }
    let kind = match raw.kind.as_str() {
        "request" => Kind::Request,
        "response" => Kind::Response,
        "header" => Kind::Header,
        "data" => Kind::Data,
        other => bail!("{}: unknown message type {other}", raw.name),
    };
    let mut structs = Vec::new();
    collect(&raw.name, &raw.fields, versions, &mut structs)?;
    for common in &raw.common_structs {
        collect(&common.name, &common.fields, versions, &mut structs)?;
    }
    let known: BTreeMap<_, _> = structs.iter().map(|s| (s.name.as_str(), ())).collect();
    for field in structs.iter().flat_map(|s| &s.fields) {
        if let Scalar::Struct(name) = &field.kind.scalar
            && !known.contains_key(name.as_str())
        {
            bail!(
                "{}: field {} has the unknown type {name}",
                raw.name,
                field.name
            );
        }
    }
    Ok(Some(Message {
        flexible: Versions::parse(raw.flexible_versions.as_deref().unwrap_or("none"))?,
        name: raw.name,
        kind,
        api_key: raw.api_key,
        versions,
        latest_unstable: raw.latest_version_unstable,
        structs,
    }))
}

fn collect(name: &str, raw: &[RawField], all: Versions, into: &mut Vec<Struct>) -> Result<()> {
    let at = into.len();
    into.push(Struct {
        name: name.into(),
        fields: Vec::new(),
    });
    let mut fields = Vec::new();
    for field in raw {
        let kind = parse_type(&field.kind);
        if let (Scalar::Struct(nested), false) = (&kind.scalar, field.fields.is_empty()) {
            collect(nested, &field.fields, all, into)?;
        }
        fields
            .push(parse_field(field, kind, all).with_context(|| format!("{name}.{}", field.name))?);
    }
    into[at].fields = fields;
    Ok(())
}

fn parse_field(raw: &RawField, kind: Type, all: Versions) -> Result<Field> {
    let range = |text: &Option<String>| Versions::parse(text.as_deref().unwrap_or("none"));
    let tagged = range(&raw.tagged_versions)?;
    let versions = if raw.versions.is_some() {
        range(&raw.versions)?
    } else {
        tagged
    };
    let live = versions.intersect(all);
    if !tagged.intersect(all).is_empty() && !tagged.covers(live) {
        bail!("tagged in some of its versions only: not supported by this generator");
    }
    Ok(Field {
        name: raw.name.clone(),
        kind,
        versions,
        nullable: range(&raw.nullable_versions)?,
        tagged,
        never_flexible: raw.flexible_versions.as_deref() == Some("none"),
        tag: raw.tag,
        ignorable: raw.ignorable,
        default: raw.default.as_ref().map(|value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        }),
    })
}

fn parse_type(text: &str) -> Type {
    let (is_array, name) = text
        .strip_prefix("[]")
        .map_or((false, text), |rest| (true, rest));
    let scalar = match name {
        "bool" => Scalar::Bool,
        "int8" => Scalar::Int("i8"),
        "int16" => Scalar::Int("i16"),
        "uint16" => Scalar::Int("u16"),
        "int32" => Scalar::Int("i32"),
        "uint32" => Scalar::Int("u32"),
        "int64" => Scalar::Int("i64"),
        "float64" => Scalar::Float64,
        "uuid" => Scalar::Uuid,
        "string" => Scalar::String,
        "bytes" | "records" => Scalar::Bytes,
        other => Scalar::Struct(other.into()),
    };
    Type { scalar, is_array }
}

/// Drops `//` comments, which JSON does not have, outside of strings.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let mut in_string = false;
        let mut end = line.len();
        for (at, c) in line.char_indices() {
            match c {
                '"' => in_string = !in_string,
                '/' if !in_string && line[at..].starts_with("//") => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        out.push_str(&line[..end]);
        out.push('\n');
    }
    out
}
