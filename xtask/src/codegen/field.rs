//! What a field is in Rust: its type, its default, and when it is null, tagged or compact.

use super::emit::ident;
use super::schema::{Field, Message, Scalar, Type};

pub(super) fn rust_type(field: &Field, message: &Message) -> String {
    let scalar = match &field.kind.scalar {
        Scalar::Bool => "bool",
        Scalar::Int(name) => name,
        Scalar::Float64 => "f64",
        Scalar::Uuid => "Uuid",
        Scalar::String => "Str",
        Scalar::Bytes => "Bytes",
        Scalar::Struct(name) => name,
    };
    let whole = if field.kind.is_array {
        format!("Vec<{scalar}>")
    } else {
        scalar.to_owned()
    };
    if is_nullable(field, message) {
        format!("Option<{whole}>")
    } else {
        whole
    }
}

pub(super) fn default_value(field: &Field, message: &Message) -> String {
    let nullable = is_nullable(field, message);
    let text = field.default.as_deref().unwrap_or("");
    if nullable && text == "null" {
        return "None".into();
    }
    let value = match &field.kind {
        Type { is_array: true, .. } => "Vec::new()".to_owned(),
        Type {
            scalar: Scalar::Bool,
            ..
        } => text.eq_ignore_ascii_case("true").to_string(),
        Type {
            scalar: Scalar::Int(_),
            ..
        } if text.is_empty() => "0".into(),
        Type {
            scalar: Scalar::Int(_),
            ..
        } => integer(text),
        Type {
            scalar: Scalar::Float64,
            ..
        } => {
            if text.is_empty() {
                "0.0".into()
            } else {
                text.into()
            }
        }
        Type {
            scalar: Scalar::Uuid,
            ..
        } => "Uuid::ZERO".into(),
        Type {
            scalar: Scalar::String,
            ..
        } if text.is_empty() => "Str::new()".into(),
        Type {
            scalar: Scalar::String,
            ..
        } => format!("Str::from_static({text:?})"),
        Type {
            scalar: Scalar::Bytes,
            ..
        } => "Bytes::new()".into(),
        Type {
            scalar: Scalar::Struct(name),
            ..
        } => format!("{name}::default()"),
    };
    if nullable {
        format!("Some({value})")
    } else {
        value
    }
}

fn integer(text: &str) -> String {
    let value = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    value.expect("schema defaults are integers").to_string()
}

/// A condition that holds when the field is not its default.
pub(super) fn differs(field: &Field, message: &Message) -> String {
    let name = ident(&field.name);
    let default = default_value(field, message);
    match default.as_str() {
        "true" => format!("!self.{name}"),
        "false" => format!("self.{name}"),
        "None" => format!("self.{name}.is_some()"),
        "Vec::new()" | "Str::new()" | "Bytes::new()" => format!("!self.{name}.is_empty()"),
        "Some(Vec::new())" => format!("self.{name}.as_ref().is_none_or(|v| !v.is_empty())"),
        "Some(Str::new())" => format!("self.{name}.as_ref().is_none_or(|v| !v.is_empty())"),
        _ => format!("self.{name} != {default}"),
    }
}

pub(super) fn default_is_natural(field: &Field, message: &Message) -> bool {
    matches!(
        default_value(field, message).as_str(),
        "None"
            | "Vec::new()"
            | "false"
            | "0"
            | "0.0"
            | "Uuid::ZERO"
            | "Str::new()"
            | "Bytes::new()"
    ) || matches!(&field.kind, Type { scalar: Scalar::Struct(_), is_array: false } if !is_nullable(field, message))
}

pub(super) fn is_tagged(field: &Field, message: &Message) -> bool {
    !field.tagged.intersect(message.versions).is_empty()
}

pub(super) fn is_nullable(field: &Field, message: &Message) -> bool {
    !field.nullable.intersect(message.versions).is_empty()
}

/// The condition under which a nullable field may be null; `None` when always.
pub(super) fn nullable_within(field: &Field, message: &Message) -> Option<String> {
    field
        .nullable
        .condition(field.versions.intersect(message.versions))
}

pub(super) fn flexible_argument(field: &Field, message: &Message) -> &'static str {
    let flexible = message.flexible.intersect(message.versions);
    if field.never_flexible || flexible.is_empty() {
        "false"
    } else if message.flexible.covers(message.versions) || is_tagged(field, message) {
        "true"
    } else {
        "flexible"
    }
}
