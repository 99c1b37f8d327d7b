//! `hob call` and an object of a living Goblins 0.18.
//!
//! Needs the scripts of `../shared/interop/goblins` beside the repository and, in
//! GOBLINS_PREFIX, a folder made by its `install.sh`; says so where it is skipped.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use support::Place;

#[test]
fn an_object_of_goblins_can_be_called() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/interop/goblins");
    if !scripts.is_dir() || std::env::var_os("GOBLINS_PREFIX").is_none() {
        // Not by eprintln, which the test harness would keep to itself.
        let _said = writeln!(std::io::stderr(), "skipped: no Goblins for hob to call");
        return;
    }
    let mut server = Command::new("sh")
        .args(["-c", "trap '' PIPE; exec sh \"$@\"", "sh"])
        .arg(scripts.join("guile.sh"))
        .arg(scripts.join("server.scm"))
        .args(["--netlayers=tcp-tls", "--nodelay", "--until-eof"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let lines: Vec<_> = lines.take_while(|line| line != "ready").collect();
    let uri = |name: &str| {
        let line = lines.iter().find(|line| line.split(' ').nth(2) == Some(name)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let place = Place::new();
    let done = place.run(["call", &uri("echo"), "\"hi\"", "42", "[1 2.5 true]"]).with(0);
    assert_eq!(done.out, "[\"hi\" 42 [1 2.5 true]]\n");
    let done = place.run(["call", &uri("echo"), "hello", "--json"]).with(0);
    assert_eq!(done.out, "{\"fulfilled\":[{\"@symbol\":\"hello\"}]}\n");
    let unknown = uri("echo").replace("/s/", "/s/AAAA");
    place.run(["call", &unknown, "x"]).with(3);
    // Another designator, of the same length.
    let mut other = uri("echo");
    let place_of_first = "ocapn://".len();
    let first = if other.as_bytes()[place_of_first] == b'a' { "b" } else { "a" };
    other.replace_range(place_of_first..=place_of_first, first);
    place.run(["call", &other, "x"]).with(7);
    drop(server.stdin.take());
    server.wait().unwrap();
}
