//! Nodes that are killed and started anew.

mod support;

use support::Place;

const NODE: &str = "node --state a --listen unix:./public";

#[test]
fn objects_and_their_capabilities_outlive_the_process() {
    let place = Place::new();
    let node = place.serve(NODE);
    place.hob("export counter --kind counter -o counter.cap --state a").with(0);
    place.hob("export kv --kind kv -o kv.cap --state a").with(0);
    place.hob("export cell --kind cell -o cell.cap --state a").with(0);
    place.hob("export old --kind echo -o old.cap --state a").with(0);
    assert_eq!(place.hob("call @counter.cap increment 5").with(0).out, "5\n");
    place.run(["call", "@kv.cap", "set", "a", "[1 \"two\" 0x03]"]).with(0);
    // An object that refers to another.
    place.hob("call @cell.cap set @counter.cap").with(0);
    place.hob("revoke old --state a").with(0);
    // Whatever has been answered is there after this.
    node.end("-KILL");

    let node = place.serve(NODE);
    assert_eq!(place.hob("call @counter.cap increment").with(0).out, "6\n");
    assert_eq!(place.hob("call @kv.cap get a").with(0).out, "[1 \"two\" 0x03]\n");
    assert_eq!(place.hob("call @cell.cap get").with(0).out, "<'object>\n");
    place.hob("call @old.cap").with(3);
    // The node knows by name what it exported, and gives a further capability for it.
    place.hob("export counter --kind counter -o again.cap --state a").with(0);
    assert_ne!(place.read("again.cap"), place.read("counter.cap"));
    assert_eq!(place.hob("call @again.cap increment").with(0).out, "7\n");
    place.hob("revoke counter --state a").with(0);
    node.end("-KILL");

    let _node = place.serve(NODE);
    for gone in ["counter", "again"] {
        place.hob(&format!("call @{gone}.cap value")).with(3);
    }
    assert_eq!(place.hob("call @kv.cap keys").with(0).out, "[\"a\"]\n");
}

#[test]
fn state_is_looked_at_copied_and_moved() {
    let place = Place::new();
    let node = place.serve(NODE);
    place.hob("export counter --kind counter -o counter.cap --state a").with(0);
    place.hob("call @counter.cap increment 41").with(0);
    let running = place.hob("state doctor --state a").with(0).out;
    assert!(running.contains("hob/counter version 1: 1 objects"), "{running}");
    assert!(running.contains("vat node: open"), "{running}");
    place.hob("state backup copy.redb --state a").with(0);
    place.hob("state export running.txt --state a").with(0);
    place.hob("state export running.txt --state a").with(1);
    place.hob("state import running.txt --state a").with(1);
    node.end("-TERM");

    let idle = place.hob("state doctor --state a").with(0).out;
    assert!(idle.contains("vat node: not open"), "{idle}");
    place.hob("state export idle.txt --state a").with(0);
    let objects = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("<'object")).map(str::to_owned).collect()
    };
    assert_eq!(objects(&place.read("idle.txt")), objects(&place.read("running.txt")));
    place.hob("state import idle.txt --state a").with(2);
    place.hob("state doctor --state b").with(1);

    // A node elsewhere goes on with it, under its own identity.
    place.hob("state import idle.txt --state b").with(0);
    let _node = place.serve("node --state b --listen unix:./other");
    place.hob("export counter --kind counter -o moved.cap --state b").with(0);
    assert_eq!(place.hob("call @moved.cap increment").with(0).out, "42\n");
    place.write("broken.txt", 0o600, "<'store 1 0 0>\n<'object what>\n");
    let broken = place.hob("state import broken.txt --state c").with(2);
    assert!(broken.err.contains('2'), "the line is named: {}", broken.err);
}

#[test]
fn a_node_that_is_told_to_stop_has_nothing_to_complain_of() {
    let place = Place::new();
    for _ in 0..5 {
        let node = place.serve(NODE);
        place.hob("export counter --kind counter -o counter.cap --state a").with(0);
        place.hob("call @counter.cap increment").with(0);
        let ended = node.end("-TERM").with(0);
        assert!(!ended.err.contains("ERROR"), "{}", ended.err);
        std::fs::remove_file(place.path("counter.cap")).unwrap();
    }
}
