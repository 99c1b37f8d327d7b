//! The codec on three messages: a typical call, a list of small structs, and one
//! large byte array.
//!
//! `cargo bench -p syrup`; MB/s are in the throughput column.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use syrup::{Decoder, Encoder};

/// `op:deliver` of a method with two texts and three numbers: 98 bytes.
fn deliver(out: &mut Encoder<'_>) {
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

/// A list of a thousand structs of five fields.
#[allow(clippy::cast_precision_loss, reason = "any figure will do")]
fn structs(out: &mut Encoder<'_>, names: &[String]) {
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

fn blob(out: &mut Encoder<'_>, bytes: &[u8]) {
    out.begin_list();
    out.bytes(bytes);
    out.end_list();
}

fn tokens(bytes: &[u8]) -> usize {
    let mut input = Decoder::new(bytes);
    let mut count = 0;
    while input.position() < bytes.len() {
        black_box(input.token().expect("what was just encoded"));
        count += 1;
    }
    count
}

fn message(c: &mut Criterion, name: &str, encode: &dyn Fn(&mut Encoder<'_>)) {
    let mut bytes = Vec::new();
    encode(&mut Encoder::new(&mut bytes));
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::BytesDecimal(bytes.len() as u64));
    let mut buffer = Vec::with_capacity(bytes.len());
    group.bench_function("encode", |b| {
        b.iter(|| {
            buffer.clear();
            encode(&mut Encoder::new(black_box(&mut buffer)));
            buffer.len()
        });
    });
    group.bench_function("decode tokens", |b| b.iter(|| tokens(black_box(&bytes))));
    group.finish();
}

fn codec(c: &mut Criterion) {
    let names: Vec<String> = (0..1000).map(|i| format!("item-name-{i}")).collect();
    let large: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
    message(c, "op:deliver", &deliver);
    message(c, "1,000 structs", &|out| structs(out, &names));
    message(c, "1 MiB bytes", &|out| blob(out, &large));
}

criterion_group!(benches, codec);
criterion_main!(benches);
