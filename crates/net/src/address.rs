//! Where a broker listens.

use std::fmt;
use std::str::FromStr;

use milena_codec::Str;

/// A host name or IP address, and a port. Kept as it was given: names are resolved anew on each
/// connect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// A host name or an IP address, an IPv6 one without brackets.
    pub host: Str,
    /// The TCP port.
    pub port: u16,
}

impl Address {
    /// The address of `port` at `host`.
    pub fn new(host: impl Into<Str>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// Reads a comma-separated list, as in `bootstrap.servers`. Spaces and empty entries are
    /// skipped; a repeated address counts once.
    ///
    /// # Errors
    ///
    /// The first entry that is not `host:port`, or a list without entries.
    pub fn parse_list(list: &str) -> Result<Vec<Self>, AddressError> {
        let mut addresses = Vec::new();
        for entry in list.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let address = entry.parse()?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(AddressError::Empty);
        }
        Ok(addresses)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = |problem| AddressError::Invalid {
            text: text.to_owned(),
            problem,
        };
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| error("the port is missing"))?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(inner)) => inner,
            Some(None) => return Err(error("the closing bracket is missing")),
            None if host.contains("://") || host.ends_with(":/") => {
                return Err(error("a listener name does not belong to it"));
            }
            None if host.contains(':') => {
                return Err(error("an IPv6 address needs brackets"));
            }
            None => host,
        };
        if host.is_empty() {
            return Err(error("the host is missing"));
        }
        if host.contains(|c: char| c.is_whitespace() || "/@[]".contains(c)) {
            return Err(error("the host contains a character that no host name has"));
        }
        match port.parse() {
            Ok(0) | Err(_) => Err(error("the port is not a number from 1 to 65535")),
            Ok(port) => Ok(Self::new(host, port)),
        }
    }
}

/// A text that is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The list has no entries.
    #[error("no broker address given; write it as host:port, for example localhost:9092")]
    Empty,
    /// An entry is not `host:port`.
    #[error(
        "{text:?} is not a broker address: {problem}; write host:port, for example localhost:9092 \
         or [::1]:9092"
    )]
    Invalid {
        /// The entry.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

#[cfg(test)]
mod tests;
