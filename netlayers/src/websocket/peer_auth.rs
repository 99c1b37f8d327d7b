//! The exchange that proves the dialled end: `init:peer-auth` and its signed answer.
//!
//! Both records have one spelling, in which only random bytes and signatures differ, so
//! they are compared and not parsed: whatever else a dialler sends can't get signed.

use ed25519_dalek::{Signature, VerifyingKey};

const REQUEST: &[u8] = b"<14'init:peer-auth32:";
const ENVELOPE: &[u8] = b"<17'desc:sig-envelope";
const SIGNATURE_R: &[u8] = b"[7'sig-val[5'eddsa[1'r32:";
const SIGNATURE_S: &[u8] = b"][1's32:";
const ENVELOPE_END: &[u8] = b"]]]>";

/// `<init:peer-auth RANDOM>`, encoded. There is no value of this type with other bytes.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// The request with these random bytes.
    pub(super) fn new(random: &[u8; 32]) -> Self {
        Self([REQUEST, random, b">"].concat())
    }

    /// The request that these bytes are, if they are exactly one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let random = bytes.strip_prefix(REQUEST)?.strip_suffix(b">")?;
        Some(Self::new(random.try_into().ok()?))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `<desc:sig-envelope REQUEST [sig-val …]>`.
    pub(super) fn envelope(&self, signature: &Signature) -> Vec<u8> {
        let (r, s) = (signature.r_bytes(), signature.s_bytes());
        [ENVELOPE, &self.0, SIGNATURE_R, r, SIGNATURE_S, s, ENVELOPE_END].concat()
    }

    /// What an answer is worth as an answer to this request.
    pub(super) fn check(&self, answer: &[u8], key: &VerifyingKey) -> Answer {
        match self.signature(answer) {
            None => Answer::Malformed,
            Some(signature) if key.verify_strict(&self.0, &signature).is_ok() => Answer::Proven,
            Some(_) => Answer::ByAnother,
        }
    }

    fn signature(&self, answer: &[u8]) -> Option<Signature> {
        let rest = answer.strip_prefix(ENVELOPE)?.strip_prefix(self.as_bytes())?;
        let (r, rest) = rest.strip_prefix(SIGNATURE_R)?.split_first_chunk::<32>()?;
        let (s, rest) = rest.strip_prefix(SIGNATURE_S)?.split_first_chunk::<32>()?;
        (rest == ENVELOPE_END).then(|| Signature::from_components(*r, *s))
    }
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The key's owner gave it.
    Proven,
    /// The signature is not that key's over the request.
    ByAnother,
    /// It is no signed envelope around the request.
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    const RECORDED_REQUEST: &[u8] =
        include_bytes!("../../tests/vectors/init-peer-auth-request.syrup");
    const RECORDED_ANSWER: &[u8] =
        include_bytes!("../../tests/vectors/init-peer-auth-answer.syrup");
    const RECORDED_DESIGNATOR: &str = include_str!("../../tests/vectors/websocket-designator.txt");

    #[test]
    fn goblins_answer_is_proof() {
        let request = Request::parse(RECORDED_REQUEST).unwrap();
        let key = crate::signing_key::key_of(RECORDED_DESIGNATOR.trim()).unwrap();
        assert_eq!(request.check(RECORDED_ANSWER, &key), Answer::Proven);
        let signature = request.signature(RECORDED_ANSWER).unwrap();
        assert_eq!(request.envelope(&signature), RECORDED_ANSWER);
        let other = SigningKey::from_bytes(&[1; 32]).verifying_key();
        assert_eq!(request.check(RECORDED_ANSWER, &other), Answer::ByAnother);
    }

    /// Endo 1.1.1, asked the recorded question, and a question of its own.
    #[test]
    fn endo_asks_and_answers_alike() {
        let request = Request::parse(RECORDED_REQUEST).unwrap();
        let answer = include_bytes!("../../tests/vectors/endo-peer-auth-answer.syrup");
        let designator = include_str!("../../tests/vectors/endo-designator.txt");
        let key = crate::signing_key::key_of(designator.trim()).unwrap();
        assert_eq!(request.check(answer, &key), Answer::Proven);
        assert_eq!(request.envelope(&request.signature(answer).unwrap()), answer);
        let asked = include_bytes!("../../tests/vectors/endo-peer-auth-request.syrup");
        assert_eq!(Request::parse(asked).unwrap().as_bytes(), asked);
    }

    #[test]
    fn an_answer_to_another_request_is_none() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let (ours, other) = (Request::new(&[2; 32]), Request::new(&[3; 32]));
        let answer = other.envelope(&key.sign(other.as_bytes()));
        assert_eq!(ours.check(&answer, &key.verifying_key()), Answer::Malformed);
        // Our request in the envelope, and a signature over the other one.
        let answer = ours.envelope(&key.sign(other.as_bytes()));
        assert_eq!(ours.check(&answer, &key.verifying_key()), Answer::ByAnother);
        let good = ours.envelope(&key.sign(ours.as_bytes()));
        assert_eq!(ours.check(&good, &key.verifying_key()), Answer::Proven);
        for cut in 0..good.len() {
            let answer = ours.check(&good[..cut], &key.verifying_key());
            assert_eq!(answer, Answer::Malformed);
        }
        let longer = [good.as_slice(), b">"].concat();
        assert_eq!(ours.check(&longer, &key.verifying_key()), Answer::Malformed);
    }

    #[test]
    fn nothing_but_a_request_can_be_signed() {
        let good = Request::new(&[b'>'; 32]);
        assert!(Request::parse(good.as_bytes()).is_some());
        for (at, _) in REQUEST.iter().enumerate() {
            let mut bad = good.as_bytes().to_vec();
            bad[at] ^= 1;
            assert!(Request::parse(&bad).is_none());
        }
        for bad in [
            [REQUEST, &[0; 31], b">"].concat(),
            [REQUEST, &[0; 33], b">"].concat(),
            [REQUEST, &[0; 32], b"]"].concat(),
            [good.as_bytes(), b" "].concat(),
            [b"[", good.as_bytes(), b"]"].concat(),
            b"<17'desc:handoff-give32:>".to_vec(),
            Vec::new(),
        ] {
            assert!(Request::parse(&bad).is_none());
        }
    }
}
