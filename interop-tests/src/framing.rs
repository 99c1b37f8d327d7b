//! Netlayers whose messages have their length before them.

use ocapn::netlayers::{
    Framing, Identities, ListenAddress, ListenError, Netlayer, TcpOptions, TcpTestingOnly,
};

/// What `--framed` stands for.
#[must_use]
pub const fn framing(framed: bool) -> Framing {
    if framed { Framing::LengthPrefixed } else { Framing::RawSyrup }
}

/// Listens there, with that framing over tcp-testing-only.
///
/// # Errors
///
/// If the address can't be listened on, or the identity can't be had.
pub async fn listen(
    address: &ListenAddress,
    identities: &Identities,
    framing: Framing,
) -> Result<Box<dyn Netlayer>, ListenError> {
    let ListenAddress::TcpTestingOnly(address) = address else {
        return address.listen(None, identities).await;
    };
    let mut options = TcpOptions::default();
    options.settings.framing = framing;
    Ok(Box::new(TcpTestingOnly::bind(address, options).await?))
}
