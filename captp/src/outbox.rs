//! Bytes on their way out: small messages packed together, large byte arrays by
//! reference.

use std::collections::VecDeque;

use bytes::Bytes;
use syrup::Encoder;

/// Byte arrays at least this long are queued as they are instead of copied.
const SHARE_BYTES_FROM: usize = 16 << 10;

/// Up to this many bytes are copied when they are taken: the buffer stays for what is
/// written next, which would otherwise have to grow its own step by step.
const COPY_UP_TO: usize = 1 << 10;

/// What a session has to send.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Finished pieces, before the tail.
    pieces: VecDeque<Bytes>,
    /// Where messages are being written.
    tail: Vec<u8>,
    /// Bytes in `pieces`.
    queued: usize,
}

/// A place to come back to when a message can't be finished.
pub(crate) struct Mark {
    pieces: usize,
    tail: usize,
    queued: usize,
}

impl Outbox {
    /// An encoder at the end of what is queued.
    #[inline]
    pub(crate) fn encoder(&mut self) -> Encoder<'_> {
        Encoder::new(&mut self.tail)
    }

    /// Writes a byte array, by reference if it is long.
    pub(crate) fn bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE_BYTES_FROM {
            self.encoder().bytes(bytes);
            return;
        }
        self.encoder().bytes_header(bytes.len());
        self.finish_tail();
        self.queued += bytes.len();
        self.pieces.push_back(bytes.clone());
    }

    /// Bytes that wait to be sent.
    pub(crate) fn len(&self) -> usize {
        self.queued + self.tail.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A mark to which [`Outbox::rewind`] goes back. Valid until bytes are taken.
    pub(crate) fn mark(&self) -> Mark {
        Mark { pieces: self.pieces.len(), tail: self.tail.len(), queued: self.queued }
    }

    /// Forgets what was written since the mark.
    pub(crate) fn rewind(&mut self, mark: &Mark) {
        if self.pieces.len() > mark.pieces {
            // The tail at the mark became the first piece after it.
            self.tail.clear();
            if let Some(piece) = self.pieces.get(mark.pieces) {
                self.tail.extend_from_slice(piece.get(..mark.tail).unwrap_or_default());
            }
            self.pieces.truncate(mark.pieces);
        } else {
            self.tail.truncate(mark.tail);
        }
        self.queued = mark.queued;
    }

    /// Bytes written since the mark.
    pub(crate) fn since(&self, mark: &Mark) -> usize {
        self.len() - mark.queued - mark.tail
    }

    /// Moves everything to `out`, in order.
    pub(crate) fn take(&mut self, out: &mut VecDeque<Bytes>) {
        self.finish_tail();
        out.append(&mut self.pieces);
        self.queued = 0;
    }

    /// Copies everything to `out`, in order.
    pub(crate) fn drain_into(&mut self, out: &mut Vec<u8>) {
        for piece in self.pieces.drain(..) {
            out.extend_from_slice(&piece);
        }
        if out.is_empty() {
            std::mem::swap(out, &mut self.tail);
        } else {
            out.append(&mut self.tail);
        }
        self.tail.clear();
        self.queued = 0;
    }

    fn finish_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        self.queued += self.tail.len();
        let piece = if self.tail.len() <= COPY_UP_TO {
            let piece = Bytes::copy_from_slice(&self.tail);
            self.tail.clear();
            piece
        } else {
            std::mem::take(&mut self.tail).into()
        };
        self.pieces.push_back(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewinding_restores_what_was_there_before_the_mark() {
        let long = Bytes::from(vec![7; SHARE_BYTES_FROM]);
        for (before, after) in [(false, true), (true, true), (true, false)] {
            let mut outbox = Outbox::default();
            outbox.encoder().string("kept");
            if before {
                outbox.bytes(&long);
                outbox.encoder().string("kept too");
            }
            let expected = outbox.len();
            let mark = outbox.mark();
            outbox.encoder().string("dropped");
            if after {
                outbox.bytes(&long);
                outbox.encoder().string("dropped");
            }
            assert!(outbox.since(&mark) > 0);
            outbox.rewind(&mark);
            assert_eq!(outbox.len(), expected);
            let mut all = Vec::new();
            outbox.drain_into(&mut all);
            assert_eq!(all.len(), expected);
            assert!(all.starts_with(b"4\"kept"));
        }
    }
}
