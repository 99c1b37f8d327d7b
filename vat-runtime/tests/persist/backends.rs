//! What every backend must do, and what is told of stores that another program wrote.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use vat_runtime::Value;
use vat_runtime::persist::{
    Backend, Entry, Memory, Redb, StoredVat, SyrupFile, Transaction, View, copy, import_text,
};

use crate::kit::{Counter, Holder, World};

fn entry(text: &'static str) -> Bytes {
    let portrait = Bytes::from_static(text.as_bytes());
    let (kind, debug_name) = ("fleet/counter".into(), "Counter".into());
    Entry { kind, debug_name, version: 3, portrait }.encode().into()
}

fn all(view: &dyn View) -> Transaction {
    let memory = Memory::new();
    copy(view, &memory).unwrap();
    let summary = view.summary().unwrap();
    let mut all = Transaction {
        sequence: summary.sequence,
        collected: Some(summary.collected),
        vats: view.vats().unwrap(),
        ..Transaction::default()
    };
    view.objects(&mut |vat, id, entry| {
        all.objects.insert((vat, id), Some(Bytes::copy_from_slice(entry)));
        Ok(())
    })
    .unwrap();
    view.roots(&mut |vat, name, value| {
        let name = Bytes::copy_from_slice(name);
        all.roots.insert((vat, name), Some(Bytes::copy_from_slice(value)));
        Ok(())
    })
    .unwrap();
    assert_eq!(summary.objects, all.objects.len() as u64);
    all
}

/// Commits, looks, closes, opens again and looks.
fn contract<B: Backend>(open: impl Fn() -> B) {
    let mut first = Transaction { sequence: 1, collected: Some(9), ..Transaction::default() };
    first.vats.insert(1, StoredVat { name: "one".into(), next: 257 });
    first.vats.insert(2, StoredVat { name: "two".into(), next: 300 });
    for key in [(1, 1), (1, 256), (2, 1), (2, 299)] {
        first.objects.insert(key, Some(entry("<4'near1+>")));
    }
    first.roots.insert((1, "a".into()), Some("<4'near1+>".into()));
    first.roots.insert((1, Bytes::from_static(b"\x00\xff")), Some("5+".into()));
    first.roots.insert((2, "a".into()), Some("<3'far1+256+>".into()));
    let mut second = Transaction { sequence: 4, ..Transaction::default() };
    second.objects.insert((1, 1), Some(entry("[1+2+]")));
    second.objects.insert((2, 1), None);
    second.objects.insert((2, 7), None);
    second.roots.insert((1, "a".into()), None);
    second.roots.insert((2, "b".into()), Some("t".into()));

    let mut expected = first.clone();
    expected.sequence = 4;
    for (key, entry) in &second.objects {
        expected.objects.insert(*key, entry.clone());
    }
    for (key, value) in &second.roots {
        expected.roots.insert(key.clone(), value.clone());
    }
    expected.objects.retain(|_, entry| entry.is_some());
    expected.roots.retain(|_, value| value.is_some());

    let backend = open();
    assert_eq!(
        all(&*backend.view().unwrap()),
        Transaction { collected: Some(0), ..Transaction::default() }
    );
    backend.commit(&first).unwrap();
    let before = backend.view().unwrap();
    assert_eq!(all(&*before), first);
    backend.commit(&second).unwrap();
    assert_eq!(all(&*before), first, "a view does not change");
    drop(before);
    for _ in 0..2 {
        assert_eq!(all(&*backend.view().unwrap()), expected);
        assert_eq!(backend.object(1, 1).unwrap(), Some(entry("[1+2+]")));
        assert_eq!(backend.object(2, 1).unwrap(), None);
        let view = backend.view().unwrap();
        assert_eq!(view.root(2, b"b").unwrap(), Some("t".into()));
        assert_eq!(view.root(1, b"a").unwrap(), None);
    }
    drop(backend);
    assert_eq!(all(&*open().view().unwrap()), expected, "after another opening");
}

#[test]
fn memory_keeps_the_contract() {
    let memory = Memory::new();
    contract(|| memory.clone());
}

#[test]
fn a_syrup_file_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract(|| SyrupFile::open(folder.path().join("store.syrup")).unwrap());
}

#[test]
fn redb_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract(|| Redb::open(folder.path().join("store.redb")).unwrap());
}

#[test]
fn entries_are_lists_of_name_debug_name_version_and_data() {
    let text = String::from_utf8(entry("[1+]").to_vec()).unwrap();
    assert_eq!(text, "[[[5'fleet]7'counter]7'Counter3+[1+]]");
    let decoded = Entry::decode(&entry("[1+]")).unwrap();
    assert_eq!(decoded.kind, "fleet/counter");
    assert_eq!(decoded.encode(), entry("[1+]"));
    let plain = Entry { kind: "counter".into(), ..decoded };
    assert_eq!(plain.encode(), b"[7'counter7'Counter3+[1+]]");
    assert_eq!(Entry::decode(&plain.encode().into()).unwrap(), plain);
    for wrong in ["", "5+", "[7'counter]", "[7'counter7'Counter3+[1+]"] {
        assert!(Entry::decode(&wrong.into()).is_err(), "{wrong}");
    }
}

#[test]
fn a_file_is_open_once_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let open = SyrupFile::open(&path).unwrap();
    assert!(SyrupFile::open(&path).unwrap_err().to_string().contains("in use"));
    drop(open);
    assert!(SyrupFile::open(&path).is_ok());
    let path = folder.path().join("store.redb");
    let open = Redb::open(&path).unwrap();
    let error = Redb::open(&path).unwrap_err().to_string();
    assert!(error.contains("store.redb") && error.contains("open"), "{error}");
    drop(open);
    assert!(Redb::open(&path).is_ok());
}

/// There are secrets in them.
#[cfg(unix)]
#[test]
fn only_its_owner_may_read_a_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (syrup, redb) = (folder.path().join("store.syrup"), folder.path().join("store.redb"));
    SyrupFile::open(&syrup).unwrap().commit(&Transaction::default()).unwrap();
    drop(Redb::open(&redb).unwrap());
    for path in [syrup, redb] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// Files are written beside their place and moved there.
#[test]
fn what_a_crash_left_half_written_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, torn) in [("store.syrup", "<15'hobgoblin-st"), ("store.redb", "redb?")] {
        fs::write(folder.path().join(format!("{name}.next")), torn).unwrap();
    }
    contract(|| SyrupFile::open(folder.path().join("store.syrup")).unwrap());
    contract(|| Redb::open(folder.path().join("store.redb")).unwrap());
}

/// As a program of the next version would have left them.
#[test]
fn stores_of_newer_formats_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |error: io::Error| {
        let error = error.to_string();
        assert!(error.contains("format 2") && error.contains("up to 1"), "{error}");
    };
    let path = folder.path().join("store.syrup");
    fs::write(&path, "<15'hobgoblin-store2+0+0+{}>").unwrap();
    refusal(SyrupFile::open(&path).unwrap_err());
    let path = folder.path().join("store.redb");
    drop(Redb::open(&path).unwrap());
    let database = redb::Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    write.open_table(meta).unwrap().insert("format", 2).unwrap();
    write.commit().unwrap();
    drop(database);
    refusal(Redb::open(&path).unwrap_err());
    refusal(import_text("<'store 2 0 0>").unwrap_err());
}

#[test]
fn what_is_no_store_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    for content in
        ["hello", "5+", "<5'hello>", "<16'<portrait-graph>0+", "<16'<portrait-graph>9+1+0+{}[]>"]
    {
        let path = folder.path().join("store.syrup");
        fs::write(&path, content).unwrap();
        assert!(SyrupFile::open(&path).is_err(), "{content}");
        assert!(import_text(content).is_err(), "{content}");
    }
    let path = folder.path().join("store.redb");
    fs::write(&path, "this is no database, and long enough for one to be looked for in it")
        .unwrap();
    assert!(Redb::open(&path).is_err());
}

/// What Guile Goblins 0.18 wrote: a counter and a holder of it, by its `make-syrup-store`.
#[test]
fn graphs_that_goblins_wrote_are_read() {
    let graph = "<16'<portrait-graph>1+32:0123456789abcdef0123456789abcdef0+{0+[[[4'test]8'^counter]\
                 8'^counter0+[7+]]1+[[[4'test]7'^holder]7'^holder0+[<4'near0+>]]}[1+]>";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("goblins.syrup");
    fs::write(&path, graph).unwrap();
    let file = SyrupFile::open(&path).unwrap();
    let view = file.view().unwrap();
    assert_eq!(view.vats().unwrap()[&1], StoredVat { name: "goblins".into(), next: 2 });
    assert_eq!(view.root(1, b"0").unwrap(), Some("<4'near1+>".into()));
    let holder = Entry::decode(&view.object(1, 1).unwrap().unwrap()).unwrap();
    assert_eq!(holder.kind, "test/^holder");
    assert_eq!(&holder.portrait[..], b"[<4'near0+>]");
}

/// What is in the fixtures: a counter at 7 and a holder of it, in a vat of another one's.
fn fill(backend: impl Backend) {
    let world = World::open(backend);
    let (counters, holders) = (world.vat("counters"), world.vat("holders"));
    let counter = counters.root_or_spawn("counter", || Counter(3)).unwrap();
    assert_eq!(world.ask(&counter, vec![4.into()]), Ok(7.into()));
    let sturdyref = "ocapn://ada.loopback/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let sturdyref = sturdyref.parse::<captp::locator::Sturdyref>().unwrap();
    let held = vec![Value::from(&counter), Value::Null, "text".into(), sturdyref.into()];
    drop(holders.root_or_spawn("holder", || Holder(held.into())).unwrap());
    world.hand.run_until_idle();
    world.store.close().unwrap();
}

fn check(backend: impl Backend) {
    let world = World::open(backend);
    let (counters, holders) = (world.vat("counters"), world.vat("holders"));
    let counter = counters.root("counter").unwrap().unwrap();
    assert_eq!(world.ask(&counter, vec![1.into()]), Ok(8.into()));
    let holder = holders.root("holder").unwrap().unwrap();
    let Value::List(held) = world.get(&holder) else { panic!("not what was held") };
    assert_eq!(held[0], Value::from(&counter));
    assert_eq!(held[1..3], [Value::Null, "text".into()]);
    assert!(matches!(&held[3], Value::Sturdyref(it) if it.peer.designator == "ada"));
    assert_eq!(world.store.doctor().unwrap().ailments, []);
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A store written by each released version opens in the newest: one folder for each.
#[test]
fn stores_of_every_released_version_open() {
    let mut versions = 0;
    for version in fs::read_dir(fixtures()).unwrap() {
        let version = version.unwrap().path();
        let folder = tempfile::tempdir().unwrap();
        for name in ["store.redb", "store.syrup"] {
            fs::copy(version.join(name), folder.path().join(name)).unwrap();
        }
        check(Redb::open(folder.path().join("store.redb")).unwrap());
        check(SyrupFile::open(folder.path().join("store.syrup")).unwrap());
        check(import_text(&fs::read_to_string(version.join("store.txt")).unwrap()).unwrap());
        versions += 1;
    }
    assert!(versions > 0, "there are no fixtures");
}

/// Writes the fixtures of this version: run it once for each release, and commit them.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_fixtures_of_this_version() {
    let folder = fixtures().join(env!("CARGO_PKG_VERSION"));
    fs::create_dir_all(&folder).unwrap();
    let _ = fs::remove_file(folder.join("store.redb"));
    let _ = fs::remove_file(folder.join("store.syrup"));
    fill(Redb::open(folder.join("store.redb")).unwrap());
    fill(SyrupFile::open(folder.join("store.syrup")).unwrap());
    fs::remove_file(folder.join("store.syrup.lock")).unwrap();
    let memory = Memory::new();
    fill(memory.clone());
    let mut text = Vec::new();
    vat_runtime::persist::export_text(&*memory.view().unwrap(), &mut text).unwrap();
    fs::write(folder.join("store.txt"), text).unwrap();
}
