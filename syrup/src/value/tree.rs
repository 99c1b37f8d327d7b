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
    /// `None` if a key occurs twice.
    fn dict(entries: Vec<(Self, Self)>) -> Option<Self>;
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
    let token = input.token()?;
    match value(input, token, at)? {
        Some(value) => Ok(value),
        None => Err(DecodeError::new(at, DecodeErrorKind::UnexpectedEnd)),
    }
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

/// The value that `token`, at `at`, begins; none if it ends a container.
fn value<'a, T: Build<'a>>(
    input: &mut Decoder<'a>,
    token: Token<'a>,
    at: usize,
) -> Result<Option<T>, DecodeError> {
    let atom = match token {
        Token::Bool(value) => Atom::Bool(value),
        Token::Int(value) => Atom::Int(value),
        Token::BigInt(value) => Atom::BigInt(value),
        Token::F32(value) => Atom::F32(value),
        Token::F64(value) => Atom::F64(value),
        Token::Bytes(value) => Atom::Bytes(value),
        Token::String(value) => Atom::String(value),
        Token::Symbol(value) => Atom::Symbol(value),
        Token::ListEnd | Token::DictEnd | Token::SetEnd | Token::RecordEnd => return Ok(None),
        Token::ListStart | Token::DictStart | Token::SetStart | Token::RecordStart => {
            return container(input, token, at).map(Some);
        }
    };
    Ok(Some(T::atom(atom)))
}

fn container<'a, T: Build<'a>>(
    input: &mut Decoder<'a>,
    token: Token<'a>,
    at: usize,
) -> Result<T, DecodeError> {
    if input.depth() > MAX_TREE_DEPTH {
        let kind = DecodeErrorKind::DepthLimit(MAX_TREE_DEPTH);
        return Err(DecodeError::new(at, kind));
    }
    let repeated = || DecodeError::new(at, DecodeErrorKind::DuplicateKey);
    match token {
        Token::DictStart => {
            let mut entries = Vec::new();
            while let Some(key) = next(input)? {
                entries.push((key, read(input)?));
            }
            T::dict(entries).ok_or_else(repeated)
        }
        Token::SetStart => T::set(items(input)?).ok_or_else(repeated),
        Token::RecordStart => Ok(T::record(items(input)?)),
        _ => Ok(T::list(items(input)?)),
    }
}

fn items<'a, T: Build<'a>>(input: &mut Decoder<'a>) -> Result<Vec<T>, DecodeError> {
    let mut items = Vec::new();
    while let Some(item) = next(input)? {
        items.push(item);
    }
    Ok(items)
}

fn next<'a, T: Build<'a>>(input: &mut Decoder<'a>) -> Result<Option<T>, DecodeError> {
    let at = input.position();
    let token = input.token()?;
    value(input, token, at)
}
