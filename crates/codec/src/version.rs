//! Version ranges, and the macro behind the generated table of API keys.

use std::fmt;

/// The versions `min..=max` of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    /// The oldest version.
    pub min: i16,
    /// The newest version.
    pub max: i16,
}

impl VersionRange {
    /// The versions `min..=max`.
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// Whether `version` is one of them.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The versions in both, or `None` where there are none.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let both = Self::new(self.min.max(other.min), self.max.min(other.max));
        (both.min <= both.max).then_some(both)
    }

    /// The versions in ascending order.
    pub fn iter(self) -> std::ops::RangeInclusive<i16> {
        self.min..=self.max
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{} to {}", self.min, self.max)
        }
    }
}

macro_rules! api_keys {
    ($($name:ident = $key:literal, $min:literal..=$max:literal, $stable:literal, $request:expr, $response:expr;)*) => {
        /// An API of Kafka: a request and its response.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        #[non_exhaustive]
        #[repr(i16)]
        pub enum ApiKey {
            $($name = $key,)*
        }

        impl ApiKey {
            /// Every API, by ascending key.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The API with this key on the wire; `None` for keys this library does not know.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name of the API.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// All versions that this library can write and read, unstable ones included.
            pub const fn versions(self) -> $crate::VersionRange {
                match self {
                    $(Self::$name => $crate::VersionRange::new($min, $max),)*
                }
            }

            /// The versions whose form is final: the ones to negotiate by default.
            pub const fn stable_versions(self) -> $crate::VersionRange {
                match self {
                    $(Self::$name => $crate::VersionRange::new($min, $stable),)*
                }
            }

            pub(crate) const fn flexible_request_from(self) -> Option<i16> {
                match self {
                    $(Self::$name => $request,)*
                }
            }

            pub(crate) const fn flexible_response_header_from(self) -> Option<i16> {
                match self {
                    $(Self::$name => $response,)*
                }
            }
        }
    };
}
pub(crate) use api_keys;

impl crate::ApiKey {
    /// The key on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The version of the request header that goes with this version of the API (KIP-482).
    pub const fn request_header_version(self, version: i16) -> i16 {
        match self.flexible_request_from() {
            Some(from) if version >= from => 2,
            _ => 1,
        }
    }

    /// The version of the response header that goes with this version of the API. Always 0 for
    /// ApiVersions, whose answer any client must be able to read (KIP-511).
    pub const fn response_header_version(self, version: i16) -> i16 {
        match self.flexible_response_header_from() {
            Some(from) if version >= from => 1,
            _ => 0,
        }
    }
}
