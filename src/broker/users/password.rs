//! Is this the user's password? Salted hashes as RabbitMQ stores them, so that definitions move
//! between the two brokers: base64 of four salt bytes and the digest of salt and password.
//!
//! Nothing here prints a password or a hash by accident. Imports nothing of the crate.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

/// A salted hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    algorithm: HashAlgorithm,
    /// Salt, then digest.
    salted: Box<[u8]>,
}

/// How a password was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// `rabbit_password_hashing_sha256`, what new passwords get.
    Sha256,
    /// `rabbit_password_hashing_sha512`.
    Sha512,
    /// `rabbit_password_hashing_md5`, of users that were made long ago; nobody gets it anew.
    Md5,
}

/// Why a hash could not be made or taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashError {
    /// An algorithm that we do not verify; the password must be set anew.
    Unsupported(String),
    /// The text is not base64.
    NotBase64,
    /// The bytes are not as many as salt and digest take.
    WrongLength(usize),
    /// The system gave no random bytes for the salt.
    NoRandomness(getrandom::Error),
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(name) => write!(
                f,
                "password hashing algorithm '{name}' is not supported (only \
                 rabbit_password_hashing_sha256, rabbit_password_hashing_sha512 and \
                 rabbit_password_hashing_md5 are): set the password anew"
            ),
            Self::NotBase64 => write!(f, "the password hash is not base64"),
            Self::WrongLength(bytes) => write!(f, "a password hash cannot have {bytes} bytes"),
            Self::NoRandomness(error) => write!(f, "no random bytes for a salt: {error}"),
        }
    }
}

impl std::error::Error for HashError {}

impl HashAlgorithm {
    /// The algorithm of this name.
    ///
    /// # Errors
    /// When there is none, or none that we verify.
    pub fn parse(name: &str) -> Result<Self, HashError> {
        match name {
            "rabbit_password_hashing_sha256" => Ok(Self::Sha256),
            "rabbit_password_hashing_sha512" => Ok(Self::Sha512),
            "rabbit_password_hashing_md5" => Ok(Self::Md5),
            _ => Err(HashError::Unsupported(name.to_owned())),
        }
    }

    /// The name that definitions use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "rabbit_password_hashing_sha256",
            Self::Sha512 => "rabbit_password_hashing_sha512",
            Self::Md5 => "rabbit_password_hashing_md5",
        }
    }

    fn digest(self, salt: &[u8], password: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => {
                Sha256::new().chain_update(salt).chain_update(password).finalize().to_vec()
            }
            Self::Sha512 => {
                Sha512::new().chain_update(salt).chain_update(password).finalize().to_vec()
            }
            Self::Md5 => Md5::new().chain_update(salt).chain_update(password).finalize().to_vec(),
        }
    }

    fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            Self::Md5 => 16,
        }
    }
}

impl PasswordHash {
    /// Hashes a password with SHA-256 and a salt from the system.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn create(password: &[u8]) -> Result<Self, HashError> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(HashError::NoRandomness)?;
        Ok(Self::salted(HashAlgorithm::Sha256, salt, password))
    }

    /// Hashes a password with a given salt.
    pub fn salted(algorithm: HashAlgorithm, salt: [u8; SALT_BYTES], password: &[u8]) -> Self {
        let digest = algorithm.digest(&salt, password);
        Self { algorithm, salted: [&salt[..], &digest].concat().into() }
    }

    /// Takes over salt and digest as definitions write them.
    ///
    /// # Errors
    /// When the text is not base64 or of the wrong length.
    pub fn from_base64(algorithm: HashAlgorithm, text: &str) -> Result<Self, HashError> {
        let bytes = STANDARD.decode(text).map_err(|_| HashError::NotBase64)?;
        Self::from_bytes(algorithm, &bytes)
    }

    /// Takes over salt and digest.
    ///
    /// # Errors
    /// When there are not as many bytes as the algorithm makes.
    pub fn from_bytes(algorithm: HashAlgorithm, bytes: &[u8]) -> Result<Self, HashError> {
        if bytes.len() != SALT_BYTES + algorithm.digest_bytes() {
            return Err(HashError::WrongLength(bytes.len()));
        }
        Ok(Self { algorithm, salted: bytes.into() })
    }

    /// Whether the hash is of this password; takes the same time wherever the digests differ.
    pub fn verify(&self, password: &[u8]) -> bool {
        let (salt, expected) = self.salted.split_at(SALT_BYTES);
        let digest = self.algorithm.digest(salt, password);
        let difference = digest.iter().zip(expected).fold(0, |sum, (a, b)| sum | (a ^ b));
        difference == 0
    }

    /// Salt and digest as definitions write them.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.salted)
    }

    /// Salt and digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.salted
    }

    /// How the password was hashed.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({:?}, ...)", self.algorithm)
    }
}

/// How many bytes of salt go before the digest.
pub const SALT_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_and_of_no_other() {
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha512, HashAlgorithm::Md5] {
            let hash = PasswordHash::salted(algorithm, *b"salt", b"secret");
            assert!(hash.verify(b"secret"));
            assert!(!hash.verify(b"secret2") && !hash.verify(b""));
            let copy = PasswordHash::from_base64(algorithm, &hash.to_base64()).unwrap();
            assert_eq!(copy, hash);
            assert_eq!(HashAlgorithm::parse(algorithm.name()), Ok(algorithm));
        }
        let one = PasswordHash::create(b"x").unwrap();
        assert!(one.verify(b"x"));
        assert_ne!(one, PasswordHash::create(b"x").unwrap(), "each has a salt of its own");
    }

    #[test]
    fn rabbitmqs_hashes_are_understood() {
        // From RabbitMQ's documentation: salt 908D C60A, password test12.
        let text = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        let hash = PasswordHash::from_base64(HashAlgorithm::Sha256, text).unwrap();
        assert!(hash.verify(b"test12"));
        assert!(!hash.verify(b"test13"));
        // The same salt and password, made with md5sum and base64.
        let hash =
            PasswordHash::from_base64(HashAlgorithm::Md5, "kI3GChNpte2FApYFXScl+0dIluk=").unwrap();
        assert!(hash.verify(b"test12"));
        assert!(!hash.verify(b"test13"));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let refusal = |text| PasswordHash::from_base64(HashAlgorithm::Sha256, text).unwrap_err();
        assert_eq!(refusal("?"), HashError::NotBase64);
        assert_eq!(refusal("AAAA"), HashError::WrongLength(3));
        let other = HashAlgorithm::parse("rabbit_password_hashing_sha1").unwrap_err();
        assert!(other.to_string().contains("'rabbit_password_hashing_sha1' is not supported"));
    }

    #[test]
    fn debugging_prints_no_hash() {
        let hash = PasswordHash::salted(HashAlgorithm::Sha256, [0; 4], b"x");
        assert_eq!(format!("{hash:?}"), "PasswordHash(Sha256, ...)");
    }
}
