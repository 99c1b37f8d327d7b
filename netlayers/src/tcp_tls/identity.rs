//! A node's `tcp-tls` identity: a key, its certificate and the file that keeps both,
//! so that they can't come apart.

use std::path::Path;

use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::{designator, verify};
use crate::key_file::{self, IdentityError};

/// The file in an identity's directory.
const FILE: &str = "identity.pem";

/// Who we are on `tcp-tls`: a private key and a self-signed certificate for it.
pub struct Identity {
    certificate: CertificateDer<'static>,
    pem: String,
    key: PrivateKeyDer<'static>,
    designator: String,
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
        key_file::load_or_create(directory.as_ref(), FILE, generate_pem, parse)
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
