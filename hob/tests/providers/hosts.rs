//! `local`, `dummy` and `netns`, and how providers are set.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use hob::providers::contract::{World as _, check, order};
use hob::providers::{Context, FleetId, Instance, Order, Provider, Providers, provider};
use toml::Table;

use crate::support::Place;
use crate::worlds::{Boss, Here, have};

fn create(provider: &dyn Provider, order: &Order) -> Instance {
    provider.create(order, &|_: &str| {}).unwrap()
}

#[test]
fn local_keeps_to_the_contract() {
    check(&Here::new("local", "grace = '2s'"));
}

#[test]
fn dummy_keeps_to_the_contract() {
    check(&Here::new("dummy", ""));
}

#[test]
fn netns_keeps_to_the_contract() {
    if have(&["ip"], true) {
        let here = Here::new("netns", "subnet = '10.78.0.0/24'");
        check(&here);
        assert_eq!(namespaces(&here), 0, "the switch goes with the last machine");
    }
}

/// How many namespaces there are of the provider's.
fn namespaces(here: &Here) -> usize {
    let id = here.place.read("state/network.json");
    let names = Path::new("/run/netns").read_dir().into_iter().flatten().flatten();
    let id = id.trim_matches('"');
    names.filter(|name| name.file_name().to_string_lossy().starts_with(id)).count()
}

#[test]
fn netns_machines_reach_each_other_and_the_host_only_by_the_gateway() {
    if !have(&["ip", "bash"], true) {
        return;
    }
    let fleet = FleetId::random().unwrap();
    let orders = [order("a", &fleet), order("b", &fleet)];
    // Nobody listens there, but somebody has to be there to say so.
    let reaches = |from: &Instance, to: &str| {
        let dial = format!("exec 3<>/dev/tcp/{to}/9");
        let words = ["netns", "exec", &from.id, "timeout", "20", "bash", "-c", &dial];
        let done = Command::new("ip").args(words).output().unwrap();
        String::from_utf8_lossy(&done.stderr).contains("Connection refused")
    };
    let here = Here::new("netns", "subnet = '10.79.3.0/24'");
    let provider = here.another();
    let [a, b] = orders.each_ref().map(|order| create(&*provider, order));
    assert_eq!(a.address.as_deref(), Some("10.79.3.2"));
    assert_eq!(b.address.as_deref(), Some("10.79.3.3"));
    assert!(reaches(&a, "10.79.3.3"));
    assert!(!reaches(&a, "10.79.3.1"));
    assert!(!Path::new("/sys/class/net").join(&a.id[..12]).exists());
    drop((provider, here));

    let here = Here::new("netns", "subnet = '10.79.4.0/24'\ngateway = true");
    // The host has its address before there is a machine, for the boss to listen on.
    let provider = here.another();
    std::net::TcpListener::bind(("10.79.4.1", 0)).unwrap();
    let a = create(&*provider, &orders[0]);
    assert!(reaches(&a, "10.79.4.1"));
    provider.destroy(&orders[0].target()).unwrap();
    assert_eq!(namespaces(&here), 0);
}

#[test]
fn what_a_machine_has_started_goes_with_it() {
    let here = Here::new("local", "");
    let fleet = FleetId::random().unwrap();
    // Something that outlives what started it, in a session of its own.
    let stand_in = here.place.read("stand-in");
    let child =
        "setsid sh -c 'echo $$ >\"$1/child\"; read -r _ <\"$1/never\"' x \"$3/.\" 8<&- 9<&- &";
    let stand_in = stand_in.replace("echo ready", &format!("{child}\necho ready"));
    here.place.write("stand-in", 0o755, &stand_in);
    let order = order("parent", &fleet);
    let provider = here.another();
    let directory = create(&*provider, &order).id;
    let child = Path::new(&directory).join("state/child");
    let child = loop {
        match std::fs::read_to_string(&child) {
            Ok(id) if id.ends_with('\n') => break id,
            _ => std::thread::yield_now(),
        }
    };
    // What is left behind by a machine is not the machine.
    here.cut(&order.key);
    create(&*provider, &order);
    assert_eq!(here.running(&order.key), 1);
    provider.destroy(&order.target()).unwrap();
    let line = std::fs::read(format!("/proc/{}/cmdline", child.trim())).unwrap_or_default();
    assert!(line.is_empty(), "{}", String::from_utf8_lossy(&line));
}

#[test]
fn one_that_will_not_end_is_killed() {
    let here = Here::new("local", "grace = '50ms'");
    let stand_in = here.place.read("stand-in").replace("set -eu", "set -eu\ntrap '' TERM");
    here.place.write("stand-in", 0o755, &stand_in);
    let order = order("stubborn", &FleetId::random().unwrap());
    let provider = here.another();
    create(&*provider, &order);
    provider.destroy(&order.target()).unwrap();
    assert_eq!(here.running(&order.key), 0);
}

#[test]
fn one_that_can_not_start_says_why() {
    let here = Here::new("local", "");
    here.place.write("stand-in", 0o755, "#!/bin/sh\necho 'error: no such luck' >&2\nexit 1\n");
    let order = order("unlucky", &FleetId::random().unwrap());
    let error = here.another().create(&order, &|_: &str| {}).unwrap_err();
    assert!(error.temporary && error.why.contains("error: no such luck"), "{error}");
    std::fs::remove_file(here.place.path("stand-in")).unwrap();
    let error = here.another().create(&order, &|_: &str| {}).unwrap_err();
    assert!(!error.temporary && error.why.contains("can't start"), "{error}");
    here.another().destroy(&order.target()).unwrap();
    assert!(!here.traces(&order.key));
}

#[test]
fn the_enrolment_is_secret_and_goes_when_it_is_used() {
    let here = Here::new("local", "");
    let order = order("secret", &FleetId::random().unwrap());
    let provider = here.another();
    let directory = create(&*provider, &order).id;
    let file = Path::new(&directory).join("enrol.cap");
    let mode = Path::new(&directory).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // The stand-in has checked the file's own mode, and removes it when it has used it.
    while file.exists() {
        std::thread::yield_now();
    }
    for line in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(line.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains("bm90LWEtc2VjcmV0"));
    }
}

#[test]
fn a_machine_keeps_its_port() {
    let here = Here::new("local", "");
    let order = order("port", &FleetId::random().unwrap());
    let provider = here.another();
    let record = Path::new(&create(&*provider, &order).id).join("machine.json");
    let first = std::fs::read_to_string(&record).unwrap();
    assert!(first.contains("tcp-tls:127.0.0.1:") && !first.contains(":0\""), "{first}");
    here.cut(&order.key);
    create(&*here.another(), &order);
    assert_eq!(std::fs::read_to_string(&record).unwrap(), first);
}

/// Has a boss give an enrolment for each machine, and the provider make the machine.
fn registers(here: &Here, provider: &dyn Provider, boss: &str, names: &[&str]) {
    let fleet = FleetId::random().unwrap();
    let boss = Boss::start(here, boss);
    let orders: Vec<_> = names.iter().map(|name| boss.order(name, &fleet)).collect();
    let instances: Vec<_> = orders.iter().map(|order| create(provider, order)).collect();
    boss.until_active(names.len());
    for (order, instance) in orders.iter().zip(instances) {
        assert_eq!(here.running(&order.key), 1);
        // Brought back, it needs no enrolment: it is known.
        here.cut(&order.key);
        assert_eq!(create(provider, order), instance);
        assert_eq!(here.running(&order.key), 1);
        provider.destroy(&order.target()).unwrap();
        assert_eq!(here.running(&order.key), 0);
        assert!(!here.traces(&order.key));
    }
}

#[test]
fn local_machines_register() {
    let here = Here::new("local", "").with_hob();
    let boss = "boss --state boss --listen tcp-tls:127.0.0.1:0";
    registers(&here, &*here.another(), boss, &["db-machine", "app-machine"]);
}

#[test]
fn netns_machines_register() {
    if have(&["ip"], true) {
        let here = Here::new("netns", "subnet = '10.79.5.0/24'\ngateway = true").with_hob();
        let provider = here.another();
        let boss = "boss --state boss --listen tcp-tls:10.79.5.1:0";
        registers(&here, &*provider, boss, &["db-machine", "app-machine"]);
    }
}

/// What the network costs for each of many machines; run it with `--nocapture`.
#[test]
#[ignore = "a measurement"]
fn two_hundred_netns_machines() {
    let here = Here::new("netns", "subnet = '10.80.0.0/16'");
    let provider = here.another();
    let fleet = FleetId::random().unwrap();
    let orders: Vec<_> = (0..200).map(|n| order(&format!("machine-{n}"), &fleet)).collect();
    for at_once in [1, 16] {
        let begin = std::time::Instant::now();
        let each = |what: &(dyn Fn(&Order) + Sync)| {
            std::thread::scope(|scope| {
                for some in orders.chunks(orders.len() / at_once + 1) {
                    scope.spawn(move || some.iter().for_each(what));
                }
            });
        };
        each(&|order| drop(create(&*provider, order)));
        let made = begin.elapsed();
        assert_eq!(provider.list(&fleet).unwrap().len(), 200);
        each(&|order| provider.destroy(&order.target()).unwrap());
        println!("200 machines, {at_once} at once: {made:?}, away in {:?}", begin.elapsed() - made);
    }
    assert_eq!(namespaces(&here), 0);
}

#[test]
fn settings() {
    let place = Place::new();
    let context = Context { state: place.path("state"), program: "/bin/true".into() };
    let wrong = |name: &str, table: &str| {
        let table: Table = table.parse().unwrap();
        match provider(name, table, &context) {
            Ok(_) => panic!("{name} is fine"),
            Err(error) => error.to_string(),
        }
    };
    // Which provider, which key, what was expected and what was found.
    for (name, table, words) in [
        ("edge", "kind = 'cloud9'", &["providers.edge.kind: ", " command, ", "\"cloud9\""][..]),
        ("edge", "kind = 9", &["providers.edge.kind: expected a string, found integer"]),
        ("Edge", "", &["providers.Edge: ", "a-z"]),
        ("local", "listen = 5", &["providers.local.listen: ", "integer `5`", "expected a string"]),
        ("local", "listen = 'nowhere'", &["providers.local: listen: "]),
        (
            "local",
            "size = 'big'",
            &["providers.local.size: ", "unknown field", "expected", "listen"],
        ),
        (
            "x",
            "kind = 'local'\ngrace = 'soon'",
            &["providers.x.grace: ", "write a time as", "\"soon\""],
        ),
        ("ssh", "hosts = ['a']", &["providers.ssh.known-hosts: missing field"]),
        ("ssh", "known_hosts = '/no/such'", &["providers.ssh: /no/such: No such file"]),
        ("ssh", "hosts = ['-oX']\nknown_hosts = '/dev/null'", &["providers.ssh.hosts", "\"-oX\""]),
        ("netns", "subnet = '10.0.0.1/16'", &["providers.netns.subnet: ", "\"10.0.0.1/16\""]),
        ("command", "command = []", &["providers.command: command: expected", "found nothing"]),
        (
            "command",
            "command = ['x']\ntimeout = 10",
            &["providers.command.timeout: ", "integer `10`"],
        ),
    ] {
        let error = wrong(name, table);
        for word in words {
            assert!(error.contains(word), "{error}: {word}");
        }
    }
    assert!(!context.state.exists(), "nothing is made before it is needed");
}

#[test]
fn providers_by_name() {
    let place = Place::new();
    let config = |text: &str| {
        let tables = text.parse().unwrap();
        Providers::from_config(tables, &place.path("state"), Path::new("/bin/true"))
    };
    let names = |providers: &Providers| providers.names().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(&config("").unwrap()), ["dummy", "local"]);
    let text = "[near]\nkind = 'local'\n[local]\nlisten = 'tcp-tls:127.0.0.2:0'\n";
    let providers = config(text).unwrap();
    assert_eq!(names(&providers), ["dummy", "local", "near"]);
    assert!(providers.get("near").is_some() && providers.get("far").is_none());
    let error = config("local = 5").unwrap_err().to_string();
    assert_eq!(error, "providers.local: expected a table, found integer");
    let places: BTreeSet<_> = place
        .path("")
        .read_dir()
        .unwrap()
        .flatten()
        .collect::<Vec<_>>()
        .into_iter()
        .map(|entry| entry.file_name())
        .collect();
    assert!(places.is_empty(), "{places:?}");
}
