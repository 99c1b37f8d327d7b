//! What the program says to systemd, and what it writes for it and for its readers.

mod support;

use std::os::unix::net::UnixDatagram;

use support::{Place, hob};

fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn systemd_hears_when_the_node_can_be_reached_and_when_it_ends() {
    let place = Place::new();
    let socket = UnixDatagram::bind(place.path("notify")).unwrap();
    let patience = Some(std::time::Duration::from_secs(60));
    socket.set_read_timeout(patience).unwrap();
    let mut command = hob();
    command.current_dir(place.path("")).args(["node", "--state", "a", "--listen", "unix:./public"]);
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "200000");
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = support::Killed(command.spawn().unwrap());
    let ready = heard(&socket);
    let id = child.0.id().to_string();
    assert_eq!(ready, format!("READY=1\nMAINPID={id}\nSTATUS=reachable in 2 ways"));
    // It is true: somebody else reaches it now.
    place.hob("export c --kind counter -o c.cap --state a").with(0);
    place.hob("call @c.cap increment").with(0);
    assert_eq!(heard(&socket), "WATCHDOG=1");
    assert!(std::process::Command::new("kill").arg(&id).status().unwrap().success());
    let mut last = heard(&socket);
    while last == "WATCHDOG=1" {
        last = heard(&socket);
    }
    assert_eq!(last, "STOPPING=1\nSTATUS=saying goodbye");
    assert!(child.0.wait().unwrap().success());
}

#[test]
fn a_key_that_systemd_passes_on_is_the_nodes() {
    let place = Place::new();
    let first = place.serve("node --state a --listen tcp-tls:127.0.0.1:0");
    let designator = first.designator();
    first.end("-TERM");
    std::fs::create_dir(place.path("credentials")).unwrap();
    place.write("credentials/identity.pem", 0o400, &place.read("a/identity.pem"));
    let credentials = place.path("credentials");
    let variables = [("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())];
    let second = place.serve_with("node --state b --listen tcp-tls:127.0.0.1:0", &variables);
    assert_eq!(second.designator(), designator);
    assert!(!place.path("b/identity.pem").exists());
}

#[test]
fn units_are_written_and_what_was_changed_by_hand_is_kept() {
    let place = Place::new();
    let done = place.hob("units --user --dir units --program ./hob").with(0);
    let names = ["hob-node.service", "hob-boss.service", "hob-join.service"];
    let lines = names.map(|name| format!("wrote units/{name}\n"));
    assert_eq!(done.out, lines.concat());
    let start = format!("ExecStart={} boss\n", place.path("hob").display());
    assert!(place.read("units/hob-boss.service").contains(&start));
    place.hob("units --user --dir units --program ./hob").with(0);
    place.write("units/hob-boss.service", 0o644, "mine");
    let done = place.hob("units --user --dir units --program ./hob").with(1);
    assert!(done.err.ends_with("  next: replace it with --yes, or write elsewhere with --dir\n"));
    assert_eq!(place.read("units/hob-boss.service"), "mine");
    place.hob("units --user --dir units --program ./hob --yes").with(0);
    assert!(place.read("units/hob-boss.service").contains(&start));
}

#[test]
fn every_command_has_a_manual_page_and_completions() {
    let place = Place::new();
    std::fs::create_dir(place.path("man")).unwrap();
    place.hob("man --dir man").with(0);
    for page in [
        "hob.1",
        "hob-config-show.1",
        "hob-where.1",
        "hob-units.1",
        "hob-fleet-create.1",
        "hob-fleet-token-revoke.1",
        "hob-offer.1",
    ] {
        assert!(place.read(&format!("man/{page}")).contains(".TH"), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = place.hob(&format!("completions {shell}")).with(0).out;
        for command in ["where", "units", "config", "fleet", "quarantine", "get-binding"] {
            assert!(script.contains(command), "{shell} {command}");
        }
    }
    let help = place.hob("--help").with(0).out;
    for line in ["4  refused, revoked or expired     130  interrupted", "6  not there yet: pending"]
    {
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn colours_are_as_asked_for() {
    let place = Place::new();
    let plain = place.hob("where --state a").with(0).out;
    assert!(!plain.contains('\x1b') && plain.contains("○ not running"), "{plain}");
    let coloured = place.hob("where --state a --color always").with(0).out;
    assert!(coloured.contains("\x1b[33m○\x1b[0m not running"), "{coloured}");
}
