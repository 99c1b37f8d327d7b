//! What the accepting end writes before TLS begins: the length of its certificate's PEM
//! text in four bytes, then the text.
//!
//! Goblins writes the length in its machine's own byte order. We write little-endian,
//! which is that of nearly all of them, and read either: the cap leaves no doubt.

use std::io;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest PEM text accepted, in bytes. Goblins' has about 2,000. Below 2^16, so
/// that a length means the same however its bytes are ordered.
pub const MAX_CERTIFICATE_BYTES: usize = 0xFFFF;

pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), pem: &str) -> io::Result<()> {
    let length = u32::try_from(pem.len()).map_err(io::Error::other)?;
    let bytes = [&length.to_le_bytes(), pem.as_bytes()].concat();
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Reads the text and not a byte more.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length).min(u32::from_be_bytes(length));
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length == 0 || length > MAX_CERTIFICATE_BYTES {
        return Err(invalid("what was sent first is not the length of a certificate"));
    }
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await?;
    Ok(text)
}

/// The certificate in the text.
pub(super) fn certificate(pem: &[u8]) -> io::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem).map_err(|_| invalid("the certificate is not PEM"))
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_what_it_wrote_and_no_further() {
        let mut wire = Vec::new();
        write(&mut wire, "pem").await.unwrap();
        assert_eq!(wire, b"\x03\0\0\0pem");
        wire.push(22);
        let mut wire = wire.as_slice();
        assert_eq!(read(&mut wire).await.unwrap(), b"pem");
        assert_eq!(wire, [22]);
        assert_eq!(read(&mut b"\0\0\0\x03pem".as_slice()).await.unwrap(), b"pem");
    }

    #[tokio::test]
    async fn refuses_lengths_at_their_edge() {
        // Bytes, because each order has its own reading of them.
        for (length, fits) in [
            ([0, 0, 0, 0], false),
            ([0xFF, 0xFF, 0, 0], true),
            ([0, 0, 0xFF, 0xFF], true),
            ([0, 1, 1, 0], false),
            ([1, 0, 0, 1], false),
            ([0xFF; 4], false),
        ] {
            let mut wire = length.to_vec();
            wire.resize(4 + 0x1_0000, b'x');
            let outcome = read(&mut wire.as_slice()).await;
            assert_eq!(outcome.is_ok(), fits, "{length:?}");
        }
        let error = read(&mut b"\x09\0\0\0short".as_slice()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
