//! The paths that every call takes, each as a program that does it over and over, the
//! same way every time: no clock, no socket, no thread, no randomness.
//!
//! `.ci/instructions` counts their instructions, the program `allocations` their
//! allocations, and the benchmark times some.

pub mod bare;
mod hubs;
pub mod messages;
mod sessions;
mod vats;

use std::hint::black_box;

use syrup::{Decoder, Encoder, Options, Scanner, Value, ValueRef};

pub use self::hubs::Hubs;
pub use self::sessions::Sessions;

/// A path, ready to be taken.
pub struct HotPath {
    /// What a table calls it.
    pub name: &'static str,
    /// How many operations one [`HotPath::run`] makes.
    pub operations: u64,
    body: Box<dyn FnMut()>,
}

impl HotPath {
    fn new(name: &'static str, operations: u64, body: impl FnMut() + 'static) -> Self {
        Self { name, operations, body: Box::new(body) }
    }

    /// Makes all of its operations once.
    pub fn run(&mut self) {
        (self.body)();
    }
}

type Make = fn() -> HotPath;

/// Every path's name, and what sets it up.
const PATHS: [(&str, Make); 15] = [
    ("encode op:deliver", encode_deliver),
    ("scan op:deliver", scan_deliver),
    ("decode op:deliver, tokens", decode_deliver_tokens),
    ("decode op:deliver, borrowed", decode_deliver),
    ("encode 1,000 structs", encode_structs),
    ("decode 1,000 structs, borrowed", decode_structs),
    ("decode 1,000 structs, owned", decode_structs_owned),
    ("say op:deliver", sessions::say),
    ("take in a burst of op:deliver", sessions::take_in),
    ("$ call", vats::call),
    ("near send, with its promise", vats::send),
    ("near send, without", vats::send_only),
    ("call between nodes", hubs::call),
    ("call between nodes, 64 in flight", hubs::window),
    ("reference passed and dropped", hubs::pass),
];

/// The names of all paths, in the order of the tables.
pub fn names() -> impl Iterator<Item = &'static str> {
    PATHS.iter().map(|(name, _)| *name)
}

/// Sets the path of that name up.
#[must_use]
pub fn path(name: &str) -> Option<HotPath> {
    let (_, make) = PATHS.iter().find(|(known, _)| *known == name)?;
    Some(make())
}

fn encoding(name: &'static str, encode: impl Fn(&mut Encoder<'_>) + 'static) -> HotPath {
    let mut buffer = Vec::new();
    HotPath::new(name, 1, move || {
        buffer.clear();
        encode(&mut Encoder::new(black_box(&mut buffer)));
    })
}

fn decoding(
    name: &'static str,
    encode: impl Fn(&mut Encoder<'_>),
    decode: impl Fn(&[u8]) + 'static,
) -> HotPath {
    let bytes = messages::encoded(encode);
    HotPath::new(name, 1, move || decode(black_box(&bytes)))
}

fn encode_deliver() -> HotPath {
    encoding("encode op:deliver", messages::deliver)
}

fn scan_deliver() -> HotPath {
    let mut scanner = Scanner::new(&Options::default());
    let bytes = messages::encoded(messages::deliver);
    HotPath::new("scan op:deliver", 1, move || {
        black_box(scanner.scan(black_box(&bytes))).expect("what was just encoded");
    })
}

fn decode_deliver_tokens() -> HotPath {
    decoding("decode op:deliver, tokens", messages::deliver, |bytes| {
        let mut decoder = Decoder::new(bytes);
        while decoder.position() < bytes.len() {
            black_box(decoder.token().expect("what was just encoded"));
        }
    })
}

fn decode_deliver() -> HotPath {
    decoding("decode op:deliver, borrowed", messages::deliver, |bytes| {
        black_box(ValueRef::decode(bytes).expect("what was just encoded"));
    })
}

fn encode_structs() -> HotPath {
    let names = messages::names();
    encoding("encode 1,000 structs", move |out| messages::structs(out, &names))
}

fn decode_structs() -> HotPath {
    let encode = |out: &mut Encoder<'_>| messages::structs(out, &messages::names());
    decoding("decode 1,000 structs, borrowed", encode, |bytes| {
        black_box(ValueRef::decode(bytes).expect("what was just encoded"));
    })
}

fn decode_structs_owned() -> HotPath {
    let encode = |out: &mut Encoder<'_>| messages::structs(out, &messages::names());
    decoding("decode 1,000 structs, owned", encode, |bytes| {
        black_box(Value::decode(bytes).expect("what was just encoded"));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_runs_again_and_again() {
        for name in names() {
            let mut path = path(name).expect("a path of the list");
            assert_eq!(path.name, name);
            for _ in 0..3 {
                path.run();
            }
        }
    }
}
