//! Reading the fixed shapes of the protocol: operations, descriptors, locators.
//!
//! Owns the reader that the rest of the crate decodes with, and its error.

use bytes::Bytes;
use syrup::{DecodeError, Decoder, Encoder, Options, Token};

use crate::locator::{PeerLocator, Sturdyref, SwissNum};

/// Byte arrays at least this long are passed on as slices of the read buffer;
/// shorter ones are copied, so that a small value never pins a large buffer.
const SHARE_BYTES_FROM: usize = 512;

/// The openings and labels of common records, encoded: for reading and writing them in one
/// go.
pub(crate) mod head {
    pub(crate) const DELIVER: &[u8] = b"<10'op:deliver";
    pub(crate) const DELIVER_ONLY: &[u8] = b"<15'op:deliver-only";
    pub(crate) const GC_ANSWERS: &[u8] = b"<13'op:gc-answers";
    pub(crate) const EXPORT: &[u8] = b"<11'desc:export";
    pub(crate) const ANSWER: &[u8] = b"<11'desc:answer";
    pub(crate) const IMPORT_OBJECT: &[u8] = b"<18'desc:import-object";
    pub(crate) const IMPORT_PROMISE: &[u8] = b"<19'desc:import-promise";
}

/// A message that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    /// Not Syrup, or over a limit.
    Syrup(DecodeError),
    /// Syrup of another shape than expected.
    Shape { offset: usize, expected: &'static str },
}

impl WireError {
    pub(crate) const fn unexpected(offset: usize, expected: &'static str) -> Self {
        Self::Shape { offset, expected }
    }
}

impl From<DecodeError> for WireError {
    fn from(error: DecodeError) -> Self {
        Self::Syrup(error)
    }
}

/// A cursor over one message.
pub(crate) struct Reader<'a> {
    decoder: Decoder<'a>,
    /// What the message is a part of.
    source: &'a Bytes,
}

impl<'a> Reader<'a> {
    /// A cursor at the beginning of a message, which is a part of `source`.
    pub(crate) fn new(message: &'a [u8], source: &'a Bytes, options: &Options) -> Self {
        Self { decoder: Decoder::with_options(message, options), source }
    }

    /// Opens the record that begins with that [`head`], if it is one.
    #[inline]
    pub(crate) fn opens(&mut self, head: &[u8]) -> bool {
        self.decoder.open_record(head)
    }

    /// The position in a record that consists of that [`head`] and a position, if it is
    /// one in the usual form.
    #[inline]
    pub(crate) fn positioned(&mut self, head: &[u8]) -> Option<u64> {
        self.decoder.record_of_uint(head)
    }

    #[inline]
    pub(crate) fn token(&mut self) -> Result<Token<'a>, WireError> {
        Ok(self.decoder.token()?)
    }

    pub(crate) fn offset(&self) -> usize {
        self.decoder.position()
    }

    pub(crate) fn end(&self) -> Result<(), WireError> {
        Ok(self.decoder.end()?)
    }

    /// The next value's encoding, unread.
    pub(crate) fn skip(&mut self) -> Result<&'a [u8], WireError> {
        Ok(self.decoder.skip()?)
    }

    #[inline]
    pub(crate) fn expect(
        &mut self,
        expected: &'static str,
        is: impl FnOnce(&Token<'a>) -> bool,
    ) -> Result<(), WireError> {
        let offset = self.offset();
        if is(&self.token()?) { Ok(()) } else { Err(WireError::unexpected(offset, expected)) }
    }

    /// The next value if it is a symbol; it stays unread.
    pub(crate) fn peek_symbol(&self) -> Option<&'a str> {
        match Decoder::new(self.decoder.rest()).token() {
            Ok(Token::Symbol(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether the record being read has no more fields.
    pub(crate) fn at_record_end(&self) -> bool {
        self.decoder.rest().first() == Some(&b'>')
    }

    pub(crate) fn record_end(&mut self) -> Result<(), WireError> {
        self.expect("the end of a record", |token| matches!(token, Token::RecordEnd))
    }

    /// Opens a record and gives its label.
    pub(crate) fn record(&mut self, expected: &'static str) -> Result<&'a str, WireError> {
        let offset = self.offset();
        match self.token()? {
            Token::RecordStart => {}
            _ => return Err(WireError::unexpected(offset, expected)),
        }
        match self.token()? {
            Token::Symbol(label) => Ok(label),
            _ => Err(WireError::unexpected(offset, expected)),
        }
    }

    /// A position: an integer that is not negative.
    pub(crate) fn position(&mut self) -> Result<u64, WireError> {
        let offset = self.offset();
        let token = self.token()?;
        position(&token).ok_or(WireError::unexpected(offset, "a position"))
    }

    pub(crate) fn string(&mut self, expected: &'static str) -> Result<&'a str, WireError> {
        let offset = self.offset();
        match self.token()? {
            Token::String(text) => Ok(text),
            _ => Err(WireError::unexpected(offset, expected)),
        }
    }

    /// A list of positions, or a bare one as older peers send.
    pub(crate) fn positions(&mut self) -> Result<Vec<u64>, WireError> {
        let offset = self.offset();
        let token = self.token()?;
        if let Some(one) = position(&token) {
            return Ok(vec![one]);
        }
        if token != Token::ListStart {
            return Err(WireError::unexpected(offset, "a list of positions"));
        }
        let mut all = Vec::new();
        loop {
            self.decoder.uints(&mut all);
            let offset = self.offset();
            let token = self.token()?;
            if token == Token::ListEnd {
                return Ok(all);
            }
            all.push(position(&token).ok_or(WireError::unexpected(offset, "a position"))?);
        }
    }

    /// A received byte array: shared when long, copied when short.
    pub(crate) fn share(&self, bytes: &'a [u8]) -> Bytes {
        if bytes.len() >= SHARE_BYTES_FROM {
            self.source.slice_ref(bytes)
        } else {
            Bytes::copy_from_slice(bytes)
        }
    }

    /// The fields and end of an `ocapn-peer` record whose label has been read.
    pub(crate) fn peer_fields(&mut self) -> Result<PeerLocator, WireError> {
        let offset = self.offset();
        let Token::Symbol(transport) = self.token()? else {
            return Err(WireError::unexpected(offset, "a transport symbol"));
        };
        let designator = self.string("a designator string")?.to_owned();
        let mut peer = PeerLocator::new(transport, designator);
        let offset = self.offset();
        match self.token()? {
            Token::Bool(false) => {}
            Token::DictStart => self.hints(&mut peer)?,
            // Goblins' test netlayer writes an empty list.
            Token::ListStart => {
                self.expect("an empty list", |token| matches!(token, Token::ListEnd))?;
            }
            _ => return Err(WireError::unexpected(offset, "hints")),
        }
        self.record_end()?;
        Ok(peer)
    }

    /// Hints are strings under strings; Endo refuses symbols as keys and we take
    /// them, and a hint that is no string (Goblins has one) says nothing to us.
    fn hints(&mut self, peer: &mut PeerLocator) -> Result<(), WireError> {
        loop {
            let offset = self.offset();
            let key = match self.token()? {
                Token::DictEnd => return Ok(()),
                Token::String(key) | Token::Symbol(key) => key,
                _ => return Err(WireError::unexpected(offset, "a hint's name")),
            };
            let at = self.offset();
            let value = self.skip()?;
            if let Ok(Token::String(text)) = Decoder::new(value).token() {
                peer.hints.insert(key.to_owned(), text.to_owned());
            } else if value.is_empty() {
                return Err(WireError::unexpected(at, "a hint's value"));
            }
        }
    }

    /// The fields and end of an `ocapn-sturdyref` record whose label has been read.
    pub(crate) fn sturdyref_fields(&mut self) -> Result<Sturdyref, WireError> {
        let offset = self.offset();
        if self.record("an ocapn-peer")? != "ocapn-peer" {
            return Err(WireError::unexpected(offset, "an ocapn-peer"));
        }
        let peer = self.peer_fields()?;
        let offset = self.offset();
        let swiss = match self.token()? {
            Token::Bytes(bytes) => SwissNum::new(bytes),
            Token::String(text) => SwissNum::new(text.as_bytes()),
            _ => return Err(WireError::unexpected(offset, "a swiss number")),
        };
        let swiss = swiss.map_err(|_| WireError::unexpected(offset, "a swiss number"))?;
        self.record_end()?;
        Ok(Sturdyref::new(peer, swiss))
    }
}

fn position(token: &Token<'_>) -> Option<u64> {
    match token {
        Token::Int(value) => u64::try_from(*value).ok(),
        _ => None,
    }
}

/// Writes an `ocapn-peer` record.
pub(crate) fn encode_peer(out: &mut Encoder<'_>, peer: &PeerLocator) {
    out.begin_record();
    out.symbol("ocapn-peer");
    out.symbol(&peer.transport);
    out.string(&peer.designator);
    if peer.hints.is_empty() {
        // An empty struct and false mean the same; Goblins writes false.
        out.bool(false);
    } else {
        // A map's names are distinct, which is all that can go wrong here.
        let _distinct =
            out.dict(&peer.hints, |out, name| out.string(name), |out, value| out.string(value));
    }
    out.end_record();
}

/// Writes an `ocapn-sturdyref` record.
pub(crate) fn encode_sturdyref(out: &mut Encoder<'_>, sturdyref: &Sturdyref) {
    out.begin_record();
    out.symbol("ocapn-sturdyref");
    encode_peer(out, &sturdyref.peer);
    out.bytes(sturdyref.swiss.as_bytes());
    out.end_record();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_the_encodings_of_their_labels() {
        let all = [
            (head::DELIVER, "op:deliver"),
            (head::DELIVER_ONLY, "op:deliver-only"),
            (head::GC_ANSWERS, "op:gc-answers"),
            (head::EXPORT, "desc:export"),
            (head::ANSWER, "desc:answer"),
            (head::IMPORT_OBJECT, "desc:import-object"),
            (head::IMPORT_PROMISE, "desc:import-promise"),
        ];
        for (head, label) in all {
            let mut expected = Vec::new();
            let mut out = Encoder::new(&mut expected);
            out.begin_record();
            out.symbol(label);
            assert_eq!(head, expected);
        }
    }
}
