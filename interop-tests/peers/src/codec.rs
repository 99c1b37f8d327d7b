//! Other codecs on the messages that ours is measured with, in the shapes in which one
//! would use them: trees of values for those that are trees, static structs for serde's.

use std::hint::black_box;
use std::io::BufRead as _;
use std::time::{Duration, Instant};

use ocapn_syrup::Value as Syrup;
use preserves::{IOValue, IOValueReader as _, Map, PackedWriter, TreeValueReader, ViewValueReader};
use serde::{Deserialize, Serialize};

/// A tree from which the others' are made.
enum Tree {
    Bool(bool),
    Int(i64),
    Float(f64),
    Bytes(Vec<u8>),
    Text(String),
    Symbol(&'static str),
    List(Vec<Tree>),
    Dict(Vec<(Tree, Tree)>),
    Record(Vec<Tree>),
}

fn text(text: &str) -> Tree {
    Tree::Text(text.to_owned())
}

fn position(label: &'static str, position: i64) -> Tree {
    Tree::Record(vec![Tree::Symbol(label), Tree::Int(position)])
}

impl Tree {
    fn deliver() -> Self {
        let args = vec![
            Self::Symbol("deposit"),
            text("hello, world"),
            Self::Int(1),
            Self::Int(42),
            Self::Int(1_000_000),
        ];
        Self::Record(vec![
            Self::Symbol("op:deliver"),
            position("desc:export", 5),
            Self::List(args),
            Self::Bool(false),
            position("desc:import-object", 7),
        ])
    }

    fn structs() -> Self {
        let one = |item: Item| {
            Self::Dict(vec![
                (text("id"), Self::Int(item.id)),
                (text("ok"), Self::Bool(item.ok)),
                (text("name"), Self::Text(item.name)),
                (text("count"), Self::Int(item.count)),
                (text("ratio"), Self::Float(item.ratio)),
            ])
        };
        Self::List(Item::thousand().into_iter().map(one).collect())
    }

    fn blob() -> Self {
        Self::List(vec![Self::Bytes(vec![7; 1 << 20])])
    }

    fn syrup(&self) -> Syrup {
        match self {
            Self::Bool(value) => Syrup::boolean(*value),
            Self::Int(value) => Syrup::integer(*value),
            Self::Float(value) => Syrup::double(*value),
            Self::Bytes(value) => Syrup::Binary(value.clone()),
            Self::Text(value) => Syrup::string(value.as_str()),
            Self::Symbol(value) => Syrup::symbol(*value),
            Self::List(values) => Syrup::sequence(values.iter().map(Self::syrup).collect()),
            Self::Dict(entries) => {
                let entry = |(key, value): &(Self, Self)| (key.syrup(), value.syrup());
                Syrup::dictionary(entries.iter().map(entry).collect())
            }
            Self::Record(fields) => {
                let (label, fields) = fields.split_first().expect("a label");
                Syrup::record(label.syrup(), fields.iter().map(Self::syrup).collect())
            }
        }
    }

    fn preserves(&self) -> IOValue {
        match self {
            Self::Bool(value) => IOValue::new(*value),
            Self::Int(value) => IOValue::new(*value),
            Self::Float(value) => IOValue::new(*value),
            Self::Bytes(value) => IOValue::bytes(value.clone()),
            Self::Text(value) => IOValue::new(value.clone()),
            Self::Symbol(value) => IOValue::symbol((*value).to_owned()),
            Self::List(values) => {
                let values = values.iter().map(|it| preserves::Value::from(it.preserves()));
                IOValue::new(values.collect::<Vec<preserves::Value<IOValue>>>())
            }
            Self::Dict(entries) => {
                let entry = |(key, value): &(Self, Self)| {
                    (key.preserves().into(), value.preserves().into())
                };
                let map: Map<preserves::Value<IOValue>, preserves::Value<IOValue>> =
                    entries.iter().map(entry).collect();
                IOValue::new(map)
            }
            Self::Record(fields) => {
                let (label, fields) = fields.split_first().expect("a label");
                IOValue::record(label.preserves(), fields.iter().map(Self::preserves).collect())
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Position(u64);

#[derive(Serialize, Deserialize)]
struct Deliver(String, Position, (String, String, i64, i64, i64), bool, Position);

#[derive(Deserialize)]
#[expect(dead_code, reason = "only made")]
struct DeliverRef<'a>(
    &'a str,
    Position,
    #[serde(borrow)] (&'a str, &'a str, i64, i64, i64),
    bool,
    Position,
);

impl Deliver {
    fn new() -> Self {
        let args = ("deposit".to_owned(), "hello, world".to_owned(), 1, 42, 1_000_000);
        Self("op:deliver".to_owned(), Position(5), args, false, Position(7))
    }
}

#[derive(Serialize, Deserialize)]
struct Item {
    id: i64,
    ok: bool,
    name: String,
    count: i64,
    ratio: f64,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only made")]
struct ItemRef<'a> {
    id: i64,
    ok: bool,
    name: &'a str,
    count: i64,
    ratio: f64,
}

impl Item {
    fn thousand() -> Vec<Self> {
        let item = |number: i32| Self {
            id: i64::from(number) * 7919 - 1000,
            ok: number % 3 == 0,
            name: format!("item-name-{number}"),
            count: i64::from(number * number),
            ratio: f64::from(number) * 0.3712,
        };
        (0..1000).map(item).collect()
    }
}

/// A row, who is in it, and what is measured.
type Figure = (String, &'static str, Box<dyn FnMut()>);

/// Waits for a line, prints all figures, and so on until standard input ends.
pub(crate) fn measure(each: Duration) {
    let mut figures = Vec::new();
    trees(&mut figures, "op:deliver", &Tree::deliver());
    trees(&mut figures, "1,000 structs", &Tree::structs());
    trees(&mut figures, "a 1 MiB byte array", &Tree::blob());
    delivers(&mut figures);
    structs(&mut figures);
    blobs(&mut figures);
    for _ in std::io::stdin().lock().lines() {
        for (row, who, body) in &mut figures {
            println!("{row}\t{who}\t{}", nanoseconds(each, body));
        }
        crate::work::say("");
    }
}

fn nanoseconds(each: Duration, body: &mut dyn FnMut()) -> f64 {
    let (start, mut done, mut batch) = (Instant::now(), 0u64, 1);
    while start.elapsed() < each {
        (0..batch).for_each(|_| body());
        done += batch;
        batch = (2 * batch).min(10_000);
    }
    start.elapsed().as_nanos() as f64 / done as f64
}

fn add(figures: &mut Vec<Figure>, row: &str, who: &'static str, body: impl FnMut() + 'static) {
    figures.push((row.to_owned(), who, Box::new(body)));
}

/// Where decoding to a tree of its own belongs.
fn owned(name: &str) -> String {
    if name.ends_with("array") { format!("decode {name}") } else { format!("decode {name}, owned") }
}

fn trees(figures: &mut Vec<Figure>, name: &str, tree: &Tree) {
    let value = tree.syrup();
    let bytes = value.to_vec();
    let (encode, decode) = (format!("encode {name}"), owned(name));
    let decoding = bytes.clone();
    let syrup = move || {
        black_box(Syrup::try_from(black_box(&*decoding)).expect("just encoded"));
    };
    add(figures, &decode, "ocapn-syrup", syrup.clone());
    if name == "op:deliver" {
        add(figures, "decode op:deliver to a message", "ocapn-syrup", syrup);
    }
    add(figures, &encode, "ocapn-syrup", move || {
        black_box(black_box(&value).to_vec());
    });
    let value = tree.preserves();
    let bytes = PackedWriter::encode_iovalue(&value).expect("it can be written");
    let decoding = bytes.clone();
    let preserves = move || {
        let tree = TreeValueReader::read_iovalue_packed(black_box(&*decoding), false);
        black_box(tree.expect("just encoded"));
    };
    add(figures, &decode, "preserves", preserves.clone());
    if name == "op:deliver" {
        add(figures, "decode op:deliver to a message", "preserves", preserves);
    }
    if !name.ends_with("array") {
        add(figures, &format!("decode {name}, borrowed"), "preserves", move || {
            let view = ViewValueReader::read_iovalue_packed(black_box(&*bytes), false);
            black_box(view.expect("just encoded"));
        });
    }
    add(figures, &encode, "preserves", move || {
        black_box(PackedWriter::encode_iovalue(black_box(&value)).expect("it can be written"));
    });
}

fn delivers(figures: &mut Vec<Figure>) {
    const ENCODE: &str = "encode op:deliver";
    const OWNED: &str = "decode op:deliver, owned";
    const MESSAGE: &str = "decode op:deliver to a message";
    let bytes = rmp_serde::to_vec(&Deliver::new()).expect("it can be written");
    let decoding = bytes.clone();
    add(figures, MESSAGE, "rmp-serde", move || {
        black_box(rmp_serde::from_slice::<Deliver>(black_box(&decoding)).expect("just encoded"));
    });
    add(figures, "decode op:deliver, borrowed", "rmp-serde", move || {
        black_box(
            rmp_serde::from_slice::<DeliverRef<'_>>(black_box(&bytes)).expect("just encoded"),
        );
    });
    let message = Deliver::new();
    add(figures, ENCODE, "rmp-serde", move || {
        black_box(rmp_serde::to_vec(black_box(&message)).expect("it can be written"));
    });
    let mut bytes = Vec::new();
    ciborium::into_writer(&Deliver::new(), &mut bytes).expect("it can be written");
    let decoding = bytes.clone();
    add(figures, MESSAGE, "ciborium", move || {
        let message = ciborium::from_reader::<Deliver, _>(black_box(&*decoding));
        black_box(message.expect("just encoded"));
    });
    add(figures, OWNED, "ciborium", move || {
        let tree = ciborium::from_reader::<ciborium::Value, _>(black_box(&*bytes));
        black_box(tree.expect("just encoded"));
    });
    let message = Deliver::new();
    add(figures, ENCODE, "ciborium", move || {
        let mut bytes = Vec::new();
        ciborium::into_writer(black_box(&message), &mut bytes).expect("it can be written");
        black_box(bytes);
    });
    let bytes = serde_json::to_vec(&Deliver::new()).expect("it can be written");
    let decoding = bytes.clone();
    add(figures, MESSAGE, "serde_json", move || {
        black_box(serde_json::from_slice::<Deliver>(black_box(&decoding)).expect("just encoded"));
    });
    add(figures, OWNED, "serde_json", move || {
        let tree = serde_json::from_slice::<serde_json::Value>(black_box(&bytes));
        black_box(tree.expect("just encoded"));
    });
    let message = Deliver::new();
    add(figures, ENCODE, "serde_json", move || {
        black_box(serde_json::to_vec(black_box(&message)).expect("it can be written"));
    });
}

fn structs(figures: &mut Vec<Figure>) {
    const ENCODE: &str = "encode 1,000 structs";
    const OWNED: &str = "decode 1,000 structs, owned";
    const BORROWED: &str = "decode 1,000 structs, borrowed";
    let bytes = rmp_serde::to_vec_named(&Item::thousand()).expect("it can be written");
    let decoding = bytes.clone();
    add(figures, OWNED, "rmp-serde", move || {
        black_box(rmp_serde::from_slice::<Vec<Item>>(black_box(&decoding)).expect("just encoded"));
    });
    add(figures, BORROWED, "rmp-serde", move || {
        let items = rmp_serde::from_slice::<Vec<ItemRef<'_>>>(black_box(&bytes));
        black_box(items.expect("just encoded"));
    });
    let items = Item::thousand();
    add(figures, ENCODE, "rmp-serde", move || {
        black_box(rmp_serde::to_vec_named(black_box(&items)).expect("it can be written"));
    });
    let mut bytes = Vec::new();
    ciborium::into_writer(&Item::thousand(), &mut bytes).expect("it can be written");
    add(figures, OWNED, "ciborium", move || {
        let tree = ciborium::from_reader::<ciborium::Value, _>(black_box(&*bytes));
        black_box(tree.expect("just encoded"));
    });
    let items = Item::thousand();
    add(figures, ENCODE, "ciborium", move || {
        let mut bytes = Vec::new();
        ciborium::into_writer(black_box(&items), &mut bytes).expect("it can be written");
        black_box(bytes);
    });
    let bytes = serde_json::to_vec(&Item::thousand()).expect("it can be written");
    let decoding = bytes.clone();
    add(figures, OWNED, "serde_json", move || {
        let tree = serde_json::from_slice::<serde_json::Value>(black_box(&decoding));
        black_box(tree.expect("just encoded"));
    });
    add(figures, BORROWED, "serde_json", move || {
        let items = serde_json::from_slice::<Vec<ItemRef<'_>>>(black_box(&bytes));
        black_box(items.expect("just encoded"));
    });
    let items = Item::thousand();
    add(figures, ENCODE, "serde_json", move || {
        black_box(serde_json::to_vec(black_box(&items)).expect("it can be written"));
    });
}

fn blobs(figures: &mut Vec<Figure>) {
    const ENCODE: &str = "encode a 1 MiB byte array";
    const DECODE: &str = "decode a 1 MiB byte array";
    let blob = || vec![serde_bytes::ByteBuf::from(vec![7; 1 << 20])];
    let bytes = rmp_serde::to_vec(&blob()).expect("it can be written");
    add(figures, DECODE, "rmp-serde", move || {
        let blob = rmp_serde::from_slice::<Vec<&serde_bytes::Bytes>>(black_box(&bytes));
        black_box(blob.expect("just encoded"));
    });
    let value = blob();
    add(figures, ENCODE, "rmp-serde", move || {
        black_box(rmp_serde::to_vec(black_box(&value)).expect("it can be written"));
    });
    let mut bytes = Vec::new();
    ciborium::into_writer(&blob(), &mut bytes).expect("it can be written");
    add(figures, DECODE, "ciborium", move || {
        let blob = ciborium::from_reader::<Vec<serde_bytes::ByteBuf>, _>(black_box(&*bytes));
        black_box(blob.expect("just encoded"));
    });
    let value = blob();
    add(figures, ENCODE, "ciborium", move || {
        let mut bytes = Vec::new();
        ciborium::into_writer(black_box(&value), &mut bytes).expect("it can be written");
        black_box(bytes);
    });
}
