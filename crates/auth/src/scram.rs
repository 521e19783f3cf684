//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), as Kafka speaks them: no channel binding,
//! no preparation of strings, and `tokenauth=true` to log in with a delegation token (KIP-48).

mod client;
pub(crate) mod message;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

pub use client::ScramCredentials;

use crate::{AuthError, Secret};

/// The fewest iterations accepted; also Kafka's own minimum.
pub const MIN_ITERATIONS: u32 = 4_096;

/// The most iterations accepted: some 0.2 s of CPU. Kafka itself stores at most 16,384.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Above this many iterations a step counts as heavy ([`crate::Mechanism::is_heavy`]): some 2 ms.
pub const HEAVY_ITERATIONS: u32 = 16_384;

/// The hash function of a SCRAM mechanism.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScramHash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl ScramHash {
    /// The SASL name of the mechanism.
    #[must_use]
    pub const fn mechanism_name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The salted password: what `AlterUserScramCredentials` (KIP-554) sends in place of the
    /// password. Costs `iterations` rounds of hashing.
    ///
    /// # Errors
    ///
    /// [`AuthError::IterationsOutOfRange`].
    pub fn salted_password(
        self,
        password: &Secret,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Secret, AuthError> {
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            // I2
            return Err(AuthError::IterationsOutOfRange {
                mechanism: self.mechanism_name(),
                iterations,
            });
        }
        let mut salted = Secret::zeroed(self.output_len());
        let (password, out) = (password.expose(), salted.expose_mut());
        match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, out),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, out),
        }
        Ok(salted)
    }

    pub(crate) const fn output_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    pub(crate) fn client_key(self, salted_password: &Secret) -> Secret {
        self.hmac(salted_password, b"Client Key")
    }

    pub(crate) fn server_key(self, salted_password: &Secret) -> Secret {
        self.hmac(salted_password, b"Server Key")
    }

    pub(crate) fn digest(self, bytes: &Secret) -> Secret {
        match self {
            Self::Sha256 => Secret::new(Sha256::digest(bytes.expose()).to_vec()),
            Self::Sha512 => Secret::new(Sha512::digest(bytes.expose()).to_vec()),
        }
    }

    pub(crate) fn hmac(self, key: &Secret, message: &[u8]) -> Secret {
        match self {
            Self::Sha256 => hmac::<Sha256>(key, message),
            Self::Sha512 => hmac::<Sha512>(key, message),
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "HMAC is defined for keys of every length"
)]
fn hmac<D: EagerHash>(key: &Secret, message: &[u8]) -> Secret {
    let mut mac = Hmac::<D>::new_from_slice(key.expose()).expect("HMAC takes a key of any length");
    mac.update(message);
    Secret::new(mac.finalize().into_bytes().to_vec())
}

/// Byte-wise exclusive or, as long as the shorter one.
pub(crate) fn xor(left: &Secret, right: &Secret) -> Secret {
    let pairs = left.expose().iter().zip(right.expose());
    Secret::new(pairs.map(|(l, r)| l ^ r).collect())
}

/// What a broker stores of a user's password, under one mechanism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramCredential {
    hash: ScramHash,
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Secret,
    server_key: Secret,
}

impl ScramCredential {
    /// Derives the credential from a password; the salt should be random and at least 16 bytes.
    ///
    /// # Errors
    ///
    /// [`AuthError::IterationsOutOfRange`], and [`AuthError::InvalidCredentials`] if the salt is
    /// empty.
    pub fn derive(
        hash: ScramHash,
        password: &Secret,
        salt: impl Into<Vec<u8>>,
        iterations: u32,
    ) -> Result<Self, AuthError> {
        let salt = salt.into();
        let salted = hash.salted_password(password, &salt, iterations)?;
        Self::from_salted_password(hash, &salted, salt, iterations)
    }

    /// The credential for a password that was salted elsewhere, as `AlterUserScramCredentials`
    /// brings it.
    ///
    /// # Errors
    ///
    /// As [`derive`](Self::derive).
    pub fn from_salted_password(
        hash: ScramHash,
        salted_password: &Secret,
        salt: impl Into<Vec<u8>>,
        iterations: u32,
    ) -> Result<Self, AuthError> {
        let (mechanism, salt) = (hash.mechanism_name(), salt.into());
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(AuthError::IterationsOutOfRange {
                mechanism,
                iterations,
            });
        }
        if salt.is_empty() {
            return Err(AuthError::InvalidCredentials {
                mechanism,
                problem: "the salt is empty",
            });
        }
        Ok(Self {
            hash,
            salt,
            iterations,
            stored_key: hash.digest(&hash.client_key(salted_password)),
            server_key: hash.server_key(salted_password),
        })
    }

    /// The mechanism it belongs to.
    #[must_use]
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// How many rounds the password was hashed.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt, which is public.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The server-first message that begins an exchange under this credential.
    pub(crate) fn server_first(&self, nonce: &str) -> String {
        format!(
            "r={nonce},s={},i={}",
            STANDARD.encode(&self.salt),
            self.iterations
        )
    }

    /// The server signature, if the proof shows knowledge of the password.
    pub(crate) fn verify(&self, proof: Vec<u8>, auth_message: &[u8]) -> Option<Secret> {
        if proof.len() != self.hash.output_len() {
            return None;
        }
        let client_signature = self.hash.hmac(&self.stored_key, auth_message);
        let client_key = xor(&Secret::new(proof), &client_signature);
        (self.hash.digest(&client_key) == self.stored_key)
            .then(|| self.hash.hmac(&self.server_key, auth_message))
    }
}

#[cfg(test)]
mod tests;
