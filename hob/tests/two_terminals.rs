//! A node in one terminal, calls from another.

mod support;

use std::os::unix::fs::PermissionsExt as _;

use support::Place;

#[test]
fn a_sturdyref_goes_from_one_terminal_to_the_other() {
    let place = Place::new();
    let node = place.serve("node --state ./a --listen tcp-tls:127.0.0.1:0");
    assert!(node.locators[0].contains(".tcp-tls?host=127.0.0.1&port="));
    place.hob("export counter --kind counter -o counter.cap --state ./a").with(0);
    let mode = place.path("counter.cap").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let uri = place.read("counter.cap");
    assert!(uri.starts_with(&node.locators[0].replace("?host", "/s/")[..60]));
    let five = place.run(["call", uri.trim(), "increment", "5"]).with(0);
    assert_eq!(five.out, "5\n");
    let ten = place.hob("call --file counter.cap increment 5 --json").with(0);
    assert_eq!(ten.out, "{\"fulfilled\":10}\n");
    let minus = place.hob("call @counter.cap increment -20").with(0);
    assert_eq!(minus.out, "-10\n");
    let piped = place.hob_with_input("call - value", &uri).with(0);
    assert_eq!(piped.out, "-10\n");
    let piped = place.hob_with_input("call --file - value", &uri).with(0);
    assert_eq!(piped.out, "-10\n");
    let log = node.end("-TERM");
    assert_eq!(log.code, Some(0));
    // The log names the capability, but does not give it away.
    let (_, secret) = uri.trim().split_once("/s/").unwrap();
    assert!(log.err.contains(&secret[..6]) && !log.err.contains(&secret[..12]), "{}", log.err);
}

#[test]
fn every_kind_by_every_transport() {
    let place = Place::new();
    let _node = place.serve(
        "node --state a --listen tcp-tls:127.0.0.1:0 --listen tcp-testing-only:127.0.0.1:0 \
         --listen unix:./other",
    );
    for transport in ["tcp-tls", "tcp-testing-only", "unix"] {
        for (kind, call, answer) in [
            ("counter", "increment", "1"),
            ("echo", "a \"b\" [1.5 0x00]", "['a \"b\" [1.5 0x00]]"),
            ("greeter", "\"you\"", "\"Hello, you!\""),
            ("kv", "keys", "[]"),
            ("cell", "set @x.cap", ""),
        ] {
            place
                .hob(&format!(
                    "export {kind}-{transport} --kind {kind} --transport {transport} -o x.cap --state a"
                ))
                .with(0);
            let mut words = vec!["call", "@x.cap"];
            words.extend(call.split_inclusive(']').flat_map(|part| {
                if part.starts_with(' ') || part.contains('[') {
                    part.splitn(3, ' ').collect::<Vec<_>>()
                } else {
                    part.split(' ').collect()
                }
            }));
            let done = place.run(words).with(0);
            assert_eq!(done.out.trim_end(), answer, "{kind} by {transport}");
        }
        // What was put into the cell is the cell itself, and can be called.
        assert_eq!(place.hob("call @x.cap get").with(0).out, "<'object>\n");
        let json = place.hob("call @x.cap get --json").with(0);
        assert_eq!(json.out, "{\"fulfilled\":{\"@ref\":\"object\"}}\n");
    }
}

#[test]
fn an_export_is_given_again_until_it_is_revoked() {
    let place = Place::new();
    let _node = place.serve("node --state a");
    let export = "export counter --kind counter --state a -o";
    place.hob(&format!("{export} one.cap")).with(0);
    place.hob(&format!("{export} two.cap")).with(0);
    assert_eq!(place.read("one.cap"), place.read("two.cap"));
    assert_eq!(place.hob(&format!("{export} -")).with(0).out, place.read("one.cap"));
    place.hob("export counter --kind echo -o x.cap --state a").with(2);
    assert!(!place.path("x.cap").exists());
    place.hob("call @one.cap value").with(0);
    place.hob("revoke counter --state a").with(0);
    place.hob("call @one.cap value").with(3);
    place.hob("revoke counter --state a").with(3);
    place.hob(&format!("{export} two.cap")).with(0);
    assert_ne!(place.read("one.cap"), place.read("two.cap"));
    // A capability may be replaced by another one, but nothing else may.
    place.write("notes.txt", 0o600, "mine\n");
    place.hob(&format!("{export} notes.txt")).with(2);
    assert_eq!(place.read("notes.txt"), "mine\n");
    place.hob(&format!("{export} nowhere/x.cap")).with(2);
}

#[test]
fn a_state_directory_has_one_node_and_keeps_its_identity() {
    let place = Place::new();
    let words = "node --state a --listen tcp-tls:127.0.0.1:0";
    let node = place.serve(words);
    let mode = place.path("a").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for file in ["identity.pem", "admin.cap", "lock"] {
        let mode = place.path("a").join(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let second = place.hob(words).with(1);
    assert!(second.err.contains("runs in") && second.err.contains("next: "), "{}", second.err);
    place.hob("export c --kind counter -o c.cap --state a").with(0);
    let designator = node.designator();
    assert_eq!(node.end("-INT").code, Some(0));
    assert!(!place.path("a/admin.cap").exists() && !place.path("a/sock").exists());
    let gone = place.hob("export c --kind counter -o c.cap --state a").with(5);
    assert!(gone.err.contains("hob node --state a"), "{}", gone.err);
    place.hob("call @c.cap value").with(5);

    // Killed, it leaves its socket and its admin.cap behind, which stop nobody.
    let node = place.serve(words);
    assert_eq!(node.designator(), designator);
    assert_eq!(node.end("-KILL").code, None);
    assert!(place.path("a/admin.cap").exists() && place.path("a/sock").exists());
    let gone = place.hob("export c --kind counter -o c.cap --state a").with(5);
    assert!(gone.err.contains("hob node --state a"), "{}", gone.err);
    let _node = place.serve(words);
    place.hob("export c --kind counter -o c.cap --state a").with(0);
    place.hob("call @c.cap value").with(0);
}

#[test]
fn a_machine_joins_and_is_bound_by_hand() {
    let place = Place::new();
    let _boss = place.serve("boss --state boss --listen tcp-tls:127.0.0.1:0");
    let boss = |words: &str| place.hob(&format!("call --file boss/boss.cap {words}"));
    for name in ["db", "app"] {
        assert_eq!(boss(&format!("create-machine {name}")).with(0).out, "<'object>\n");
        let shown = boss(&format!("--cap-out {name}.cap token {name}")).with(0);
        assert!(shown.out.contains('…'), "{}", shown.out);
    }
    std::fs::copy(place.path("db.cap"), place.path("again.cap")).unwrap();
    let join =
        |name: &str| format!("join --state {name} --enrol {name}.cap --listen tcp-tls:127.0.0.1:0");
    let _db = place.serve(&join("db"));
    let listed = boss("list-machines").with(0).out;
    assert!(listed.contains("'active") && listed.contains("'pending"), "{listed}");
    let _app = place.serve(&join("app"));
    place.hob("export store --kind kv -o store.cap --state db --transport unix").with(0);
    place.hob("call --file db/hob.cap register-binding db @store.cap").with(0);
    boss("bind app db db").with(0);
    place.hob("export guests --kind guestbook -o guests.cap --state app").with(0);
    let signed = place.run(["call", "@guests.cap", "sign", "\"hello\""]).with(0);
    assert_eq!(signed.out, "\"hello\"\n");
    assert_eq!(place.hob("call @store.cap get last-entry").with(0).out, "\"hello\"\n");
    // The enrolment has been used, the other machine's is not for this one's address.
    assert!(!place.path("db.cap").exists());
    let again = place.hob("join --state x --enrol again.cap --listen tcp-tls:127.0.0.1:0").with(4);
    assert!(again.err.contains("has used already"), "{}", again.err);
    place.hob("join --state x --enrol again.cap").with(2);
    place.hob("join --state x").with(2);
    // Only a machine has bindings.
    place.hob("export guests --kind guestbook -o g.cap --state boss").with(2);
}

#[test]
fn help_completions_and_manual_pages() {
    let place = Place::new();
    for command in
        ["", "node", "export", "revoke", "call", "boss", "join", "demo", "completions", "man"]
    {
        let help = place.hob(&format!("{command} --help")).with(0);
        assert!(help.out.contains("Usage: hob"), "{}", help.out);
        assert!(!help.out.contains("plain-log") && !help.out.contains("stop-with-stdin"));
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = place.hob(&format!("completions {shell}")).with(0);
        assert!(script.out.contains("increment") || script.out.contains("export"));
    }
    assert!(place.hob("man").with(0).out.contains(".TH hob 1"));
    std::fs::create_dir(place.path("pages")).unwrap();
    place.hob("man --dir pages").with(0);
    assert!(place.read("pages/hob-call.1").contains("@counter.cap"));
}
