//! Peer locators and sturdyrefs: what they are, which of them name the same peer,
//! and their `ocapn://` URIs.
//!
//! ```text
//! ocapn://DESIGNATOR.TRANSPORT[/s/SWISS][?hint=value&hint=value…]
//! ```
//!
//! The host splits at its **last** dot and keeps its case. SWISS is base64url; we write
//! it unpadded and read it either way. We write hints in the order of their names, all
//! but letters, digits and `-._~` percent-encoded.
//!
//! What other implementations write is read as they mean it: `+` in a value is a space
//! (Guile and Python both decode it so, and encode a real plus as `%2B`), while names
//! are taken as they stand but for well-formed escapes, because Goblins writes them
//! raw. An empty query is no hints.
//!
//! Errors never quote the URI: it may be a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use smol_str::SmolStr;
use zeroize::{Zeroize as _, Zeroizing};

const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How much a URI may hold. [`FromStr`] uses the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatorLimits {
    /// Bytes of the whole URI. Default 16 KiB.
    pub uri_bytes: usize,
    /// Number of hints. Default 32.
    pub hints: usize,
    /// Bytes of a swiss number. Default [`SwissNum::MAX_LEN`], which is also the most.
    pub swiss_bytes: usize,
}

impl Default for LocatorLimits {
    fn default() -> Self {
        Self { uri_bytes: 16 * 1024, hints: 32, swiss_bytes: SwissNum::MAX_LEN }
    }
}

/// Why a locator, sturdyref or swiss number is refused. One variant per rule; none
/// quotes what was refused except a hint's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocatorError {
    /// It does not start with `ocapn://`.
    #[error("an OCapN URI starts with ocapn://")]
    Scheme,
    /// Longer than [`LocatorLimits::uri_bytes`].
    #[error("the URI has {len} bytes, more than the {limit} allowed")]
    UriTooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The host has no dot, so there is no transport.
    #[error("the host has no dot: DESIGNATOR.TRANSPORT is wanted")]
    NoTransport,
    /// Nothing after the host's last dot.
    #[error("the transport, after the host's last dot, is empty")]
    EmptyTransport,
    /// Nothing before the host's last dot.
    #[error("the designator, before the host's last dot, is empty")]
    EmptyDesignator,
    /// A character in the host that must be percent-encoded there: a colon (there are no
    /// ports), an at sign (no user names), a space or the like.
    #[error("the host has {0:?}, which does not belong there")]
    HostCharacter(char),
    /// A path other than none, `/` or `/s/SWISS`.
    #[error("the path is neither empty nor /s/SWISS")]
    Path,
    /// `#` and what follows it mean nothing here.
    #[error("an OCapN URI has no fragment (#)")]
    Fragment,
    /// A hint without `=`.
    #[error("hint number {index} has no =")]
    HintWithoutValue {
        /// Which, counted from 1.
        index: usize,
    },
    /// A hint with nothing before its `=`.
    #[error("hint number {index} has no name")]
    EmptyHintName {
        /// Which, counted from 1.
        index: usize,
    },
    /// The same hint twice.
    #[error("the hint {name:?} is given twice")]
    DuplicateHint {
        /// Its name.
        name: String,
    },
    /// More hints than [`LocatorLimits::hints`].
    #[error("more than {limit} hints")]
    TooManyHints {
        /// The limit in force.
        limit: usize,
    },
    /// `%` not followed by two hexadecimal digits.
    #[error("% is not followed by two hexadecimal digits")]
    Escape,
    /// Percent-encoded bytes that are not UTF-8.
    #[error("percent-encoded bytes are not UTF-8")]
    NotUtf8,
    /// The swiss number is not base64url.
    #[error("the swiss number is not base64url")]
    SwissEncoding,
    /// A swiss number of no bytes.
    #[error("the swiss number is empty")]
    EmptySwiss,
    /// A swiss number longer than [`LocatorLimits::swiss_bytes`].
    #[error("the swiss number has more than {limit} bytes")]
    SwissTooLong {
        /// The limit in force.
        limit: usize,
    },
    /// A sturdyref was wanted and this names only a peer.
    #[error("this names a peer and no object at it: /s/SWISS is missing")]
    NoSwiss,
    /// A peer was wanted and this is a sturdyref, a secret that does not belong here.
    #[error("this is a sturdyref and not a peer: leave /s/SWISS away")]
    UnexpectedSwiss,
}

/// Where and who a peer is: transport, designator and hints.
///
/// Two locators name the same peer when transport and designator agree; hints only
/// say how to reach it ([`PeerLocator::same_peer`]). `==` also compares the hints.
///
/// ```
/// use captp::locator::PeerLocator;
///
/// let uri = "ocapn://ada.tcp-testing-only?host=127.0.0.1&port=22045";
/// let peer: PeerLocator = uri.parse()?;
/// assert_eq!((peer.designator.as_str(), peer.transport.as_str()), ("ada", "tcp-testing-only"));
/// assert_eq!(peer.hints["port"], "22045");
/// assert_eq!(peer.to_string(), uri);
/// # Ok::<(), captp::locator::LocatorError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerLocator {
    /// The netlayer's name, such as `tcp-tls`.
    pub transport: String,
    /// Who the peer is, in the netlayer's own terms.
    pub designator: String,
    /// How to reach it, such as `host` and `port`.
    pub hints: BTreeMap<String, String>,
}

impl PeerLocator {
    /// A locator without hints.
    pub fn new(transport: impl Into<String>, designator: impl Into<String>) -> Self {
        Self { transport: transport.into(), designator: designator.into(), hints: BTreeMap::new() }
    }

    /// The same locator with one hint more, or changed.
    #[must_use]
    pub fn with_hint(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.hints.insert(name.into(), value.into());
        self
    }

    /// Whether both name the same peer, however they say it is reached.
    #[must_use]
    pub fn same_peer(&self, other: &Self) -> bool {
        self.transport == other.transport && self.designator == other.designator
    }

    /// Who this is, without how to reach it.
    #[must_use]
    pub fn id(&self) -> PeerId {
        PeerId::new(&self.transport, &self.designator)
    }
}

impl fmt::Display for PeerLocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uri(f, self, None)
    }
}

impl FromStr for PeerLocator {
    type Err = LocatorError;

    fn from_str(uri: &str) -> Result<Self, LocatorError> {
        match uri.parse()? {
            Locator::Peer(peer) => Ok(peer),
            Locator::Sturdyref(_) => Err(LocatorError::UnexpectedSwiss),
        }
    }
}

/// Who a peer is: what [`PeerLocator::same_peer`] compares, as a key for maps.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId {
    transport: SmolStr,
    designator: SmolStr,
}

impl PeerId {
    /// The peer with this designator on this transport.
    #[must_use]
    pub fn new(transport: &str, designator: &str) -> Self {
        Self { transport: transport.into(), designator: designator.into() }
    }

    /// The netlayer's name.
    #[must_use]
    pub fn transport(&self) -> &str {
        &self.transport
    }

    /// Who the peer is, in the netlayer's own terms.
    #[must_use]
    pub fn designator(&self) -> &str {
        &self.designator
    }
}

impl From<&PeerLocator> for PeerId {
    fn from(locator: &PeerLocator) -> Self {
        locator.id()
    }
}

/// `DESIGNATOR.TRANSPORT`, as in the URI.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.transport, &self.designator)
    }
}

/// A long-lived name of an object at a peer. Whoever holds it may call the object:
/// `Debug` redacts the swiss number and there is no `Display`.
///
/// ```
/// use captp::locator::Sturdyref;
///
/// let uri = "ocapn://ada.loopback/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
/// let counter: Sturdyref = uri.parse()?;
/// assert_eq!(counter.reveal_uri(), uri);
/// assert_eq!(counter.redacted().to_string(), "ocapn://ada.loopback/s/AAECAw…");
/// # Ok::<(), captp::locator::LocatorError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sturdyref {
    /// The peer that exports the object.
    pub peer: PeerLocator,
    /// The unguessable number of the object at that peer.
    pub swiss: SwissNum,
}

impl Sturdyref {
    /// The object with this swiss number at this peer.
    #[must_use]
    pub const fn new(peer: PeerLocator, swiss: SwissNum) -> Self {
        Self { peer, swiss }
    }

    /// The URI, secret and all: whoever reads it may call the object.
    #[must_use]
    pub fn reveal_uri(&self) -> String {
        let encoded = Zeroizing::new(BASE64URL.encode(self.swiss.as_bytes()));
        let mut uri = String::new();
        let _writing_to_a_string_succeeds = write_uri(&mut uri, &self.peer, Some(&encoded));
        uri
    }

    /// The URI with the swiss number cut short, for logs and people.
    #[must_use]
    pub const fn redacted(&self) -> Redacted<'_> {
        Redacted(self)
    }
}

impl fmt::Debug for Sturdyref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sturdyref({})", self.redacted())
    }
}

impl FromStr for Sturdyref {
    type Err = LocatorError;

    fn from_str(uri: &str) -> Result<Self, LocatorError> {
        match uri.parse()? {
            Locator::Peer(_) => Err(LocatorError::NoSwiss),
            Locator::Sturdyref(sturdyref) => Ok(sturdyref),
        }
    }
}

/// Writes a sturdyref's URI with its swiss number cut short ([`Sturdyref::redacted`]).
#[derive(Debug)]
pub struct Redacted<'a>(&'a Sturdyref);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uri(f, &self.0.peer, Some(&self.0.swiss.hint()))
    }
}

/// The unguessable number that names an object at its peer. A secret: `Debug` redacts
/// it, comparison takes the same time wherever two of the same length differ, and its
/// memory is wiped when it is dropped.
#[derive(Clone, Eq)]
pub struct SwissNum(Box<[u8]>);

impl SwissNum {
    /// The most bytes that a swiss number may have. All known peers use 32 or fewer.
    pub const MAX_LEN: usize = 1024;

    /// Characters of its base64url that redaction lets through.
    const SHOWN: usize = 6;

    /// A swiss number from bytes chosen by whoever registered the object.
    ///
    /// # Errors
    ///
    /// [`LocatorError::EmptySwiss`] or, beyond [`SwissNum::MAX_LEN`] bytes,
    /// [`LocatorError::SwissTooLong`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, LocatorError> {
        Self::within(bytes.as_ref(), Self::MAX_LEN)
    }

    /// A fresh swiss number, exactly as unguessable as the entropy given.
    #[must_use]
    pub fn from_entropy(mut entropy: [u8; 32]) -> Self {
        let swiss = Self(Box::from(entropy.as_slice()));
        entropy.zeroize();
        swiss
    }

    /// The bytes, to be sent to the peer and nowhere else.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn within(bytes: &[u8], limit: usize) -> Result<Self, LocatorError> {
        let limit = limit.min(Self::MAX_LEN);
        match bytes.len() {
            0 => Err(LocatorError::EmptySwiss),
            len if len > limit => Err(LocatorError::SwissTooLong { limit }),
            _ => Ok(Self(Box::from(bytes))),
        }
    }

    fn decode(text: &str, limit: usize) -> Result<Self, LocatorError> {
        let bytes = BASE64URL.decode(text).map_err(|_| LocatorError::SwissEncoding)?;
        Self::within(&Zeroizing::new(bytes), limit)
    }

    /// Enough of it to tell two apart, and too little to guess the rest: nothing at all
    /// of a number under 16 bytes.
    fn hint(&self) -> String {
        let mut text = String::new();
        if self.0.len() >= 16 {
            let encoded = Zeroizing::new(BASE64URL.encode(&self.0));
            text.extend(encoded.chars().take(Self::SHOWN));
        }
        text.push('…');
        text
    }
}

impl PartialEq for SwissNum {
    fn eq(&self, other: &Self) -> bool {
        let difference = |(a, b): (&u8, &u8)| a ^ b;
        let pairs = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && pairs.map(difference).fold(0, |all, one| all | one) == 0
    }
}

impl Hash for SwissNum {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for SwissNum {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SwissNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwissNum({})", self.hint())
    }
}

/// What an `ocapn://` URI may name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Locator {
    /// A peer.
    Peer(PeerLocator),
    /// An object at a peer.
    Sturdyref(Sturdyref),
}

impl Locator {
    /// Reads a URI under limits other than the default ones.
    ///
    /// # Errors
    ///
    /// The [`LocatorError`] of the first rule broken.
    pub fn parse_within(uri: &str, limits: &LocatorLimits) -> Result<Self, LocatorError> {
        if uri.len() > limits.uri_bytes {
            return Err(LocatorError::UriTooLong { len: uri.len(), limit: limits.uri_bytes });
        }
        let (scheme, rest) = uri.split_once("://").ok_or(LocatorError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("ocapn") {
            return Err(LocatorError::Scheme);
        }
        if rest.contains('#') {
            return Err(LocatorError::Fragment);
        }
        let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = before_query.split_once('/').unwrap_or((before_query, ""));
        let (transport, designator) = parse_host(host)?;
        let hints = parse_hints(query, limits.hints)?;
        let peer = PeerLocator { transport, designator, hints };
        match path.strip_prefix("s/") {
            Some(swiss) => {
                let swiss = SwissNum::decode(swiss, limits.swiss_bytes)?;
                Ok(Self::Sturdyref(Sturdyref { peer, swiss }))
            }
            None if path.is_empty() => Ok(Self::Peer(peer)),
            None => Err(LocatorError::Path),
        }
    }

    /// The peer that is named, or at which the object is.
    #[must_use]
    pub const fn peer(&self) -> &PeerLocator {
        match self {
            Self::Peer(peer) => peer,
            Self::Sturdyref(sturdyref) => &sturdyref.peer,
        }
    }
}

impl FromStr for Locator {
    type Err = LocatorError;

    fn from_str(uri: &str) -> Result<Self, LocatorError> {
        Self::parse_within(uri, &LocatorLimits::default())
    }
}

fn parse_host(host: &str) -> Result<(String, String), LocatorError> {
    if let Some(odd) = host.chars().find(|c| !may_stand_in_host(*c)) {
        return Err(LocatorError::HostCharacter(odd));
    }
    let (designator, transport) = host.rsplit_once('.').ok_or(LocatorError::NoTransport)?;
    if transport.is_empty() {
        return Err(LocatorError::EmptyTransport);
    }
    if designator.is_empty() {
        return Err(LocatorError::EmptyDesignator);
    }
    Ok((decode(transport)?, decode(designator)?))
}

/// Everything but what RFC 3986 gives another meaning, or no place at all, in a host.
const fn may_stand_in_host(c: char) -> bool {
    !c.is_ascii_control() && !matches!(c, ' ' | ':' | '@' | '[' | ']' | '\\' | '"' | '<' | '>')
}

fn parse_hints(query: &str, limit: usize) -> Result<BTreeMap<String, String>, LocatorError> {
    let mut hints = BTreeMap::new();
    if query.is_empty() {
        return Ok(hints);
    }
    for (index, pair) in (1..).zip(query.split('&')) {
        if index > limit {
            return Err(LocatorError::TooManyHints { limit });
        }
        let (name, value) = pair.split_once('=').ok_or(LocatorError::HintWithoutValue { index })?;
        if name.is_empty() {
            return Err(LocatorError::EmptyHintName { index });
        }
        let name = decode_name(name);
        let value = decode(&value.replace('+', " "))?;
        if hints.contains_key(&name) {
            return Err(LocatorError::DuplicateHint { name });
        }
        hints.insert(name, value);
    }
    Ok(hints)
}

fn write_uri(out: &mut impl fmt::Write, peer: &PeerLocator, swiss: Option<&str>) -> fmt::Result {
    out.write_str("ocapn://")?;
    write_host(out, &peer.transport, &peer.designator)?;
    if let Some(swiss) = swiss {
        write!(out, "/s/{swiss}")?;
    }
    for (separator, (name, value)) in
        std::iter::once('?').chain(std::iter::repeat('&')).zip(&peer.hints)
    {
        out.write_char(separator)?;
        write_encoded(out, name, |c| c == '.')?;
        out.write_char('=')?;
        write_encoded(out, value, |c| c == '.')?;
    }
    Ok(())
}

fn write_host(out: &mut impl fmt::Write, transport: &str, designator: &str) -> fmt::Result {
    write_encoded(out, designator, |c| c == '.')?;
    out.write_char('.')?;
    // A dot in the transport would move the split.
    write_encoded(out, transport, |_| false)
}

/// Percent-encodes all but letters, digits, `-_~` and what `also` lets through.
fn write_encoded(
    out: &mut impl fmt::Write,
    text: &str,
    also: impl Fn(char) -> bool,
) -> fmt::Result {
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '~') || also(c) {
            out.write_char(c)?;
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                write!(out, "%{byte:02X}")?;
            }
        }
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, LocatorError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let digits = piece.get(..2).ok_or(LocatorError::Escape)?;
        bytes.push(hex_byte(digits).ok_or(LocatorError::Escape)?);
        bytes.extend_from_slice(piece.get(2..).unwrap_or_default().as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| LocatorError::NotUtf8)
}

/// A hint's name, which Goblins writes raw: one that does not decode stands for itself.
fn decode_name(text: &str) -> String {
    decode(text).unwrap_or_else(|_| text.to_owned())
}

fn hex_byte(digits: &str) -> Option<u8> {
    // `from_str_radix` alone would let a sign through.
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}
