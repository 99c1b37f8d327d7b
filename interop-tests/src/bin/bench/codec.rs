//! The codec on three messages, against copying their bytes.

use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use interop_tests::hot_paths::{Sessions, messages};
use syrup::{Decoder, Encoder, Value, ValueRef};

use crate::table::{OURS, Table, Unit};

const LINEAR: &str = "decoding 64 MiB instead of 1, each byte";
const TO_MESSAGE: &str = "decode op:deliver to a message";
const MEMCPY: &str = "memcpy";

/// A message and what its rows end in.
struct Message<'a> {
    name: &'static str,
    encode: Box<dyn Fn(&mut Encoder<'_>) + 'a>,
}

/// Measures every row of the codec; one figure for so long.
pub(crate) fn measure(table: &mut Table, figure: Duration, peers: Option<&Path>) {
    let blob = vec![7; 1 << 20];
    let names = messages::names();
    let each = [
        Message { name: "op:deliver", encode: Box::new(messages::deliver) },
        Message { name: "1,000 structs", encode: Box::new(|out| messages::structs(out, &names)) },
        Message { name: "a 1 MiB byte array", encode: Box::new(|out| messages::blob(out, &blob)) },
    ];
    for message in &each {
        measure_one(table, figure, message);
    }
    to_message(table, figure);
    linear(table);
    if let Some(peers) = peers {
        others(table, figure, peers);
    }
}

fn measure_one(table: &mut Table, figure: Duration, message: &Message<'_>) {
    let Message { name, encode } = message;
    let bytes = messages::encoded(encode);
    let mut copy = vec![0; bytes.len()];
    let mut buffer = Vec::with_capacity(bytes.len());
    let encoding = format!("encode {name}");
    // Of a byte array there is nothing to build a tree of.
    let atom = bytes.len() > 1 << 20;
    let kinds: &[&str] = if atom { &[""] } else { &[", tokens", ", borrowed", ", owned"] };
    let decoding = |kind: &str| format!("decode {name}{kind}");
    for _ in 0..table.reps {
        let floor = nanoseconds(figure, || {
            black_box(&mut copy).copy_from_slice(black_box(&bytes));
        });
        if table.wants(&encoding) {
            let ours = nanoseconds(figure, || {
                buffer.clear();
                encode(&mut Encoder::new(black_box(&mut buffer)));
            });
            table.add(&encoding, Unit::Time, OURS, ours);
            table.add(&encoding, Unit::Time, MEMCPY, floor);
        }
        for kind in kinds {
            let row = decoding(kind);
            if !table.wants(&row) {
                continue;
            }
            let ours = match *kind {
                ", borrowed" => nanoseconds(figure, || {
                    black_box(ValueRef::decode(black_box(&bytes)).expect("just encoded"));
                }),
                ", owned" => nanoseconds(figure, || {
                    black_box(Value::decode(black_box(&bytes)).expect("just encoded"));
                }),
                _ => nanoseconds(figure, || tokens(black_box(&bytes))),
            };
            table.add(&row, Unit::Time, OURS, ours);
            table.add(&row, Unit::Time, MEMCPY, floor);
        }
    }
}

fn tokens(bytes: &[u8]) {
    let mut decoder = Decoder::new(bytes);
    while decoder.position() < bytes.len() {
        black_box(decoder.token().expect("just encoded"));
    }
}

/// A message as a session gives it to whoever runs its objects: the end of it found, its
/// target and references looked up, its arguments owned. In a burst.
fn to_message(table: &mut Table, figure: Duration) {
    const BURST: usize = 100;
    if !table.wants(TO_MESSAGE) {
        return;
    }
    let mut sessions = Sessions::new();
    let mut burst = Vec::new();
    for _ in 0..BURST {
        sessions.say().iter().for_each(|bytes| burst.extend_from_slice(bytes));
    }
    for _ in 0..table.reps {
        let all = nanoseconds(figure, || {
            let taken = sessions.take_in(&mut BytesMut::from(black_box(&*burst)));
            assert_eq!(taken, BURST, "every message arrives");
        });
        table.add(TO_MESSAGE, Unit::Time, OURS, all / 100.0);
    }
}

/// Whether a byte of a long message takes as long as one of a short one.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn linear(table: &mut Table) {
    if !table.wants(LINEAR) {
        return;
    }
    let of = |structs: usize| {
        let names: Vec<String> = (0..structs).map(|number| format!("name-{number}")).collect();
        messages::encoded(|out| messages::structs(out, &names))
    };
    // Some 70 bytes each: one MiB, and a little less than the 64 that are the limit.
    let (short, long) = (of(15_000), of(850_000));
    let time = |bytes: &[u8]| {
        let start = Instant::now();
        tokens(bytes);
        start.elapsed().as_nanos() as f64
    };
    for _ in 0..table.reps {
        let rounds = long.len() / short.len();
        let many: f64 = (0..rounds).map(|_| time(&short)).sum();
        let one = time(&long) / long.len() as f64;
        let many = many / (rounds * short.len()) as f64;
        table.add(LINEAR, Unit::Times, OURS, one / many);
    }
}

/// How long `body` takes, in a loop long enough to tell.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn nanoseconds(figure: Duration, mut body: impl FnMut()) -> f64 {
    let (start, mut done, mut batch) = (Instant::now(), 0u64, 1);
    while start.elapsed() < figure {
        for _ in 0..batch {
            body();
        }
        done += batch;
        batch = (2 * batch).min(10_000);
    }
    start.elapsed().as_nanos() as f64 / done as f64
}

/// The rows that others have figures in.
const OTHERS: [&str; 9] = [
    "encode op:deliver",
    "decode op:deliver, borrowed",
    "decode op:deliver, owned",
    TO_MESSAGE,
    "encode 1,000 structs",
    "decode 1,000 structs, borrowed",
    "decode 1,000 structs, owned",
    "encode a 1 MiB byte array",
    "decode a 1 MiB byte array",
];

/// The same messages by other crates, in the process of the peers: asked for each
/// repetition, it prints a line for each figure and at last an empty one.
fn others(table: &mut Table, figure: Duration, peers: &Path) {
    if !table.wants_any(OTHERS) {
        return;
    }
    let mut process = Command::new(peers)
        .args(["codec", &figure.as_millis().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the peers' program");
    let mut orders = process.stdin.take().expect("its input");
    let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
    for _ in 0..table.reps {
        writeln!(orders).expect("the process is there");
        while let Some(Ok(line)) =
            lines.next().filter(|it| it.as_ref().is_ok_and(|it| !it.is_empty()))
        {
            let mut words = line.split('\t');
            let (Some(row), Some(who), Some(figure)) = (words.next(), words.next(), words.next())
            else {
                panic!("a row, who it is and a figure: {line}")
            };
            table.add_named(row, Unit::Time, who, figure.parse().expect("a figure"));
        }
    }
    drop(orders);
    let _exited = process.wait();
}
