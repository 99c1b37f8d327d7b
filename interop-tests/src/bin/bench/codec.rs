//! The codec on three messages, against copying their bytes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use syrup::{Decoder, Encoder};

use crate::table::{Table, Unit};

/// How long one figure is measured.
const MEASURE: Duration = Duration::from_millis(25);

/// Measures every row of the codec.
pub(crate) fn measure(table: &mut Table, wanted: &dyn Fn(&str) -> bool) {
    let blob = vec![7; 1 << 20];
    type Encode<'a> = Box<dyn Fn(&mut Encoder<'_>) + 'a>;
    let messages: [(&str, Encode<'_>); 3] = [
        ("op:deliver", Box::new(deliver)),
        ("1,000 structs", Box::new(structs)),
        ("1 MiB byte array", Box::new(|out| list(out, |out| out.bytes(&blob)))),
    ];
    for (name, encode) in &messages {
        let (encoding, decoding) = (format!("encode {name}"), format!("decode {name}"));
        let mut bytes = Vec::new();
        encode(&mut Encoder::new(&mut bytes));
        let mut copy = vec![0; bytes.len()];
        let mut buffer = Vec::with_capacity(bytes.len());
        for _ in 0..table.reps() {
            let floor = nanoseconds(|| {
                black_box(&mut copy).copy_from_slice(black_box(&bytes));
            });
            if wanted(&encoding) {
                let ours = nanoseconds(|| {
                    buffer.clear();
                    encode(&mut Encoder::new(black_box(&mut buffer)));
                });
                table.add(&encoding, Unit::Nanoseconds, bytes.len(), ours, floor);
            }
            if wanted(&decoding) {
                let ours = nanoseconds(|| {
                    let mut decoder = Decoder::new(black_box(&bytes));
                    while decoder.position() < bytes.len() {
                        black_box(decoder.token().expect("what we have just encoded"));
                    }
                });
                table.add(&decoding, Unit::Nanoseconds, bytes.len(), ours, floor);
            }
        }
    }
}

/// How long `body` takes, in a loop long enough to tell.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn nanoseconds(mut body: impl FnMut()) -> f64 {
    let (start, mut done, mut batch) = (Instant::now(), 0u64, 1);
    while start.elapsed() < MEASURE {
        for _ in 0..batch {
            body();
        }
        done += batch;
        batch = (2 * batch).min(10_000);
    }
    start.elapsed().as_nanos() as f64 / done as f64
}

fn list(out: &mut Encoder<'_>, body: impl FnOnce(&mut Encoder<'_>)) {
    out.begin_list();
    body(out);
    out.end_list();
}

fn position(out: &mut Encoder<'_>, label: &str, pos: u64) {
    out.begin_record();
    out.symbol(label);
    out.uint(pos);
    out.end_record();
}

/// A call with a method, a name and three numbers.
fn deliver(out: &mut Encoder<'_>) {
    out.begin_record();
    out.symbol("op:deliver");
    position(out, "desc:export", 5);
    list(out, |out| {
        out.symbol("transfer");
        out.string("alice@example");
        out.int(250);
        out.int(-7);
        out.int(1_700_000_000);
    });
    out.uint(42);
    position(out, "desc:import-object", 17);
    out.end_record();
}

/// A list of small structs.
fn structs(out: &mut Encoder<'_>) {
    list(out, |out| {
        for number in 0..1000 {
            out.begin_dict();
            out.string("id");
            out.int(number);
            out.string("ok");
            out.bool(number % 2 == 0);
            out.string("name");
            out.string("a name of some length");
            out.string("count");
            out.int(number * 1000);
            out.string("ratio");
            out.f64(0.5);
            out.end_dict();
        }
    });
}
