//! `tcp-tls` designators: a double SHA-256 of a certificate's PEM text, in base32.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const ALPHABET: base32::Alphabet = base32::Alphabet::Rfc4648Lower { padding: false };

/// The designator of the peer whose certificate has exactly this PEM text.
#[must_use]
pub fn of_pem(text: impl AsRef<[u8]>) -> String {
    show(&hash(text.as_ref()))
}

/// The designator in its canonical spelling, 52 characters of base32: Goblins before
/// 0.15 wrote base16. What is no `tcp-tls` designator stays as it is.
#[must_use]
pub fn canonical(designator: &str) -> Cow<'_, str> {
    match parse(designator) {
        Some(hash) => Cow::Owned(show(&hash)),
        None => Cow::Borrowed(designator),
    }
}

pub(super) fn hash(text: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(text)).into()
}

pub(crate) fn show(hash: &[u8; 32]) -> String {
    base32::encode(ALPHABET, hash)
}

/// The hash that a designator spells. Both spellings are lowercase; neither has two
/// forms of one hash.
pub(crate) fn parse(designator: &str) -> Option<[u8; 32]> {
    let hash: [u8; 32] = match designator.len() {
        52 => base32::decode(ALPHABET, designator)?.try_into().ok()?,
        64 => base16(designator)?,
        _ => return None,
    };
    // The last character of base32 has a bit to spare, which must not make a second
    // name for a peer; and decoders differ about capitals.
    let unique = designator.len() == 64 || show(&hash) == designator;
    unique.then_some(hash)
}

fn base16(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut hash = [0; 32];
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}

/// The designator of a peer that showed this certificate in TLS, where it has no text:
/// it is written as GnuTLS and OpenSSL do.
pub(super) fn of_der(certificate: &[u8]) -> String {
    of_pem(pem(certificate))
}

/// A certificate as PEM text: 64 columns, line feeds, the last one included.
pub(super) fn pem(certificate: &[u8]) -> String {
    const LINE: usize = 48;
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in certificate.chunks(LINE) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let hash = [0xA5; 32];
        let base32 = show(&hash);
        assert_eq!(base32.len(), 52);
        assert_eq!(parse(&base32), Some(hash));
        let base16 = "a5".repeat(32);
        assert_eq!(parse(&base16), Some(hash));
        assert_eq!(canonical(&base16), base32);
        assert_eq!(canonical("ada"), "ada");
        let almost = [
            base32.to_uppercase(),
            base16.to_uppercase(),
            "0".repeat(52),
            "g".repeat(64),
            // 51 zero groups, and a one in the bit to spare.
            format!("{}b", "a".repeat(51)),
            "ä".repeat(26),
            "ä".repeat(32),
            String::new(),
        ];
        for designator in almost {
            assert_eq!(parse(&designator), None, "{designator}");
        }
    }

    /// A Goblins client that shows its certificate has to get the designator that it has
    /// as a server, where the text is its own.
    #[test]
    fn a_certificate_is_written_as_gnutls_does() {
        let recorded = include_bytes!("../../tests/vectors/tcp-tls-clear-preamble.syrup");
        let (_length, text) = recorded.split_at(4);
        let der = super::super::preamble::certificate(text).unwrap();
        assert_eq!(pem(&der).as_bytes(), text);
        assert_eq!(of_der(&der), of_pem(text));
    }
}
