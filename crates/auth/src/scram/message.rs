//! The texts of SCRAM: what of their grammar Kafka uses, both directions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Secret;

/// GS2 header of a client without channel binding and without a foreign authorisation id.
pub(crate) const GS2_HEADER: &str = "n,,";

/// No honest message comes near this many bytes.
const MAX_LEN: usize = 8_192;

/// What kept a text from being the message it should be.
pub(crate) enum Flaw {
    Malformed(&'static str),
    /// `m=`, reserved for extensions that must be understood.
    MandatoryExtension,
}

impl From<&'static str> for Flaw {
    fn from(problem: &'static str) -> Self {
        Self::Malformed(problem)
    }
}

pub(crate) struct ServerFirst<'a> {
    pub(crate) nonce: &'a str,
    pub(crate) salt: Vec<u8>,
    /// `u32::MAX` for anything larger.
    pub(crate) iterations: u32,
}

impl<'a> ServerFirst<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut attributes = text.split(',');
        let nonce = attribute(
            attributes.next(),
            "r=",
            "it does not begin with a nonce (r=)",
        )?;
        let salt = attribute(attributes.next(), "s=", "no salt (s=) after the nonce")?;
        let count = attribute(attributes.next(), "i=", "no iterations (i=) after the salt")?;
        extensions(attributes)?;
        if salt.is_empty() {
            return Err("the salt is empty".into());
        }
        Ok(Self {
            nonce: printable(nonce)?,
            salt: base64(salt)?,
            iterations: iterations(count)?,
        })
    }
}

pub(crate) enum ServerFinal<'a> {
    Signature(Secret),
    Error(&'a str),
}

impl<'a> ServerFinal<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut attributes = text.split(',');
        let first = attributes.next().unwrap_or_default();
        let outcome = if let Some(error) = first.strip_prefix("e=") {
            Self::Error(error)
        } else if let Some(signature) = first.strip_prefix("v=") {
            Self::Signature(base64(signature)?.into())
        } else {
            return Err("neither a server signature (v=) nor an error (e=)".into());
        };
        extensions(attributes)?;
        Ok(outcome)
    }
}

pub(crate) struct ClientFirst<'a> {
    /// Everything before the bare message, with its last comma.
    pub(crate) gs2_header: &'a str,
    pub(crate) authorization_id: Option<String>,
    pub(crate) bare: &'a str,
    pub(crate) user: String,
    pub(crate) nonce: &'a str,
    pub(crate) token_auth: bool,
}

impl<'a> ClientFirst<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Flaw> {
        let mut parts = text.splitn(3, ',');
        if parts.next() != Some("n") {
            return Err("channel binding is not supported".into());
        }
        let authorization_id = match parts.next() {
            Some("") => None,
            id => {
                let problem = "no authorisation id (a=) in the header";
                Some(unescape(attribute(id, "a=", problem)?)?)
            }
        };
        let bare = parts.next().unwrap_or_default();
        let mut attributes = bare.split(',');
        let user = attribute(
            attributes.next(),
            "n=",
            "no user name (n=) after the header",
        )?;
        let nonce = attribute(attributes.next(), "r=", "no nonce (r=) after the user name")?;
        Ok(Self {
            gs2_header: text.strip_suffix(bare).unwrap_or_default(),
            authorization_id,
            bare,
            user: unescape(user)?,
            nonce: printable(nonce)?,
            token_auth: extensions(attributes)?,
        })
    }
}

pub(crate) struct ClientFinal<'a> {
    pub(crate) channel_binding: Vec<u8>,
    pub(crate) nonce: &'a str,
    pub(crate) without_proof: &'a str,
    pub(crate) proof: Vec<u8>,
}

impl<'a> ClientFinal<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Flaw> {
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or("no proof (p=) at its end")?;
        let mut attributes = without_proof.split(',');
        let binding = attribute(attributes.next(), "c=", "no channel binding (c=)")?;
        let nonce = attribute(attributes.next(), "r=", "no nonce (r=)")?;
        extensions(attributes)?;
        Ok(Self {
            channel_binding: base64(binding)?,
            nonce: printable(nonce)?,
            without_proof,
            proof: base64(proof)?,
        })
    }
}

/// Bytes of a peer as text.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Flaw> {
    if bytes.len() > MAX_LEN {
        return Err("it is longer than 8 KiB".into());
    }
    std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".into())
}

/// A user name in SCRAM's escaping.
pub(crate) fn escape(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C")
}

/// As strict as Kafka: ASCII without NUL, and `=` only in its two escapes.
fn unescape(name: &str) -> Result<String, Flaw> {
    if name.is_empty() {
        return Err("the name is empty".into());
    }
    if !name.bytes().all(|byte| matches!(byte, 0x01..=0x7f)) {
        return Err("the name holds a byte that is not allowed".into());
    }
    let mut pieces = name.split('=');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (character, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err("the name holds an unknown escape".into()),
        };
        plain.push(character);
        plain.push_str(rest);
    }
    Ok(plain)
}

fn attribute<'a>(
    found: Option<&'a str>,
    name: &str,
    problem: &'static str,
) -> Result<&'a str, Flaw> {
    let found = found.unwrap_or_default();
    if found.starts_with("m=") {
        return Err(Flaw::MandatoryExtension);
    }
    Ok(found.strip_prefix(name).ok_or(problem)?)
}

/// Optional extensions are ignored except for Kafka's own: whether `tokenauth=true` is there.
fn extensions<'a>(attributes: impl Iterator<Item = &'a str>) -> Result<bool, Flaw> {
    let mut token_auth = false;
    for attribute in attributes {
        let (name, value) = attribute
            .split_once('=')
            .ok_or("an extension has no value")?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err("an extension's name is not made of letters".into());
        }
        token_auth |= name == "tokenauth" && value.eq_ignore_ascii_case("true");
    }
    Ok(token_auth)
}

fn printable(nonce: &str) -> Result<&str, Flaw> {
    let legal = !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic());
    if legal {
        Ok(nonce)
    } else {
        Err("the nonce is empty or not printable".into())
    }
}

fn base64(text: &str) -> Result<Vec<u8>, Flaw> {
    STANDARD
        .decode(text)
        .map_err(|_| "an attribute is not base64".into())
}

fn iterations(count: &str) -> Result<u32, Flaw> {
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the iteration count is not a number".into());
    }
    Ok(count.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
