//! Building either tree from tokens.

use crate::decode::{BigDigits, Decoder, Token};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::options::Options;

/// Trees nest no deeper than this, whatever [`Limits::depth`](crate::Limits::depth)
/// says, so that neither building, comparing nor dropping one exhausts the stack.
pub const MAX_TREE_DEPTH: usize = 512;

/// How a kind of tree is put together.
pub(crate) trait Build<'a>: Sized {
    fn atom(atom: Atom<'a>) -> Self;
    fn list(items: Vec<Self>) -> Self;
    /// From a label and then fields.
    fn record(parts: Vec<Self>) -> Self;
    /// From keys and values in turn. `None` if a key occurs twice.
    fn dict(alternating: Vec<Self>) -> Option<Self>;
    /// `None` if a member occurs twice.
    fn set(members: Vec<Self>) -> Option<Self>;
}

/// A token that is a value of its own.
pub(crate) enum Atom<'a> {
    Bool(bool),
    Int(i64),
    BigInt(BigDigits<'a>),
    F32(f32),
    F64(f64),
    Bytes(&'a [u8]),
    String(&'a str),
    Symbol(&'a str),
}

/// Reads one value.
pub(crate) fn read<'a, T: Build<'a>>(input: &mut Decoder<'a>) -> Result<T, DecodeError> {
    let at = input.position();
    let mut reading = Reading { values: Vec::new() };
    let value = if reading.next(input)? { reading.values.pop() } else { None };
    value.ok_or_else(|| DecodeError::new(at, DecodeErrorKind::UnexpectedEnd))
}

/// Reads the one value that a slice holds.
pub(crate) fn read_all<'a, T: Build<'a>>(
    input: &'a [u8],
    options: &Options,
) -> Result<T, DecodeError> {
    let mut input = Decoder::with_options(input, options);
    let value = read(&mut input)?;
    input.end()?;
    Ok(value)
}

/// What has been read of the containers that are open. Each takes its part when it
/// closes, in an allocation of exactly its size: growing one for each would touch
/// twice the memory, which costs more than the reading.
struct Reading<T> {
    values: Vec<T>,
}

impl<'a, T: Build<'a>> Reading<T> {
    /// Reads the next value or the end of a container, which the decoder knows to be
    /// the innermost one. Gives whether it was a value.
    fn next(&mut self, input: &mut Decoder<'a>) -> Result<bool, DecodeError> {
        let at = input.position();
        let values = &mut self.values;
        // Not `?`: that would copy the token before looking at it.
        match input.token() {
            Ok(Token::Bool(value)) => push(values, || T::atom(Atom::Bool(value))),
            Ok(Token::Int(value)) => push(values, || T::atom(Atom::Int(value))),
            Ok(Token::BigInt(value)) => push(values, || T::atom(Atom::BigInt(value))),
            Ok(Token::F32(value)) => push(values, || T::atom(Atom::F32(value))),
            Ok(Token::F64(value)) => push(values, || T::atom(Atom::F64(value))),
            Ok(Token::Bytes(value)) => push(values, || T::atom(Atom::Bytes(value))),
            Ok(Token::String(value)) => push(values, || T::atom(Atom::String(value))),
            Ok(Token::Symbol(value)) => push(values, || T::atom(Atom::Symbol(value))),
            Ok(Token::ListStart) => {
                let items = self.content(input, at)?;
                push(&mut self.values, || T::list(items));
            }
            Ok(Token::RecordStart) => {
                let parts = self.content(input, at)?;
                push(&mut self.values, || T::record(parts));
            }
            Ok(Token::DictStart) => {
                let dict = T::dict(self.content(input, at)?);
                self.values.push(dict.ok_or_else(|| repeated(at))?);
            }
            Ok(Token::SetStart) => {
                let set = T::set(self.content(input, at)?);
                self.values.push(set.ok_or_else(|| repeated(at))?);
            }
            Ok(Token::ListEnd | Token::DictEnd | Token::SetEnd | Token::RecordEnd) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// What is in the container that has been opened at `at`.
    fn content(&mut self, input: &mut Decoder<'a>, at: usize) -> Result<Vec<T>, DecodeError> {
        if input.depth() > MAX_TREE_DEPTH {
            let kind = DecodeErrorKind::DepthLimit(MAX_TREE_DEPTH);
            return Err(DecodeError::new(at, kind));
        }
        let first = self.values.len();
        while self.next(input)? {}
        Ok(self.values.split_off(first))
    }
}

#[cold]
fn repeated(at: usize) -> DecodeError {
    DecodeError::new(at, DecodeErrorKind::DuplicateKey)
}

/// Pushes what `make` makes. Not inlined, so that each kind of value is written to
/// where it belongs: inlined, all kinds share a place on the stack, and the wide copy
/// from there stalls on the narrow writes just before it.
#[inline(never)]
fn push<T>(values: &mut Vec<T>, make: impl FnOnce() -> T) {
    values.push(make());
}
