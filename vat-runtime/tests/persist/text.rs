//! Stores as text, and copies made while turns go on.

use vat_runtime::Value;
use vat_runtime::persist::{Backend as _, Memory, Redb, SyrupFile, copy, export_text, import_text};

use crate::kit::{Counter, Holder, World, set};

fn text(world: &World) -> String {
    let mut out = Vec::new();
    export_text(&*world.store.view().unwrap(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_store_is_a_line_for_each_thing_and_reads_back() {
    let world = World::open(Memory::new());
    let vat = world.vat("bank");
    let counter = vat.root_or_spawn("counter", || Counter(7)).unwrap();
    let held = vec![Value::from(&counter), "two\nlines".into(), 0.5.into(), Value::Null];
    let holder = vat.root_or_spawn(b"\xff", || Holder(held.into())).unwrap();
    world.hand.run_until_idle();
    world.commit();
    let first = text(&world);
    assert_eq!(
        first,
        r#"<'store 1 5 0>
<'vat 1 "bank" 259>
<'root 1 b"counter" <'near 1>>
<'root 1 0xff <'near 2>>
<'object 1 1 'counter "test counter" 1 7>
<'object 1 2 'holder "test holder" 1 {"held": [<'near 1> "two\nlines" 0.5 <'null>]}>
"#
    );
    // A change is a change of its lines.
    assert!(world.ask(&counter, vec![1.into()]).is_ok());
    world.commit();
    let second = text(&world);
    let changed = second.lines().zip(first.lines()).filter(|(after, before)| after != before);
    let changed: Vec<_> = changed.map(|(after, _)| after).collect();
    assert_eq!(changed, ["<'store 1 6 0>", "<'object 1 1 'counter \"test counter\" 1 8>"]);

    let commented = format!("; a comment\n\n{second}");
    let again = World::open(import_text(&commented).unwrap());
    assert_eq!(text(&again), second);
    let vat = again.vat("bank");
    let counter = vat.root("counter").unwrap().unwrap();
    assert_eq!(again.ask(&counter, vec![]), Ok(8.into()));
    drop(holder);
}

#[test]
fn text_that_is_none_is_refused_with_its_line() {
    for (text, line) in [
        ("<'store 1 0 0>\n<'vat 1 2 3>", "line 2: not a vat"),
        ("nonsense", "line 1: "),
        ("<'object 1 1 'counter \"c\" -1 7>", "line 1: not a object"),
        ("\n\n<'thing 1>", "line 3: not a thing"),
        ("[1 2]", "line 1: not a record"),
    ] {
        let error = import_text(text).unwrap_err().to_string();
        assert!(error.starts_with(line), "{error}");
    }
}

#[test]
fn a_view_is_copied_to_any_backend_while_turns_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(Redb::open(folder.path().join("running.redb")).unwrap());
    let vat = world.vat("v");
    let counter = vat.root_or_spawn("counter", || Counter(0)).unwrap();
    let holder = vat.root_or_spawn("holder", || Holder(Value::from(&counter))).unwrap();
    assert!(world.ask(&counter, vec![5.into()]).is_ok());
    world.commit();
    let view = world.store.view().unwrap();
    assert!(world.ask(&counter, vec![5.into()]).is_ok());
    assert!(world.ask(&holder, set(1)).is_ok());
    world.commit();
    let path = folder.path().join("copy.syrup");
    let copied = SyrupFile::open(&path).unwrap();
    copy(&*view, &copied).unwrap();
    assert!(copy(&*view, &copied).is_err(), "only into what is empty");
    assert!(world.ask(&counter, vec![5.into()]).is_ok());
    drop((view, copied));

    let copied = World::open(SyrupFile::open(&path).unwrap());
    let vat = copied.vat("v");
    let counter = vat.root("counter").unwrap().unwrap();
    assert_eq!(copied.ask(&counter, vec![]), Ok(5.into()));
    assert_eq!(copied.get(&vat.root("holder").unwrap().unwrap()), Value::from(&counter));
    assert_eq!(Memory::new().view().unwrap().summary().unwrap().objects, 0);
}
