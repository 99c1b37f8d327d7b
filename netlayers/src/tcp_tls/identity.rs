//! A node's `tcp-tls` identity: a key, its certificate and the file that keeps both.
//!
//! One file holds both, so that they can't come apart. It is written elsewhere first
//! and then linked into place, which only the first of several processes can do; the
//! others read what that one wrote. An existing file is never written to.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::{designator, verify};

/// The file in an identity's directory.
const FILE: &str = "identity.pem";

/// More than any key and certificate need.
const MAX_FILE_BYTES: u64 = 128 * 1024;

/// Who we are on `tcp-tls`: a private key and a self-signed certificate for it.
pub struct Identity {
    certificate: CertificateDer<'static>,
    pem: String,
    key: PrivateKeyDer<'static>,
    designator: String,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file or directory can't be read or made.
    #[error("{path:?}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read or write the key file.
    #[error("{path:?} has mode {mode:04o}, so others may use the key: chmod 600 it")]
    FileMode {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others than the owner may write to the directory, and so replace the key.
    #[error("{path:?} has mode {mode:04o}, so others may replace the key in it: chmod 700 it")]
    DirectoryMode {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no key and certificate. It is left as it is.
    #[error("{path:?} is no identity: {reason}")]
    Corrupt {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The text holds no key and certificate.
    #[error("this is no identity: {0}")]
    BadPem(String),
    /// A key could not be made.
    #[error("can't make a key: {0}")]
    Generate(String),
}

impl Identity {
    /// A new identity, kept nowhere.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Generate`] if the system has no randomness to give.
    pub fn generate() -> Result<Self, IdentityError> {
        let text = generate_pem()?;
        Self::from_pem(&text)
    }

    /// The identity kept in `directory`, made there if there is none. The directory is
    /// made too, mode 0700, and the file has mode 0600. Processes that do this at the
    /// same time get the same identity. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if others may read the file or write to the directory, if the
    /// file is no identity, or if the file system fails. What exists is never changed.
    pub fn load_or_create(directory: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let directory = directory.as_ref();
        make_private_directory(directory)?;
        let path = directory.join(FILE);
        if let Some(identity) = Self::load(&path)? {
            return Ok(identity);
        }
        let text = generate_pem()?;
        write_once(directory, &path, text.as_bytes())?;
        Self::load(&path)?
            .ok_or_else(|| IdentityError::Io { path, source: io::ErrorKind::NotFound.into() })
    }

    /// An identity from the PEM text of a certificate and a private key, in any order.
    ///
    /// # Errors
    ///
    /// [`IdentityError::BadPem`] if either is missing or of an unknown kind, or if they
    /// don't belong together.
    pub fn from_pem(text: &str) -> Result<Self, IdentityError> {
        parse(text.as_bytes()).map_err(IdentityError::BadPem)
    }

    /// The name under which others know us.
    #[must_use]
    pub fn designator(&self) -> &str {
        &self.designator
    }

    /// The certificate's PEM text, byte for byte what is sent and hashed.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn for_tls(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (vec![self.certificate.clone()], self.key.clone_key())
    }

    fn load(path: &Path) -> Result<Option<Self>, IdentityError> {
        let failed = |source| IdentityError::Io { path: path.to_owned(), source };
        let corrupt = |reason: String| IdentityError::Corrupt { path: path.to_owned(), reason };
        // Looked at before opening, for opening a pipe would wait for its writer.
        match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A link to nowhere is a mistake to be told, not a place to write to.
                return match path.symlink_metadata() {
                    Ok(_) => Err(failed(error)),
                    Err(_) => Ok(None),
                };
            }
            Err(error) => return Err(failed(error)),
            Ok(metadata) if !metadata.is_file() => {
                return Err(corrupt("it is not a regular file".into()));
            }
            Ok(_) => {}
        }
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::FileMode { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(Vec::new());
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(corrupt(format!("it has more than {MAX_FILE_BYTES} bytes")));
        }
        parse(&text).map(Some).map_err(corrupt)
    }
}

/// Names the peer and hides the key.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.designator)
    }
}

fn parse(text: &[u8]) -> Result<Identity, String> {
    let certificate = CertificateDer::from_pem_slice(text)
        .map_err(|error| format!("no certificate can be read from it ({error})"))?;
    let key = PrivateKeyDer::from_pem_slice(text)
        .map_err(|error| format!("no private key can be read from it ({error})"))?;
    // Checks that the key is of a kind we can use and belongs to the certificate.
    CertifiedKey::from_der(vec![certificate.clone()], key.clone_key(), &verify::provider())
        .map_err(|error| format!("its key and certificate don't fit together ({error})"))?;
    let pem = designator::pem(&certificate);
    let designator = designator::of_pem(&pem);
    Ok(Identity { certificate, pem, key, designator })
}

/// A fresh key and certificate. Goblins has GnuTLS check the certificate: it must be no
/// authority, good for signing, and expire before 32-bit time does. ECDSA on P-256 is
/// what every TLS library has.
fn generate_pem() -> Result<Zeroizing<String>, IdentityError> {
    let failed = |error: rcgen::Error| IdentityError::Generate(error.to_string());
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new([]).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "CapTP");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Fixed, so that a clock that is wrong on its first day does no lasting harm.
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2038, 1, 1);
    let certificate = params.self_signed(&key).map_err(failed)?;
    let mut text = Zeroizing::new(designator::pem(certificate.der()));
    text.push_str(&Zeroizing::new(key.serialize_pem()));
    Ok(text)
}

fn make_private_directory(path: &Path) -> Result<(), IdentityError> {
    let failed = |source| IdentityError::Io { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let mode = path.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(IdentityError::DirectoryMode { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Puts a complete file at `path`, unless another process did so first.
fn write_once(directory: &Path, path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| IdentityError::Generate(error.to_string()))?;
    let draft = directory.join(format!(".{FILE}.{:016x}", u64::from_ne_bytes(random)));
    let outcome =
        write_draft(&draft, bytes).and_then(|()| match std::fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let _gone_or_harmless = std::fs::remove_file(&draft);
    outcome
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(|source| IdentityError::Io { path: path.to_owned(), source })
}

fn write_draft(draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}
