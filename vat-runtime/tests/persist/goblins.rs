//! Goblins' own Syrup store reads the file that we write, and we the one that it writes.
//!
//! Needs what the tests with living peers need: the scripts of
//! `../shared/interop/goblins` and a folder made by its `install.sh` in GOBLINS_PREFIX.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use captp::{Record, Tagged};
use vat_runtime::persist::{Environment, RestoreError, SyrupFile};
use vat_runtime::{Limits, Value};

use crate::kit::{Counter, Holder, World};

/// The scripts, or a note that they can't be run.
fn scripts() -> Option<PathBuf> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/interop/goblins");
    let missing = if !scripts.is_dir() {
        "no ../shared/interop/goblins beside the repository"
    } else if std::env::var_os("GOBLINS_PREFIX").is_none() {
        "GOBLINS_PREFIX does not name a folder made by ../shared/interop/goblins/install.sh"
    } else {
        return Some(scripts);
    };
    let test = "goblins_reads_and_writes_our_file";
    // Not by eprintln, which the test harness would keep to itself.
    let _said = writeln!(std::io::stderr(), "skipped: {test}: {missing}");
    None
}

/// Kinds as Goblins has them: a portrait is the list of the constructor's arguments, and
/// versions begin at 0.
fn environment() -> Environment {
    let mut test = Environment::new();
    let restore = |portrait: Value| match portrait {
        Value::List(args) => match args.as_slice() {
            [Value::Int(count)] => Ok(Counter(*count)),
            _ => Err(RestoreError::new("a counter has a count")),
        },
        _ => Err(RestoreError::new("a portrait is a list")),
    };
    let portray = |counter: &Counter| vec![Value::from(counter.0)].into();
    test.kind_with("^counter", 0, portray, restore).unwrap();
    test.kind_with("^holder", 0, |holder: &Holder| holder.0.clone(), |args| Ok(Holder(args)))
        .unwrap();
    let mut environment = Environment::new();
    environment.extend("test", &test).unwrap();
    environment
}

#[test]
fn goblins_reads_and_writes_our_file() {
    let Some(scripts) = scripts() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.syrup");
    let record = |label: &'static str, fields| {
        Value::Record(Box::new(Record { label: Value::symbol(label), fields }))
    };
    // What both have.
    let data = Value::from(vec![
        "text".into(),
        Value::symbol("symbol"),
        bytes::Bytes::from_static(b"\x00\xff").into(),
        true.into(),
        1.5.into(),
        Value::from("123456789012345678901234567890".parse::<num_bigint::BigInt>().unwrap()),
        Value::List(vec![]),
        Value::Struct(vec![("key".into(), 1.into())]),
        Value::Set(vec![1.into(), 2.into()]),
        Value::Tagged(Box::new(Tagged { tag: "money".into(), value: vec![Value::from(5)].into() })),
        record("vec", vec![1.into(), 2.into()]),
        record("kw", vec![Value::symbol("size")]),
        Value::Undefined,
    ]);
    let world = World::open(SyrupFile::open(&path).unwrap());
    let vat = world.vat_with("ours", Limits::default(), &environment());
    let counter = vat.spawn(Counter(7));
    let held = vec![Value::from(&counter), data.clone()];
    vat.set_root("holder", vat.spawn(Holder(held.into()))).unwrap();
    world.hand.run_until_idle();
    world.store.close().unwrap();
    drop((world, vat, counter));

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/persist/goblins.scm");
    let mut goblins = Command::new("sh");
    let goblins = goblins.arg(scripts.join("guile.sh")).arg(script).arg(&path);
    let output = goblins.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("(8 (\"text\" symbol "), "{said}{complaints}");

    let world = World::open(SyrupFile::open(&path).unwrap());
    let vat = world.vat_with("goblins", Limits::default(), &environment());
    let holder = vat.root("0").unwrap().unwrap();
    let Value::List(held) = world.get(&holder) else { panic!("not what was held") };
    assert_eq!(held[1], data);
    assert_eq!(world.ask(held[0].as_ref().unwrap(), vec![1.into()]), Ok(9.into()));
    assert_eq!(world.store.doctor().unwrap().ailments, []);
}
