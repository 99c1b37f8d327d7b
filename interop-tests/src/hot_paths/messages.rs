//! The messages that the codec is measured with: those of our notes on other codecs, so
//! that their figures stand beside ours.

use std::hint::black_box;

use syrup::Encoder;

/// What `encode` writes.
pub fn encoded(encode: impl Fn(&mut Encoder<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut Encoder::new(&mut bytes));
    bytes
}

/// `op:deliver` of a method with a text and three numbers: 98 bytes.
pub fn deliver(out: &mut Encoder<'_>) {
    out.begin_record();
    out.symbol("op:deliver");
    out.begin_record();
    out.symbol("desc:export");
    out.uint(black_box(5));
    out.end_record();
    out.begin_list();
    out.symbol(black_box("deposit"));
    out.string(black_box("hello, world"));
    out.int(black_box(1));
    out.int(black_box(42));
    out.int(black_box(1_000_000));
    out.end_list();
    out.bool(false);
    out.begin_record();
    out.symbol("desc:import-object");
    out.uint(black_box(7));
    out.end_record();
    out.end_record();
}

/// The names in [`structs`].
#[must_use]
pub fn names() -> Vec<String> {
    (0..1000).map(|number| format!("item-name-{number}")).collect()
}

/// A list of a struct of five fields for each name: of a thousand, 70,287 bytes.
#[allow(clippy::cast_precision_loss, reason = "any figure will do")]
pub fn structs(out: &mut Encoder<'_>, names: &[String]) {
    out.begin_list();
    for (number, name) in (0i64..).zip(names) {
        out.begin_dict();
        out.string("id");
        out.int(number * 7919 - 1000);
        out.string("ok");
        out.bool(number % 3 == 0);
        out.string("name");
        out.string(name);
        out.string("count");
        out.int(number * number);
        out.string("ratio");
        out.f64(number as f64 * 0.3712);
        out.end_dict();
    }
    out.end_list();
}

/// A list of one byte array.
pub fn blob(out: &mut Encoder<'_>, bytes: &[u8]) {
    out.begin_list();
    out.bytes(bytes);
    out.end_list();
}
