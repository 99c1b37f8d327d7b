//! Services that are started by connections, and a shepherd that is killed meanwhile.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::pasture::{Pasture, processes};

/// Answers each connection with the number of its process; `once` takes one connection.
const DEFINITIONS: &str = r#"
    [service.stays]
    command = ["python3", "-c", "import os, socket, sys\nsockets = [socket.socket(fileno=3), socket.socket(fileno=4)]\nimport select\nwhile True:\n    for s in select.select(sockets, [], [])[0]:\n        c, _ = s.accept(); c.send(str(os.getpid()).encode()); c.close()", "FIFO"]
    socket = { listen = ["unix:PLACE/stays", "tcp:127.0.0.1:0"] }

    [service.once]
    command = ["python3", "-c", "import os, socket\ns = socket.socket(fileno=3)\nc, _ = s.accept(); c.send(str(os.getpid()).encode()); c.close()", "FIFO"]
    socket = { listen = ["unix:PLACE/once"] }
"#;

fn has_python() -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok();
    if !there {
        println!("skipped: python3 is not here");
    }
    there
}

fn answer(mut connection: impl std::io::Read) -> i64 {
    let mut said = String::new();
    connection.read_to_string(&mut said).unwrap();
    said.parse().unwrap()
}

impl Pasture {
    /// Connects to a socket in the test's directory, and gives what answers.
    fn connect(&self, name: &str) -> i64 {
        answer(UnixStream::connect(self.place.path(name)).unwrap())
    }

    fn kill(&self, pid: i64) {
        assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    }
}

/// The TCP ports that a process listens at.
fn ports(process: i64) -> BTreeSet<u16> {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let sockets: BTreeSet<String> = open
        .filter_map(|entry| {
            let target = std::fs::read_link(entry.ok()?.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = fields.get(1)?.split_once(':')?;
        // 0A is listening.
        (fields.get(3) == Some(&"0A") && sockets.contains(*fields.get(9)?))
            .then(|| u16::from_str_radix(port, 16).ok())?
    });
    rows.collect()
}

impl Pasture {
    fn port(&self) -> u16 {
        let mut found = BTreeSet::new();
        self.until("it listens", |pasture| {
            found = ports(pasture.child.as_ref().unwrap().id().into());
            found.len() == 1
        });
        *found.first().unwrap()
    }
}

#[test]
fn a_process_that_outlives_its_shepherd_keeps_its_sockets() {
    if !has_python() {
        return;
    }
    let mut pasture = Pasture::new(DEFINITIONS);
    let mark = pasture.place.path("fifo").to_str().unwrap().to_owned();
    pasture.until("it listens", |pasture| pasture.json("stays")["state"] == "running");
    let port = pasture.port();
    let tcp = || answer(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let first = pasture.connect("stays");
    assert_eq!(tcp(), first);
    pasture.end("-KILL");
    // Nobody looks after it, and still it serves.
    assert_eq!((pasture.connect("stays"), tcp()), (first, first));
    pasture.start(&[]);
    pasture.until("it was found", |pasture| pasture.json("stays")["pid"] == first);
    assert_eq!((pasture.connect("stays"), tcp()), (first, first));
    assert_eq!(processes(&mark).len(), 1);
    // The shepherd has the same sockets again: whoever connects when the process is gone
    // is served by the next one, at the same port.
    assert_eq!(pasture.port(), port);
    pasture.kill(first);
    let second = tcp();
    assert_ne!(second, first);
    assert_eq!(pasture.connect("stays"), second);
    assert_eq!(processes(&mark), BTreeSet::from([second]));
    // What is stopped listens no more, and can be started again.
    pasture.says("stop stays");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!pasture.place.path("stays").exists());
    for _ in 0..3 {
        pasture.says("start stays");
        let served = pasture.connect("stays");
        assert_eq!(processes(&mark), BTreeSet::from([served]));
        pasture.says("restart stays");
        pasture.says("stop stays");
        assert!(UnixStream::connect(pasture.place.path("stays")).is_err());
    }
}

#[test]
fn sockets_that_nobody_has_used_are_opened_again() {
    if !has_python() {
        return;
    }
    let mut pasture = Pasture::new(DEFINITIONS);
    let mark = pasture.place.path("fifo").to_str().unwrap().to_owned();
    for _ in 0..3 {
        pasture.until("it listens", |pasture| pasture.json("once")["state"] == "running");
        let (first, second) = (pasture.connect("once"), pasture.connect("once"));
        assert_ne!(first, second);
        pasture.until("it has ended", |_| processes(&mark).is_empty());
        pasture.end("-KILL");
        assert!(UnixStream::connect(pasture.place.path("once")).is_err());
        pasture.start(&[]);
    }
    pasture.until("it listens", |pasture| pasture.json("once")["state"] == "running");
    pasture.connect("once");
    // Ended in good order it leaves nothing behind.
    pasture.end("-TERM");
    assert!(!pasture.place.path("once").exists());
    assert_eq!(processes(&mark), BTreeSet::new());
    pasture.start(&[]);
}
