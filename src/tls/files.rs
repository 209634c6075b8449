//! How are certificates and keys read, and what is wrong with a file?

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A file that is of no use, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError(String);

impl LoadError {
    /// What is wrong with the file at `path`.
    pub fn of(path: &Path, what: &str, problem: impl fmt::Display) -> Self {
        Self(format!("the {what} {}: {problem}", path.display()))
    }

    /// What is wrong with the settings themselves.
    pub fn of_settings(problem: impl fmt::Display) -> Self {
        Self(problem.to_string())
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

/// What tells that a file is another one than it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub path: PathBuf,
    /// Device, inode, size, and when it changed; `None`: it cannot be looked at.
    state: Option<(u64, u64, u64, i64, i64)>,
}

impl Stamp {
    /// Looks at a file.
    pub fn of(path: &Path) -> Self {
        let state = fs::metadata(path).ok().map(|found| {
            (found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec())
        });
        Self { path: path.to_owned(), state }
    }
}

/// Far more than any bundle of CAs has.
const FILE_BYTES_MAX: u64 = 4 << 20;

const ADVICE: [(ErrorKind, &str); 2] = [
    (ErrorKind::PermissionDenied, "; let the broker's user read it"),
    (ErrorKind::NotFound, "; put it there or correct the path"),
];

fn read(path: &Path, what: &str) -> Result<Vec<u8>, LoadError> {
    let failed = |error: std::io::Error| {
        let advice = ADVICE.iter().find(|(kind, _)| *kind == error.kind());
        let advice = advice.map_or("", |(_, advice)| advice);
        LoadError::of(path, what, format!("cannot be read: {error}{advice}"))
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let problem = format!("is larger than {FILE_BYTES_MAX} bytes");
        return Err(LoadError::of(path, what, problem));
    }
    Ok(bytes)
}

/// The certificates in a file, one at least.
pub fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let bytes = read(path, what)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = read.map_err(|error| {
        LoadError::of(path, what, format!("is not PEM: {error}; it has to be a certificate in PEM"))
    })?;
    if found.is_empty() {
        let hint = if contains(&bytes, b"PRIVATE KEY-----") {
            "there is a key in it, and no certificate; are certfile and keyfile swapped?"
        } else {
            "there is no certificate in it; it has to be in PEM, with -----BEGIN CERTIFICATE-----"
        };
        return Err(LoadError::of(path, what, hint));
    }
    Ok(found)
}

/// The key in a file.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, LoadError> {
    let what = "key file";
    let bytes = read(path, what)?;
    let is_encrypted =
        contains(&bytes, b"BEGIN ENCRYPTED PRIVATE KEY") || contains(&bytes, b"4,ENCRYPTED");
    if is_encrypted {
        let problem = format!(
            "is encrypted with a password, which is not supported; decrypt it with 'openssl pkey \
             -in {}' into a file that only the broker's user may read",
            path.display()
        );
        return Err(LoadError::of(path, what, problem));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let hint = if contains(&bytes, b"BEGIN CERTIFICATE-----") {
            "there is a certificate in it, and no key; are certfile and keyfile swapped?".to_owned()
        } else {
            let wanted = "it has to be in PEM, with -----BEGIN PRIVATE KEY-----";
            format!("there is no key in it ({error}); {wanted}")
        };
        LoadError::of(path, what, hint)
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
