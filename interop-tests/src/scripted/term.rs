//! Syrup as a tree: what the scripted peer says and hears, well formed or not.

use num_bigint::BigInt;
use syrup::{DecodeError, Decoder, Encoder, Options, Token};

/// A Syrup value.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// `t` or `f`.
    Bool(bool),
    /// An integer of any size.
    Int(BigInt),
    /// A double; singles are widened.
    Float(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A string.
    Text(String),
    /// A symbol.
    Symbol(String),
    /// A list.
    List(Vec<Term>),
    /// A dictionary; encoded in canonical order.
    Dict(Vec<(Term, Term)>),
    /// A set; encoded in canonical order.
    Set(Vec<Term>),
    /// A record: its label and its fields.
    Record(Box<Term>, Vec<Term>),
}

impl Term {
    /// A symbol.
    pub fn symbol(name: impl Into<String>) -> Self {
        Self::Symbol(name.into())
    }

    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An integer.
    pub fn int(value: impl Into<BigInt>) -> Self {
        Self::Int(value.into())
    }

    /// Bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// A list.
    pub fn list(items: impl Into<Vec<Self>>) -> Self {
        Self::List(items.into())
    }

    /// A record with a symbol for its label.
    pub fn record(label: &str, fields: impl Into<Vec<Self>>) -> Self {
        Self::Record(Box::new(Self::symbol(label)), fields.into())
    }

    /// A record of a label and a position: a descriptor.
    #[must_use]
    pub fn descriptor(label: &str, pos: u64) -> Self {
        Self::record(label, [Self::int(pos)])
    }

    /// The fields, if this is a record with that label.
    #[must_use]
    pub fn fields_of(&self, label: &str) -> Option<&[Self]> {
        match self {
            Self::Record(found, fields) if found.is_symbol(label) => Some(fields),
            _ => None,
        }
    }

    /// The position, if this is a descriptor with that label.
    #[must_use]
    pub fn pos_of(&self, label: &str) -> Option<u64> {
        match self.fields_of(label)? {
            [pos] => pos.as_u64(),
            _ => None,
        }
    }

    /// The number, if this is one that fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    /// The items, if this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Whether this is that symbol.
    #[must_use]
    pub fn is_symbol(&self, name: &str) -> bool {
        matches!(self, Self::Symbol(found) if found == name)
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut Encoder::new(&mut bytes));
        bytes
    }

    fn write(&self, out: &mut Encoder<'_>) {
        match self {
            Self::Bool(value) => out.bool(*value),
            Self::Int(value) => out.bigint(value),
            Self::Float(value) => out.f64(*value),
            Self::Bytes(bytes) => out.bytes(bytes),
            Self::Text(text) => out.string(text),
            Self::Symbol(name) => out.symbol(name),
            Self::List(items) => {
                out.begin_list();
                items.iter().for_each(|item| item.write(out));
                out.end_list();
            }
            Self::Dict(entries) => {
                let encoded = entries.iter().map(|(key, value)| (key.encode(), value.encode()));
                let mut encoded: Vec<_> = encoded.collect();
                encoded.sort();
                out.begin_dict();
                for (key, value) in encoded {
                    out.raw(&key);
                    out.raw(&value);
                }
                out.end_dict();
            }
            Self::Set(items) => {
                let mut encoded: Vec<_> = items.iter().map(Self::encode).collect();
                encoded.sort();
                out.begin_set();
                encoded.iter().for_each(|item| out.raw(item));
                out.end_set();
            }
            Self::Record(label, fields) => {
                out.begin_record();
                label.write(out);
                fields.iter().for_each(|field| field.write(out));
                out.end_record();
            }
        }
    }

    /// Reads one whole value.
    ///
    /// # Errors
    ///
    /// If the bytes are not one well-formed Syrup value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Decoder::with_options(bytes, &Options::default());
        let token = input.token()?;
        let term = Self::read(token, &mut input)?;
        input.end()?;
        Ok(term)
    }

    fn read(token: Token<'_>, input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match token {
            Token::Bool(value) => Self::Bool(value),
            Token::Int(value) => Self::int(value),
            Token::BigInt(digits) => Self::Int(digits.to_bigint()),
            Token::F32(value) => Self::Float(value.into()),
            Token::F64(value) => Self::Float(value),
            Token::Bytes(bytes) => Self::bytes(bytes),
            Token::String(text) => Self::text(text),
            Token::Symbol(name) => Self::symbol(name),
            Token::ListStart => Self::List(Self::until(&Token::ListEnd, input)?),
            Token::SetStart => Self::Set(Self::until(&Token::SetEnd, input)?),
            Token::DictStart => {
                let mut items = Self::until(&Token::DictEnd, input)?.into_iter();
                let mut entries = Vec::new();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    entries.push((key, value));
                }
                Self::Dict(entries)
            }
            Token::RecordStart => {
                let label = input.token()?;
                let label = Box::new(Self::read(label, input)?);
                Self::Record(label, Self::until(&Token::RecordEnd, input)?)
            }
            // A closing bracket where a value should be. The scanner lets none
            // through; an empty list stands for it.
            Token::ListEnd | Token::DictEnd | Token::SetEnd | Token::RecordEnd => Self::list([]),
        })
    }

    fn until(end: &Token<'_>, input: &mut Decoder<'_>) -> Result<Vec<Self>, DecodeError> {
        let mut items = Vec::new();
        loop {
            let token = input.token()?;
            if token == *end {
                return Ok(items);
            }
            items.push(Self::read(token, input)?);
        }
    }
}

impl std::fmt::Display for Term {
    /// For people, and short: what is long is cut.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.encode()).into_owned();
        match text.char_indices().nth(160) {
            Some((cut, _)) => write!(f, "{}…", text.get(..cut).unwrap_or_default()),
            None => f.write_str(&text),
        }
    }
}

impl From<&ocapn::PeerLocator> for Term {
    fn from(peer: &ocapn::PeerLocator) -> Self {
        let hints = match peer
            .hints
            .iter()
            .map(|(key, value)| (Self::text(key), Self::text(value)))
            .collect::<Vec<_>>()
        {
            hints if hints.is_empty() => Self::Bool(false),
            hints => Self::Dict(hints),
        };
        let (transport, designator) = (Self::symbol(&peer.transport), Self::text(&peer.designator));
        Self::record("ocapn-peer", [transport, designator, hints])
    }
}
