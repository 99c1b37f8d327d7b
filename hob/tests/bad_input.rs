//! Bad input everywhere: a clear error, the right exit code, nothing lost, no panic.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use support::Place;

/// A sturdyref of nobody's.
const NOBODY: &str =
    "ocapn://ada.tcp-testing-only/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX?host=127.0.0.1&port=";

#[test]
fn every_exit_code() {
    let place = Place::new();
    let node = place.serve("node --state a --listen tcp-tls:127.0.0.1:0");
    let other = place.serve("node --state b --listen tcp-tls:127.0.0.1:0");
    place.hob("export c --kind counter -o c.cap --state a").with(0);
    let good = place.read("c.cap");
    let (before, secret) = good.trim().split_once("/s/").unwrap();
    let changed = |name: &str, text: &str| place.write(name, 0o600, text);
    changed("unknown.cap", &format!("{before}/s/A{}", &secret[1..]).replace("/s/AA", "/s/AB"));
    changed("stranger.cap", &good.replace(&node.designator(), &other.designator()));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    changed("silent.cap", &format!("{NOBODY}{}", silent.local_addr().unwrap().port()));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    changed("gone.cap", &format!("{NOBODY}{gone}"));
    for (code, words, what) in [
        (0, "call @c.cap increment", ""),
        (1, "call @c.cap increment no", "n is an integer, and not a symbol"),
        (1, "call @c.cap", "expects a method"),
        (2, "call @c.cap increment [", "argument 2: no ']' closes this at byte 0"),
        (2, "call @missing.cap value", "missing.cap"),
        (3, "call @unknown.cap value", "no such object"),
        (5, "call @gone.cap value", "can't be reached"),
        (5, "call @silent.cap value --timeout 300ms", "no answer within 0.3 s"),
        (7, "call @stranger.cap value", "is not the peer"),
    ] {
        let done = place.hob(words).with(code);
        assert!(done.err.contains(what), "{words}: {}", done.err);
        assert!(!done.err.contains(&secret[6..]), "{words}: {}", done.err);
        if code != 0 && code != 2 {
            let json = place.hob(&format!("{words} --json")).with(code);
            let key = if code == 1 { "{\"broken\":\"" } else { "{\"error\":\"" };
            assert!(json.out.starts_with(key), "{}", json.out);
        }
    }
    assert_eq!(place.hob("call @c.cap value").with(0).out, "1\n");
}

#[test]
fn somebody_else_answers() {
    let place = Place::new();
    let node = place.serve("node --state a --listen tcp-testing-only:127.0.0.1:0");
    place.hob("export c --kind counter -o c.cap --state a").with(0);
    let cap = place.read("c.cap");
    place.write("x.cap", 0o600, &cap.replace(&node.designator(), "somebody"));
    place.hob("call @x.cap value").with(7);
    place.hob("export c --kind counter --transport unix -o u.cap --state a").with(0);
    let cap = place.read("u.cap");
    std::os::unix::fs::symlink(place.path("a/sock"), place.path("sock")).unwrap();
    place.write("x.cap", 0o600, &cap.replace("a%2Fsock", "sock"));
    place.hob("call @x.cap value").with(7);
}

#[test]
fn arguments() {
    let place = Place::new();
    for words in [
        "",
        "frobnicate",
        "call",
        "call value",
        "call -",
        "call http://x/ value",
        "call ocapn://ada.loopback value",
        "call ocapn://ada.loopback/s/!!! value",
        "call ocapn://ada.carrier-pigeon/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX value",
        "call ocapn://ada.tcp-tls/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX?host=h&port=1 value",
        "call ocapn://ada.tcp-testing-only/s/AAECAwQFBgcICQoLDA0ODxAREhMUFRYX value",
        "call ocapn://ada.tcp-testing-only/s/AAEC?host=h&port=99999 value",
        "call @ value",
        "call ocapn://ada.loopback/s/AAECAwQF ocapn://bob.loopback/s/AAECAwQF",
        "call @/ value",
        "call @/dev/null value",
        "call @x.cap --timeout 0",
        "call @x.cap --timeout soon",
        "node --listen tcp-tls",
        "node --listen tcp-tls:localhost",
        "node --listen quic:127.0.0.1:0",
        "node --state a --public-address example:1",
        "node --state a --listen tcp-tls:0.0.0.0:0",
        "node --state a --listen unix:/nonexistent/x/../",
        "node --public-address example:0 --listen tcp-tls:127.0.0.1:0",
        "export x",
        "export x --kind boss -o x.cap",
        "export x --kind cell",
        "join --state a",
        "join --state a --enrol missing.cap",
        "completions cobol",
    ] {
        let done = place.hob(words);
        assert_eq!(done.code, Some(2), "{words}: {done:#?}");
        assert!(!done.err.contains("panicked"), "{words}: {done:#?}");
        assert!(!done.err.is_empty(), "{words}");
    }
    // There is no home either.
    let done = hob_without_home(&place, "node").with(2);
    assert!(done.err.contains("--state"), "{}", done.err);
    place.hob("node --state /proc/nowhere").with(1);
}

fn hob_without_home(place: &Place, words: &str) -> support::Done {
    let mut command = support::hob();
    command.env_remove("HOME").current_dir(place.path("")).args(words.split(' '));
    command.output().unwrap().into()
}

#[test]
fn files() {
    let place = Place::new();
    let uri = format!("{NOBODY}1");
    for (mode, content, what) in [
        (0o644, uri.as_str(), "lets others read"),
        (0o620, uri.as_str(), "lets others read"),
        (0o600, "", "empty"),
        (0o600, "\n\n", "empty"),
        (0o600, "ocapn://", "not a capability"),
        (0o600, "a\nb\n", "more than one line"),
    ] {
        place.write("x.cap", mode, content);
        for words in ["call @x.cap", "call --file x.cap", "join --state j --enrol x.cap"] {
            let done = place.hob(words).with(2);
            assert!(done.err.contains(what), "{words}: {}", done.err);
            assert!(!done.err.contains("AAECAw"), "{}", done.err);
        }
        assert_eq!(place.read("x.cap"), content);
    }
    place.hob_with_input("call -", "nonsense").with(2);
    place.hob_with_input("call -", &"x".repeat(100_000)).with(2);

    let node = "node --state a --listen tcp-tls:127.0.0.1:0";
    place.serve(node).end("-TERM");
    let key = place.read("a/identity.pem");
    for (mode, content, what) in [
        (0o640, key.as_str(), "chmod 600"),
        (0o600, "nonsense", "is no identity"),
        (0o600, "", "is no identity"),
        (0o600, &key[..key.len() / 2], "is no identity"),
    ] {
        place.write("a/identity.pem", mode, content);
        let done = place.hob(node).with(2);
        assert!(done.err.contains(what), "{}", done.err);
        assert_eq!(place.read("a/identity.pem"), content);
    }
    place.write("a/identity.pem", 0o600, &key);
    place.write("a/sock", 0o600, "not a socket");
    place.hob(node).with(2);
    assert_eq!(place.read("a/sock"), "not a socket");
    std::fs::remove_file(place.path("a/sock")).unwrap();
    place.write("a/admin.cap", 0o600, "not a capability");
    place.hob(node).with(2);
    assert_eq!(place.read("a/admin.cap"), "not a capability");
    place.hob("export c --kind cell -o c.cap --state a").with(2);
    std::fs::remove_file(place.path("a/admin.cap")).unwrap();
    set_mode(&place, "a", 0o770);
    let done = place.hob(node).with(2);
    assert!(done.err.contains("chmod 700"), "{}", done.err);
    set_mode(&place, "a", 0o700);
    place.serve(node);
}

fn set_mode(place: &Place, name: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

/// What no peer should say. Each ends its own connection and nothing else.
fn garbage() -> Vec<Vec<u8>> {
    vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 10_000],
        b"[".repeat(100_000),
        b"99999999999:".to_vec(),
        b"<16'op:start-session".to_vec(),
        b"<10'op:deliver>".to_vec(),
        Vec::new(),
    ]
}

#[test]
fn sockets() {
    let place = Place::new();
    let node = place.serve("node --state a --listen tcp-tls:127.0.0.1:0 --listen unix:./other");
    place.hob("export c --kind counter -o c.cap --state a").with(0);
    let address = format!("127.0.0.1:{}", node.hint("port"));
    for bytes in garbage() {
        let patience = Some(Duration::from_secs(60));
        let mut reply = Vec::new();
        let mut tcp = TcpStream::connect(&address).unwrap();
        tcp.set_read_timeout(patience).unwrap();
        // The node may hang up while we still write, and reset what it has not read.
        let _sent = tcp.write_all(&bytes);
        let _closed = tcp.shutdown(std::net::Shutdown::Write);
        assert_hung_up(tcp.read_to_end(&mut reply));
        let mut unix = UnixStream::connect(place.path("other")).unwrap();
        unix.set_read_timeout(patience).unwrap();
        let _sent = unix.write_all(&bytes);
        let _closed = unix.shutdown(std::net::Shutdown::Write);
        assert_hung_up(unix.read_to_end(&mut reply));
        place.hob("call @c.cap increment").with(0);
    }
    let calls = garbage().len();
    assert_eq!(place.hob("call @c.cap value").with(0).out, format!("{calls}\n"));
    let log = node.end("-TERM");
    assert_eq!(log.code, Some(0));
    assert!(!log.err.contains("panicked"), "{}", log.err);
}

fn assert_hung_up(read: std::io::Result<usize>) {
    if let Err(error) = read {
        let waited =
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
        assert!(!waited, "the node does not hang up on garbage");
    }
}
