//! `op:start-session`, true or false.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use ocapn::PeerLocator;

use super::Term;

/// What a scripted peer says in `op:start-session`. Change what should be wrong.
pub struct Greeting {
    /// The protocol version.
    pub version: String,
    /// Where the peer says it is.
    pub location: Term,
    /// What it signs, in the place of its location.
    pub signed: Term,
    /// Its key.
    pub key: SigningKey,
}

impl Greeting {
    /// The version that all peers of today say they speak.
    pub const VERSION: &'static str = "1.0";

    /// A true greeting from a peer at that location, under a fresh key.
    ///
    /// # Panics
    ///
    /// If the system gives no entropy.
    #[must_use]
    pub fn new(location: &PeerLocator) -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the system gives entropy");
        Self {
            version: Self::VERSION.to_owned(),
            location: location.into(),
            signed: location.into(),
            key: SigningKey::from_bytes(&seed),
        }
    }

    /// The operation.
    #[must_use]
    pub fn term(&self) -> Term {
        let named = |name: &str, value| Term::list([Term::symbol(name), value]);
        let q = named("q", Term::bytes(self.key.verifying_key().to_bytes()));
        let curve = named("curve", Term::symbol("Ed25519"));
        let flags = named("flags", Term::symbol("eddsa"));
        let ecc = Term::list([Term::symbol("ecc"), curve, flags, q]);
        let key = named("public-key", ecc);

        let signature = self.key.sign(&my_location(&self.signed));
        let r = named("r", Term::bytes(*signature.r_bytes()));
        let s = named("s", Term::bytes(*signature.s_bytes()));
        let signature = named("sig-val", Term::list([Term::symbol("eddsa"), r, s]));

        let version = Term::text(&self.version);
        let fields = [version, key, self.location.clone(), signature];
        Term::record("op:start-session", fields)
    }
}

fn my_location(location: &Term) -> Vec<u8> {
    Term::record("my-location", [location.clone()]).encode()
}

/// What a peer said in its `op:start-session`, whose signature verifies.
#[derive(Clone, Debug)]
pub struct PeerGreeting {
    /// The protocol version.
    pub version: String,
    /// Where the peer says it is: transport and designator.
    pub transport: String,
    /// See `transport`.
    pub designator: String,
}

impl PeerGreeting {
    /// Reads the operation.
    pub(super) fn read(message: &Term) -> Result<Self, &'static str> {
        let Some([Term::Text(version), key, location, signature]) =
            message.fields_of("op:start-session")
        else {
            return Err("not an op:start-session of four fields");
        };
        let Some([Term::Symbol(transport), Term::Text(designator), _hints]) =
            location.fields_of("ocapn-peer")
        else {
            return Err("not a location");
        };
        let key = read_key(key).ok_or("not an Ed25519 key")?;
        let signature = read_signature(signature).ok_or("not a signature")?;
        key.verify_strict(&my_location(location), &signature)
            .map_err(|_| "the location signature does not verify")?;
        Ok(Self {
            version: version.clone(),
            transport: transport.clone(),
            designator: designator.clone(),
        })
    }
}

/// The value of `[name value]`.
fn named<'t>(term: &'t Term, name: &str) -> Option<&'t Term> {
    match term.as_list()? {
        [found, value] if found.is_symbol(name) => Some(value),
        _ => None,
    }
}

fn bytes32(term: &Term) -> Option<[u8; 32]> {
    match term {
        Term::Bytes(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    }
}

fn read_key(term: &Term) -> Option<VerifyingKey> {
    let [ecc, curve, flags, q] = named(term, "public-key")?.as_list()? else {
        return None;
    };
    let shape = ecc.is_symbol("ecc")
        && named(curve, "curve")?.is_symbol("Ed25519")
        && named(flags, "flags")?.is_symbol("eddsa");
    VerifyingKey::from_bytes(&bytes32(named(q, "q")?)?).ok().filter(|_| shape)
}

fn read_signature(term: &Term) -> Option<Signature> {
    let [eddsa, r, s] = named(term, "sig-val")?.as_list()? else {
        return None;
    };
    let (r, s) = (bytes32(named(r, "r")?)?, bytes32(named(s, "s")?)?);
    eddsa.is_symbol("eddsa").then(|| Signature::from_components(r, s))
}
