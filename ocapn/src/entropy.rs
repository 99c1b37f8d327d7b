//! The one place where randomness enters.

/// Entropy for a key or a swiss number.
///
/// A machine that can't give any can't have secrets: there is no way to go on.
pub(crate) fn bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives entropy");
    bytes
}
