//! A machine whose network is cut, and one on which somebody has changed what hob owns.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{Done, Place};

/// Runs `ip`, which says nothing when it has done what it was told.
fn ip(words: &str) -> bool {
    Command::new("ip").args(words.split_whitespace()).status().is_ok_and(|status| status.success())
}

/// A fleet in network namespaces of this host.
struct Fleet {
    place: Place,
}

impl Fleet {
    fn hob(&self, words: &str) -> Done {
        self.place.hob(&format!("fleet {words} --state boss"))
    }

    /// Has the graph want that content of the file.
    fn want(&self, content: &str) {
        let text = format!(
            "[machines.edge]\nprovider = \"netns\"\n\
             [machines.edge.state.files.\"{}\"]\ncontent = \"{content}\"\n",
            self.place.path("motd").display(),
        );
        std::fs::write(self.place.path("graph.toml"), text).unwrap();
    }

    /// Waits until the file has that content.
    fn until(&self, content: &str) {
        while self.place.read("motd") != content {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The machine's directory, as its provider names it.
    fn machine(&self) -> serde_json::Value {
        let shown = self.hob("show edge --json").with(0).out;
        serde_json::from_str(&shown).unwrap()
    }
}

impl Drop for Fleet {
    /// Removes the namespaces and what runs in them, also when the test has failed.
    fn drop(&mut self) {
        let id = std::fs::read_to_string(self.place.path("boss/providers/netns/network.json"));
        let id = id.unwrap_or_default();
        let id = id.trim_matches('"');
        if id.is_empty() {
            return;
        }
        let names = Path::new("/run/netns").read_dir().into_iter().flatten().flatten();
        for name in names.filter_map(|name| name.file_name().into_string().ok()) {
            if name.starts_with(id) {
                let inside = Command::new("ip").args(["netns", "pids", &name]).output();
                let inside = inside.map(|done| done.stdout).unwrap_or_default();
                for process in String::from_utf8_lossy(&inside).split_whitespace() {
                    let _gone = Command::new("kill").args(["-9", process]).status();
                }
                ip(&format!("netns del {name}"));
            }
        }
    }
}

#[test]
fn what_was_decided_behind_a_cut_is_done_after_it_and_what_was_changed_is_put_back() {
    if !Command::new("ip").args(["netns", "list"]).status().is_ok_and(|status| status.success()) {
        support::skipped("there are no network namespaces here");
        return;
    }
    let fleet = Fleet { place: Place::new() };
    let settings = "[providers.netns]\nsubnet = \"10.79.6.0/24\"\ngateway = true\n";
    fleet.place.write("hob.toml", 0o600, settings);
    let words = "boss --config hob.toml --state boss --listen tcp-tls:10.79.6.1:0";
    let _boss = fleet.place.serve(&format!("{words} --revive-after 1s"));
    fleet.want("one");
    fleet.hob("apply graph.toml --wait").with(0);
    fleet.until("one");
    let machine = fleet.machine();
    let namespace = machine["machine"]["instance"].as_str().unwrap().to_owned();

    assert!(ip(&format!("-n {namespace} link set eth0 down")));
    fleet.want("two");
    let behind = fleet.hob("apply graph.toml --wait --wait-for 2s").with(6);
    assert!(behind.err.contains("edge"), "{}", behind.err);
    assert_eq!(fleet.place.read("motd"), "one");

    assert!(ip(&format!("-n {namespace} link set eth0 up")));
    fleet.until("two");
    fleet.hob("apply graph.toml --wait").with(0);

    // Changed by hand while the machine is off: seen, and undone, once it is back.
    let inside = Command::new("ip").args(["netns", "pids", &namespace]).output().unwrap().stdout;
    for process in String::from_utf8_lossy(&inside).split_whitespace() {
        assert!(Command::new("kill").args(["-9", process]).status().unwrap().success());
    }
    fleet.place.write("motd", 0o644, "by hand");
    fleet.until("two");
    fleet.hob("destroy edge --yes --wait").with(0);
}
