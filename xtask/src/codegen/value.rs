//! The expressions that write and read one field.

use super::emit::ident;
use super::field::{flexible_argument, is_nullable, nullable_within};
use super::schema::{Field, Message, Scalar, Type};

pub(super) fn encode_field(field: &Field, message: &Message) -> String {
    let name = ident(&field.name);
    let flexible = flexible_argument(field, message);
    let nullable = nullable_within(field, message);
    let value = format!("self.{name}");
    if !is_nullable(field, message) {
        return format!("{};", encode_value(&field.kind, &value, flexible, false));
    }
    let optional = format!("{};", encode_value(&field.kind, &value, flexible, true));
    match nullable {
        None => optional,
        Some(when) => format!(
            "if !({when}) && {value}.is_none() {{ return Err(EncodeError::null(\"{}\", version)); }} {optional}",
            field.name
        ),
    }
}

fn encode_value(kind: &Type, value: &str, flexible: &str, optional: bool) -> String {
    if kind.is_array {
        let item = encode_item(&kind.scalar, flexible);
        let call = if optional {
            "put_nullable_array"
        } else {
            "put_array"
        };
        let borrow = if optional {
            format!("{value}.as_deref()")
        } else {
            format!("&{value}")
        };
        return format!("out.{call}({borrow}, {flexible}, |out, item| {item})?");
    }
    match (&kind.scalar, optional) {
        (Scalar::String, false) => format!("out.put_string(&{value}, {flexible})?"),
        (Scalar::String, true) => {
            format!("out.put_nullable_string({value}.as_deref(), {flexible})?")
        }
        (Scalar::Bytes, false) => format!("out.put_bytes(&{value}, {flexible})?"),
        (Scalar::Bytes, true) => format!("out.put_nullable_bytes({value}.as_ref(), {flexible})?"),
        (Scalar::Struct(_), false) => format!("{value}.encode_part(out, version)?"),
        (Scalar::Struct(_), true) => format!(
            "match &{value} {{ None => out.put_i8(-1), Some(part) => {{ out.put_i8(1); part.encode_part(out, version)?; }} }}"
        ),
        (scalar, _) => format!("out.put_{}({value})", suffix(scalar)),
    }
}

fn encode_item(scalar: &Scalar, flexible: &str) -> String {
    match scalar {
        Scalar::String => format!("out.put_string(item, {flexible})"),
        Scalar::Bytes => format!("out.put_bytes(item, {flexible})"),
        Scalar::Struct(_) => "item.encode_part(out, version)".into(),
        scalar => format!("{{ out.put_{}(*item); Ok(()) }}", suffix(scalar)),
    }
}

pub(super) fn decode_field(field: &Field, message: &Message) -> String {
    let flexible = flexible_argument(field, message);
    if !is_nullable(field, message) {
        return decode_value(&field.kind, flexible, false);
    }
    let optional = decode_value(&field.kind, flexible, true);
    match nullable_within(field, message) {
        None => optional,
        Some(when) => format!(
            "if {when} {{ {optional} }} else {{ Some({}) }}",
            decode_value(&field.kind, flexible, false)
        ),
    }
}

fn decode_value(kind: &Type, flexible: &str, optional: bool) -> String {
    if kind.is_array {
        let item = match &kind.scalar {
            Scalar::Struct(name) => format!("{name}::decode_part(input, version)"),
            Scalar::String => format!("input.string({flexible})"),
            Scalar::Bytes => format!("input.bytes({flexible})"),
            scalar => format!("input.{}()", suffix(scalar)),
        };
        let call = if optional { "nullable_array" } else { "array" };
        return format!("input.{call}({flexible}, |input| {item})?");
    }
    match (&kind.scalar, optional) {
        (Scalar::String, false) => format!("input.string({flexible})?"),
        (Scalar::String, true) => format!("input.nullable_string({flexible})?"),
        (Scalar::Bytes, false) => format!("input.bytes({flexible})?"),
        (Scalar::Bytes, true) => format!("input.nullable_bytes({flexible})?"),
        (Scalar::Struct(name), false) => format!("{name}::decode_part(input, version)?"),
        (Scalar::Struct(name), true) => {
            format!(
                "if input.is_present()? {{ Some({name}::decode_part(input, version)?) }} else {{ None }}"
            )
        }
        (scalar, _) => format!("input.{}()?", suffix(scalar)),
    }
}

fn suffix(scalar: &Scalar) -> &'static str {
    match scalar {
        Scalar::Bool => "bool",
        Scalar::Int(name) => name,
        Scalar::Float64 => "f64",
        Scalar::Uuid => "uuid",
        Scalar::String | Scalar::Bytes | Scalar::Struct(_) => unreachable!("has its own form"),
    }
}
