//! Services that take more than their share: processes, lines, the disk, and time to end.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::intruder::{Intruder, Said};
use crate::pasture::{Pasture, processes};
use crate::support::Done;

#[test]
fn a_fork_bomb_of_its_own_user_is_contained() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this needs root");
        return;
    }
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: python3 is not here");
        return;
    }
    let pasture = Pasture::new(
        r#"
        [service.bomb]
        command = ["python3", "-c", "import os, time\nwhile True:\n  try:\n    if os.fork() == 0: time.sleep(1000)\n  except OSError: time.sleep(0.001)"]
        user = "61753"
        limits = { nproc = 20 }
        respawn = false
        autostart = false

        [service.other]
        command = ["/bin/sh", "-c", "read _ <$0", "FIFO"]
        "#,
    );
    pasture.says("start bomb");
    let mut most = 0;
    // It gets to the limit, and there it stays.
    pasture.until("the bomb has gone off", |_| {
        most = most.max(of_user(61753).len());
        most >= 20
    });
    for _ in 0..50 {
        assert!(of_user(61753).len() <= 20);
    }
    assert_eq!(pasture.json("other")["state"], "running");
    pasture.says("restart other");
    pasture.says("stop bomb");
    pasture.until("nothing is left of it", |_| of_user(61753).is_empty());
}

fn of_user(user: u32) -> Vec<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let processes = entries.filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok())
            && entry.metadata().is_ok_and(|metadata| metadata.uid() == user)
    });
    processes.map(|entry| entry.path()).collect()
}

/// Neither it nor what it has begun takes notice, in its own process group or in another.
#[test]
fn who_takes_no_notice_is_killed_with_all_it_has_begun() {
    let pasture = Pasture::new(
        r#"
        [service.deaf]
        command = ["/bin/sh", "-c", "trap '' TERM INT HUP; sh -c 'while :; do read _ <$0; done' FIFO deaf & setsid sh -c 'while :; do read _ <$0; done' FIFO deaf & while :; do read _ <$0; done", "FIFO", "deaf"]
        grace = "50ms"
        "#,
    );
    let mark = format!("{} deaf", pasture.place.path("fifo").display());
    pasture.until("it has begun", |_| processes(&mark).len() == 3);
    pasture.says("stop deaf");
    // Answered when nothing is left.
    assert_eq!(processes(&mark), BTreeSet::new());
    assert_eq!(pasture.json("deaf")["exit-signal"], 9);
    // The same when it dies by itself: what it has begun does not outlive it.
    pasture.says("start deaf");
    pasture.until("it has begun again", |_| processes(&mark).len() == 3);
    let (before, main) = (processes(&mark), pasture.pid("deaf"));
    assert!(Command::new("kill").args(["-KILL", &main.to_string()]).status().unwrap().success());
    pasture.until("it was started again", |_| {
        let now = processes(&mark);
        now.len() == 3 && now.is_disjoint(&before)
    });
}

#[test]
fn a_flood_of_lines_is_held_back_and_starves_nobody() {
    let mut definitions = String::from(
        "[service.quiet]\n\
         command = [\"/bin/sh\", \"-c\", \"echo one; read _ <$0; echo two; read _ <$0\", \"FIFO\"]\n\
         respawn = false\n",
    );
    for n in 0..4 {
        definitions.push_str(&format!(
            "[service.flood{n}]\n\
             command = [\"/bin/sh\", \"-c\", \"yes all work and no play; read _ <$0\", \"FIFO\"]\n\
             log = {{ size = \"64KiB\", keep = 1, file = \"PLACE/flood{n}.log\" }}\n"
        ));
    }
    let pasture = Pasture::new(&definitions);
    let id = pasture.child.as_ref().unwrap().id();
    let rotated = |n: u32| pasture.place.path(&format!("flood{n}.log.1")).exists();
    pasture.until("all are in full flood", |_| (0..4).all(rotated));
    // Meanwhile others are heard, and done what they are told.
    pasture.until("quiet is heard", |pasture| pasture.says("log quiet").contains(" one"));
    pasture.says("restart quiet");
    std::fs::OpenOptions::new()
        .write(true)
        .open(pasture.place.path("fifo"))
        .unwrap()
        .write_all(b"go\ngo\ngo\ngo\ngo\ngo\n")
        .unwrap();
    pasture.until("quiet is heard again", |pasture| pasture.says("log quiet").contains(" two"));
    for _ in 0..20 {
        for n in 0..4 {
            for name in [format!("flood{n}.log"), format!("flood{n}.log.1")] {
                // While it is renamed it is not there.
                let length = pasture.place.path(&name).metadata().map_or(0, |of| of.len());
                assert!(length <= 2 * 64 * 1024, "{name}: {length}");
            }
            assert!(!pasture.place.path(&format!("flood{n}.log.2")).exists());
        }
    }
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 200 * 1024, "{peak}");
    for n in 0..4 {
        pasture.says(&format!("stop flood{n}"));
    }
}

/// A shepherd whose state and logs are on a small disk, in a mount namespace of its own.
struct Cramped {
    pasture: Pasture,
}

impl Cramped {
    fn new(definitions: &str) -> Option<Self> {
        let allowed = Command::new("unshare")
            .args(["--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"])
            .stderr(Stdio::null())
            .status();
        if !allowed.is_ok_and(|status| status.success()) {
            println!("skipped: this needs to mount a file system");
            return None;
        }
        let mut pasture = Pasture::new("");
        pasture.end("-TERM");
        pasture.define(definitions);
        std::fs::remove_dir_all(pasture.place.path("s")).unwrap();
        std::fs::create_dir(pasture.place.path("s")).unwrap();
        pasture.start_on(&["unshare", "--mount", "sh", "-c", CRAMP, "cramp"]);
        Some(Self { pasture })
    }

    fn id(&self) -> u32 {
        self.pasture.child.as_ref().unwrap().id()
    }

    /// A file on the small disk.
    fn path(&self, name: &str) -> PathBuf {
        let inside = self.pasture.place.path("s").join(name);
        PathBuf::from(format!("/proc/{}/root{}", self.id(), inside.display()))
    }

    /// Runs `herd` where the small disk is.
    fn herd(&self, words: &str) -> Done {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.id().to_string()]);
        command.arg(self.pasture.place.path("herd")).args(words.split_whitespace());
        command.env("HOB_STATE", self.pasture.place.path("s")).env("TZ", "UTC");
        Done::from(command.stdin(Stdio::null()).output().unwrap())
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.path("fill")).unwrap();
        let chunk = [0; 4096];
        while file.write_all(&chunk).is_ok() {}
    }

    /// Has the shepherd store more than there is room for.
    fn outgrow(&self) {
        let cap = std::fs::read_to_string(self.path("herd.cap")).unwrap();
        let cap: ocapn::Sturdyref = cap.trim().parse().unwrap();
        let mut owner = Intruder::new(&self.path("sock"), 1);
        let shepherd = owner.fetch(cap.swiss.as_bytes()).unwrap();
        let grants = owner.call(shepherd, "grants", &[]).unwrap();
        let grants = *grants.as_ref().unwrap();
        let to = Said::string("x".repeat(100_000));
        let actions = Said::List(vec![Said::string("status")]);
        let grant = [Said::symbol("grant"), Said::string("rests"), actions, to];
        for _ in 0..100 {
            owner.ask(grants, &grant);
        }
        owner.until_hung_up();
    }
}

/// Mounts the small disk, private to this process, and becomes the shepherd.
const CRAMP: &str =
    "mount --make-rprivate / && mount -t tmpfs -o size=8m,mode=0700 tmpfs s && exec \"$@\"";

#[test]
fn a_full_disk_stops_no_service() {
    let Some(cramped) = Cramped::new(
        r#"
        [service.talks]
        command = ["/bin/sh", "-c", "n=0; while read _ <$0; do n=$((n+1)); echo line $n; done", "FIFO"]

        [service.rests]
        command = ["/bin/sh", "-c", "exec sleep 1000.8642"]
        "#,
    ) else {
        return;
    };
    let pasture = &cramped.pasture;
    pasture.herd("status"); // Makes its other name.
    let status = |service: &str| -> serde_json::Value {
        let done = cramped.herd(&format!("status {service} --json"));
        serde_json::from_str::<serde_json::Value>(&done.out)
            .map_or_else(|_| serde_json::Value::Null, |mut value| value["service"].take())
    };
    pasture.until("both run", |_| {
        ["talks", "rests"].iter().all(|name| status(name)["state"] == "running")
    });
    let (talks, rests) = (status("talks")["pid"].clone(), status("rests")["pid"].clone());
    cramped.fill();
    // What can't be written down is not answered as done.
    cramped.outgrow();
    assert_ne!(cramped.herd("disable rests").code, Some(0));
    pasture.until("it says why", |pasture| {
        pasture.place.read("log").contains("services go on, but nothing can be done with them")
    });
    assert_ne!(cramped.herd("status").code, Some(0));
    let alive = |pid: &serde_json::Value| PathBuf::from(format!("/proc/{pid}/exe")).exists();
    assert!(alive(&talks) && alive(&rests));
    // It says more than fits, and is not held up.
    let mut fifo =
        std::fs::OpenOptions::new().write(true).open(pasture.place.path("fifo")).unwrap();
    fifo.write_all("more\n".repeat(100).as_bytes()).unwrap();
    std::fs::remove_file(cramped.path("fill")).unwrap();
    // With room it is there again: the same process, with the same services.
    pasture.until("it is there again", |_| cramped.herd("status").code == Some(0));
    pasture.until("both were found", |_| {
        status("talks")["pid"] == talks && status("rests")["pid"] == rests
    });
    fifo.write_all(b"last\n").unwrap();
    pasture.until("it is heard", |_| {
        cramped.herd("log talks").out.lines().any(|line| line.contains(" line 101"))
    });
    assert_eq!(status("rests")["enabled"], true);
    let was = status("rests")["pid"].clone();
    assert_eq!(was, rests);
    assert_eq!(cramped.herd("restart rests").code, Some(0));
    assert_ne!(status("rests")["pid"], was);
    assert!(!alive(&was));
}
