//! Where to connect when brokers advertise addresses that cannot be reached from here: SSH tunnels,
//! forwarded ports, proxies, PrivateLink.
//!
//! - I1: the advertised address stays the broker's name everywhere else: in errors and metadata, and
//!   as the name that TLS verifies, unless the way names another.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use milena_codec::Str;

use crate::Address;

/// From advertised addresses to ways to reach them. Empty by default: brokers are reached where they
/// say.
///
/// The most specific entry counts: host and port, then the host with any port, then the longest
/// `*.domain`, then `*`; and at each of these, one with the port before one without.
///
/// As a text, entries are separated by commas: `ADVERTISED=TARGET`, where `ADVERTISED` is
/// `host:port`, `host`, `*.domain`, `*.domain:port`, `*:port` or `*`, and `TARGET` is `host:port`,
/// `host` (with the advertised port) or `*:port` (at the advertised host), with `@name` behind it if
/// TLS shall verify `name` instead of the advertised host. For example
/// `broker1:9092=localhost:19092, *.internal=tunnel.example`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap {
    entries: BTreeMap<Pattern, Way>,
}

/// How to reach a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Where to connect; the advertised host if `None`.
    pub host: Option<Str>,
    /// The port to connect to; the advertised one if `None`.
    pub port: Option<u16>,
    /// The name for TLS to verify; the advertised host if `None`.
    pub server_name: Option<Str>,
}

impl Way {
    /// By this address.
    pub fn to(address: Address) -> Self {
        Self {
            host: Some(address.host),
            port: Some(address.port),
            server_name: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pattern {
    host: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hosts {
    One(Str),
    /// With the leading dot.
    Under(Str),
    All,
}

impl AddressMap {
    /// No entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry for one advertised address; one that is there already is replaced.
    #[must_use]
    pub fn with(mut self, advertised: &Address, way: Way) -> Self {
        let pattern = Pattern {
            host: Hosts::One(lower(&advertised.host)),
            port: Some(advertised.port),
        };
        self.entries.insert(pattern, way);
        self
    }

    /// Adds an entry for all addresses at an advertised host, or at all hosts if it is `*`, or at
    /// those below a domain if it begins with `*.`.
    #[must_use]
    pub fn with_host(mut self, advertised: &str, way: Way) -> Self {
        let host = Hosts::new(advertised);
        self.entries.insert(Pattern { host, port: None }, way);
        self
    }

    /// How to reach a broker that advertises this address; `None` if directly.
    pub fn way(&self, advertised: &Address) -> Option<&Way> {
        if self.entries.is_empty() {
            return None;
        }
        let host = lower(&advertised.host);
        let domains = host.match_indices('.').map(|(at, _)| &host[at..]);
        let hosts = std::iter::once(Hosts::One(host.clone()))
            .chain(domains.map(|domain| Hosts::Under(domain.into())))
            .chain(std::iter::once(Hosts::All));
        hosts.into_iter().find_map(|host| {
            let at = |port| {
                let host = host.clone();
                self.entries.get(&Pattern { host, port })
            };
            at(Some(advertised.port)).or_else(|| at(None))
        })
    }

    /// Where to connect to reach a broker that advertises this address.
    pub fn target(&self, advertised: &Address) -> Address {
        match self.way(advertised) {
            None => advertised.clone(),
            Some(way) => Address {
                host: way.host.clone().unwrap_or_else(|| advertised.host.clone()),
                port: way.port.unwrap_or(advertised.port),
            },
        }
    }
}

impl Hosts {
    fn new(text: &str) -> Self {
        match text.strip_prefix('*') {
            Some("") => Self::All,
            Some(domain) if domain.starts_with('.') => Self::Under(lower(domain)),
            _ => Self::One(lower(text)),
        }
    }
}

/// Names of hosts do not tell capitals from small letters.
fn lower(host: &str) -> Str {
    host.to_ascii_lowercase().into()
}

impl FromStr for AddressMap {
    type Err = AddressMapError;

    fn from_str(text: &str) -> Result<Self, AddressMapError> {
        let mut map = Self::new();
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let (pattern, way) = parse(entry).map_err(|problem| AddressMapError {
                text: entry.to_owned(),
                problem,
            })?;
            if map.entries.insert(pattern, way).is_some() {
                return Err(AddressMapError {
                    text: entry.to_owned(),
                    problem: "there is another entry for the same address",
                });
            }
        }
        Ok(map)
    }
}

fn parse(entry: &str) -> Result<(Pattern, Way), &'static str> {
    let (advertised, target) = entry.split_once('=').ok_or("the = is missing")?;
    let (host, port) = host_and_port(advertised.trim())?;
    let host = Hosts::new(host);
    if matches!(&host, Hosts::One(name) if name.contains('*')) {
        return Err("a * stands for a whole host, or for what is before a domain");
    }
    let (target, server_name) = match target.trim().split_once('@') {
        Some((_, "")) => return Err("the name after the @ is missing"),
        Some((target, name)) => (target, Some(Str::from(name))),
        None => (target.trim(), None),
    };
    let (to, to_port) = host_and_port(target)?;
    let to = match to {
        "*" => None,
        name if name.contains('*') => return Err("a * in the target stands for the whole host"),
        name => Some(Str::from(name)),
    };
    let way = Way {
        host: to,
        port: to_port,
        server_name,
    };
    Ok((Pattern { host, port }, way))
}

/// Splits `host`, `host:port` or `host:*`, the host being an IPv6 address in brackets, too.
fn host_and_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner
            .split_once(']')
            .ok_or("the closing bracket is missing")?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if host.is_empty() {
        return Err("a host is missing");
    }
    if host.contains(|c: char| c.is_whitespace() || "/@[]=".contains(c)) {
        return Err("a host contains a character that no host name has");
    }
    match rest.strip_prefix(':') {
        Some("*") => Ok((host, None)),
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => Err("a port is not a number from 1 to 65535"),
            Ok(port) => Ok((host, Some(port))),
        },
        None if rest.is_empty() => Ok((host, None)),
        None => Err("an IPv6 address needs brackets"),
    }
}

/// A text that is not an [`AddressMap`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} does not map an address: {problem}; write ADVERTISED=TARGET, for example \
     broker1:9092=localhost:19092 or *=localhost"
)]
pub struct AddressMapError {
    /// The entry.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for AddressMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (pattern, way)) in self.entries.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let host = match &pattern.host {
                Hosts::One(host) => bracketed(host),
                Hosts::Under(domain) => format!("*{domain}"),
                Hosts::All => "*".to_owned(),
            };
            let to = way.host.as_deref().map_or("*".to_owned(), bracketed);
            write!(
                f,
                "{comma}{host}{}={to}{}",
                Port(pattern.port),
                Port(way.port)
            )?;
            if let Some(name) = &way.server_name {
                write!(f, "@{name}")?;
            }
        }
        Ok(())
    }
}

fn bracketed(host: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}

struct Port(Option<u16>);

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests;
