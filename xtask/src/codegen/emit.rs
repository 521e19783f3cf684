//! Rust for one message: its structs, their defaults, and one encoder and one decoder each.

use std::fmt::Write;

use super::field::{default_is_natural, default_value, differs, is_tagged, rust_type};
use super::schema::{Kind, Message, Struct, Versions};
use super::value::{decode_field, encode_field};

/// The source of the module of one message.
pub(super) fn module(message: &Message, response: Option<&str>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "//! {}\n", summary(message));
    let _ = writeln!(
        out,
        "#[allow(clippy::wildcard_imports)]\nuse crate::runtime::*;\n"
    );
    for (index, part) in message.structs.iter().enumerate() {
        emit_struct(&mut out, message, part, index == 0);
    }
    emit_message_impl(&mut out, message, response);
    out
}

fn summary(message: &Message) -> String {
    let Versions { min, max } = message.versions;
    let range = if min == max {
        format!("version {min}")
    } else {
        format!("versions {min} to {max}")
    };
    let unstable = if message.latest_unstable {
        ", the last one unstable"
    } else {
        ""
    };
    let flexible = message.flexible.intersect(message.versions);
    let flexible = if flexible.is_empty() {
        "never flexible".to_owned()
    } else {
        format!("flexible from {}", flexible.min)
    };
    match message.api_key {
        Some(key) => format!(
            "`{}`: API key {key}, {range}{unstable}, {flexible}.",
            message.name
        ),
        None => format!("`{}`: {range}, {flexible}.", message.name),
    }
}

fn emit_struct(out: &mut String, message: &Message, part: &Struct, is_root: bool) {
    let name = &part.name;
    let has_tags = !message.flexible.intersect(message.versions).is_empty();
    let natural = part.fields.iter().all(|f| default_is_natural(f, message));
    let derive_default = if natural { ", Default" } else { "" };
    let doc = if is_root {
        summary(message)
    } else {
        format!("A part of [`{}`].", message.name)
    };
    let _ = writeln!(
        out,
        "/// {doc}\n#[derive(Clone, Debug, PartialEq{derive_default})]"
    );
    let _ = writeln!(out, "#[allow(missing_docs)]\npub struct {name} {{");
    for field in &part.fields {
        let _ = writeln!(
            out,
            "pub {}: {},",
            ident(&field.name),
            rust_type(field, message)
        );
    }
    if has_tags {
        let _ = writeln!(out, "pub unknown_tagged_fields: TaggedFields,");
    }
    let _ = writeln!(out, "}}\n");
    if !natural {
        let _ = writeln!(
            out,
            "impl Default for {name} {{ fn default() -> Self {{ Self {{"
        );
        for field in &part.fields {
            let _ = writeln!(
                out,
                "{}: {},",
                ident(&field.name),
                default_value(field, message)
            );
        }
        if has_tags {
            let _ = writeln!(out, "unknown_tagged_fields: TaggedFields::default(),");
        }
        let _ = writeln!(out, "}} }} }}\n");
    }
    let _ = writeln!(out, "impl {name} {{");
    emit_encode(out, message, part, has_tags);
    emit_decode(out, message, part, has_tags);
    let _ = writeln!(out, "}}\n");
    if part.fields.iter().any(|f| is_tagged(f, message)) {
        emit_tagged(out, message, part);
    }
}

fn emit_encode(out: &mut String, message: &Message, part: &Struct, has_tags: bool) {
    let mut body = String::new();
    for field in &part.fields {
        let condition = field.versions.condition(message.versions);
        let write = if is_tagged(field, message) {
            String::new()
        } else {
            encode_field(field, message)
        };
        let refusal = (!field.ignorable).then(|| {
            format!(
                "if {} {{ return Err(EncodeError::unsupported(\"{}\", version)); }}",
                differs(field, message),
                field.name
            )
        });
        match (condition, refusal) {
            (None, _) => body.push_str(&write),
            (Some(when), Some(refuse)) if write.is_empty() => {
                let _ = write!(body, "if !({when}) {{ {refuse} }}");
            }
            (Some(when), None) if write.is_empty() => drop(when),
            (Some(when), Some(refuse)) => {
                let _ = write!(body, "if {when} {{ {write} }} else {refuse}");
            }
            (Some(when), None) => {
                let _ = write!(body, "if {when} {{ {write} }}");
            }
        }
        body.push('\n');
    }
    if has_tags {
        let tagged: Vec<_> = part
            .fields
            .iter()
            .filter(|f| is_tagged(f, message))
            .collect();
        let call = if tagged.is_empty() {
            "out.put_unknown_tagged_fields(&self.unknown_tagged_fields)?;".to_owned()
        } else {
            let known: Vec<_> = tagged
                .iter()
                .map(|f| {
                    let when = f
                        .versions
                        .condition(message.versions)
                        .map_or(String::new(), |c| format!("{c} && "));
                    format!(
                        "({}, {when}{})",
                        f.tag.unwrap_or_default(),
                        differs(f, message)
                    )
                })
                .collect();
            format!(
                "out.put_tagged_fields(self, version, &[{}], &self.unknown_tagged_fields)?;",
                known.join(", ")
            )
        };
        match message.flexible.condition(message.versions) {
            None => body.push_str(&call),
            Some(_) => {
                let _ = write!(
                    body,
                    "if flexible {{ {call} }} else if !self.unknown_tagged_fields.is_empty() {{ return Err(EncodeError::unsupported(\"unknown_tagged_fields\", version)); }}"
                );
            }
        }
    }
    let _ = writeln!(
        out,
        "fn encode_part<S: Sink>(&self, {}: &mut S, {}: i16) -> Result<(), EncodeError> {{ {}\n{body}\nOk(()) }}\n",
        argument("out", &body),
        argument(
            "version",
            &format!("{}{body}", flexible_binding(message, &body))
        ),
        flexible_binding(message, &body),
    );
}

fn emit_decode(out: &mut String, message: &Message, part: &Struct, has_tags: bool) {
    let mut body = String::new();
    for field in part.fields.iter().filter(|f| !is_tagged(f, message)) {
        let read = decode_field(field, message);
        let name = local(&field.name);
        match field.versions.condition(message.versions) {
            None => writeln!(body, "let {name} = {read};"),
            Some(when) => {
                writeln!(
                    body,
                    "let {name} = if {when} {{ {read} }} else {{ {} }};",
                    default_value(field, message)
                )
            }
        }
        .ok();
    }
    let tagged: Vec<_> = part
        .fields
        .iter()
        .filter(|f| is_tagged(f, message))
        .collect();
    for field in &tagged {
        let _ = writeln!(
            body,
            "let mut {} = {};",
            local(&field.name),
            default_value(field, message)
        );
    }
    if has_tags {
        let read = if tagged.is_empty() {
            "input.unknown_tagged_fields()?".to_owned()
        } else {
            let arms: String = tagged
                .iter()
                .map(|f| {
                    let when = f
                        .versions
                        .condition(message.versions)
                        .map_or(String::new(), |c| format!(" if {c}"));
                    format!(
                        "{}{when} => {} = {},\n",
                        f.tag.unwrap_or_default(),
                        local(&f.name),
                        decode_field(f, message)
                    )
                })
                .collect();
            format!(
                "input.tagged_fields(|tag, input| {{ match tag {{ {arms} _ => return Ok(false), }} Ok(true) }})?"
            )
        };
        let _ = match message.flexible.condition(message.versions) {
            None => writeln!(body, "let unknown_tagged_fields = {read};"),
            Some(_) => writeln!(
                body,
                "let unknown_tagged_fields = if flexible {{ {read} }} else {{ TaggedFields::default() }};"
            ),
        };
    }
    let mut names: Vec<_> = part
        .fields
        .iter()
        .map(|f| match (ident(&f.name), local(&f.name)) {
            (name, local) if name == local => name,
            (name, local) => format!("{name}: {local}"),
        })
        .collect();
    if has_tags {
        names.push("unknown_tagged_fields".into());
    }
    let _ = writeln!(
        out,
        "fn decode_part({}: &mut Reader, {}: i16) -> Result<Self, Malformed> {{ {}\n{body}\nOk(Self {{ {} }}) }}",
        argument("input", &body),
        argument(
            "version",
            &format!("{}{body}", flexible_binding(message, &body))
        ),
        flexible_binding(message, &body),
        names.join(", ")
    );
}

fn emit_tagged(out: &mut String, message: &Message, part: &Struct) {
    let arms: String = part
        .fields
        .iter()
        .filter(|f| is_tagged(f, message))
        .map(|f| {
            format!(
                "{} => {{ {} }}\n",
                f.tag.unwrap_or_default(),
                encode_field(f, message)
            )
        })
        .collect();
    let binding = flexible_binding(message, &arms);
    let _ = writeln!(
        out,
        "impl EncodeTag for {} {{ fn encode_tag<S: Sink>(&self, tag: u32, out: &mut S, {}: i16) -> Result<(), EncodeError> {{ {binding} match tag {{ {arms} _ => {{}} }} Ok(()) }} }}\n",
        part.name,
        argument("version", &format!("{binding}{arms}")),
    );
}

fn emit_message_impl(out: &mut String, message: &Message, response: Option<&str>) {
    let Versions { min, max } = message.versions;
    let name = &message.name;
    let flexible = message.flexible.intersect(message.versions);
    let flexible = if flexible.is_empty() {
        "None".to_owned()
    } else {
        format!("Some({})", flexible.min)
    };
    let _ = writeln!(
        out,
        "impl Message for {name} {{
    const NAME: &'static str = \"{name}\";
    const VERSIONS: VersionRange = VersionRange::new({min}, {max});
    const FLEXIBLE_FROM: Option<i16> = {flexible};
    fn encode_body<S: Sink>(&self, out: &mut S, version: i16) -> Result<(), EncodeError> {{ self.encode_part(out, version) }}
    fn decode_body(input: &mut Reader, version: i16) -> Result<Self, Malformed> {{ Self::decode_part(input, version) }}
}}\n"
    );
    if let (Kind::Request, Some(response)) = (message.kind, response) {
        let key = name.trim_end_matches("Request");
        let _ = writeln!(
            out,
            "impl Request for {name} {{ const KEY: ApiKey = ApiKey::{key}; type Response = super::{response}; }}"
        );
    }
}

fn flexible_binding(message: &Message, body: &str) -> String {
    match message.flexible.condition(message.versions) {
        Some(when) if uses(body, "flexible") => format!("let flexible = {when};"),
        _ => String::new(),
    }
}

/// The name of a parameter, with an underscore when the body does not use it.
fn argument(name: &str, body: &str) -> String {
    if uses(body, name) {
        name.into()
    } else {
        format!("_{name}")
    }
}

fn uses(body: &str, word: &str) -> bool {
    body.replace(&format!("self.{word}"), "")
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|token| token == word)
}

/// The name of a local variable for a field, which must not shadow a parameter.
fn local(name: &str) -> String {
    match ident(name).as_str() {
        taken @ ("version" | "input" | "out" | "flexible" | "tag") => format!("{taken}_field"),
        free => free.to_owned(),
    }
}

/// A field name in Rust's style.
pub(super) fn ident(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (at, &c) in chars.iter().enumerate() {
        let after_lower = at > 0 && !chars[at - 1].is_uppercase();
        let before_lower = at > 0 && chars.get(at + 1).is_some_and(|n| n.is_lowercase());
        if c.is_uppercase() && (after_lower || before_lower) {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    match out.as_str() {
        "type" | "match" => format!("r#{out}"),
        _ => out,
    }
}
