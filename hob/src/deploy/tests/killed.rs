//! A site whose process is killed at any moment, and again when it sets things right.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::deploy::settings::Settings;
use crate::deploy::site::{Attempt, End, Site};
use crate::desired::executor::tests::faults::killed_after;
use crate::desired::machine::Digest;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        // In memory if possible: thousands of files are written durably here.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("hob-").tempdir_in(parent).unwrap();
        fs::create_dir_all(dir.path().join("root/etc")).unwrap();
        fs::write(dir.path().join("root/etc/motd"), "before").unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn site(&self) -> Site {
        let settings = json!({"root": self.path("root"), "parts": ["files"]});
        let settings = Settings::of(settings.as_object().unwrap()).unwrap();
        Site::open(&self.path("state"), &settings).unwrap()
    }

    /// What is on the machine.
    fn tree(&self) -> Vec<String> {
        tree(&self.path("root"))
    }
}

fn tree(dir: &Path) -> Vec<String> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let mut lines = Vec::new();
    for path in entries {
        let name = path.display();
        if path.is_symlink() {
            lines.push(format!("{name} -> {}", fs::read_link(&path).unwrap().display()));
        } else if path.is_dir() {
            lines.push(format!("{name}/"));
            lines.append(&mut tree(&path));
        } else {
            lines.push(format!("{name}: {:?}", fs::read(&path).unwrap()));
        }
    }
    lines
}

fn quiet(_step: &str) {}

/// Deploys something of every kind, and confirms it.
fn deploy(site: &mut Site, id: &str, text: &str) {
    let content = format!("content of {text}");
    let digest = Digest::of(content.as_bytes());
    let state = json!({"files": {
        "/etc/motd": {"content": text},
        "/srv/app/data": {"digest": digest.to_string(), "size": content.len()},
        format!("/srv/app/{text}/x"): {"content": ""},
        "/srv/app/empty": {"directory": true},
        "/srv/now": {"link": format!("app/{text}")},
    }});
    let state = state.to_string();
    let key = Digest::of(state.as_bytes());
    if site.want(key, state.len() as u64).unwrap() {
        site.put(key, 0, state.as_bytes()).unwrap();
    }
    site.read(key).unwrap();
    for (digest, _) in site.missing() {
        site.put(digest, 0, content.as_bytes()).unwrap();
    }
    let key = Digest::of(id.as_bytes());
    let attempt = site.attempt(key, "ann".to_owned(), 0, &quiet);
    assert!(matches!(attempt, Attempt::Applied(_)), "{attempt:?}");
    site.confirm(&key).unwrap();
}

#[test]
fn killed_at_any_step_and_again_while_going_back() {
    let (before, one, two) = {
        let place = Place::new();
        let before = place.tree();
        deploy(&mut place.site(), "1", "one");
        let one = place.tree();
        deploy(&mut place.site(), "2", "two");
        (before.len(), one.len(), place.tree().len())
    };
    assert!(before < one && one == two);
    let mut ends = Vec::new();
    for first in 0.. {
        let mut survived = false;
        // Every fifth step, and another fifth each time.
        for second in (first % 5..).step_by(5) {
            let place = Place::new();
            deploy(&mut place.site(), "1", "one");
            let held = place.tree();
            survived = killed_after(first, || deploy(&mut place.site(), "2", "two")).is_some();
            let again = killed_after(second, || place.site().recover(&quiet).unwrap());
            let mut site = place.site();
            site.recover(&quiet).unwrap();
            // It is the one or the other, and said to be that.
            let record = site.record(&Digest::of(b"2"));
            let end = record.as_ref().and_then(|record| record.end);
            let motd = fs::read_to_string(place.path("root/etc/motd")).unwrap();
            match end {
                Some(End::Confirmed) => assert_eq!(motd, "two", "{first} {second}"),
                Some(End::RolledBack) | None => {
                    assert_eq!(place.tree(), held, "{first} {second}");
                }
            }
            assert_eq!(record.is_some(), end.is_some(), "{first} {second}");
            assert!(site.unfinished().is_none());
            // From there it goes on as if nothing had happened.
            deploy(&mut site, "3", "three");
            assert_eq!(place.tree().len(), two, "{first} {second}: {:#?}", place.tree());
            drop(site);
            ends.push(end);
            if again.is_some() {
                break;
            }
        }
        if survived {
            break;
        }
    }
    assert!(ends.len() > 100, "{}", ends.len());
    assert!(ends.contains(&Some(End::Confirmed)) && ends.contains(&Some(End::RolledBack)));
}

#[test]
fn a_damaged_content_is_noticed_and_sent_again() {
    let place = Place::new();
    deploy(&mut place.site(), "1", "one");
    let before = place.tree();
    let mut site = place.site();
    let content = b"content of one";
    let digest = Digest::of(content);
    let object = place.path("state/objects").join(digest.to_string());
    assert_eq!(fs::read(&object).unwrap(), content);
    fs::write(&object, b"CONTENT OF ONE").unwrap();
    let state = json!({"files": {"/x": {"digest": digest.to_string(), "size": 14}}}).to_string();
    let key = Digest::of(state.as_bytes());
    site.want(key, state.len() as u64).unwrap();
    site.put(key, 0, state.as_bytes()).unwrap();
    assert_eq!(site.read(key).unwrap().missing, 0);
    let mut attempt = || site.attempt(Digest::of(b"2"), "ann".to_owned(), 0, &quiet);
    assert_eq!(attempt(), Attempt::Refused("1 contents are not here yet".to_owned()));
    assert_eq!(place.tree(), before);
    assert_eq!(site.missing(), [(digest, 14)]);
    site.put(digest, 0, content).unwrap();
    let applied = site.attempt(Digest::of(b"2"), "ann".to_owned(), 0, &quiet);
    assert!(matches!(applied, Attempt::Applied(_)), "{applied:?}");
}

#[test]
fn two_agents_have_no_site_in_common() {
    let place = Place::new();
    let _first = place.site();
    let lock = fs::File::open(place.path("state/lock")).unwrap();
    let taken = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    assert_eq!(taken, Err(rustix::io::Errno::WOULDBLOCK));
}

#[test]
fn contents_that_nothing_uses_any_more_go() {
    let place = Place::new();
    let mut site = place.site();
    for (id, text) in [("1", "one"), ("2", "two"), ("3", "three"), ("4", "four"), ("5", "five")] {
        deploy(&mut site, id, text);
    }
    let objects = fs::read_dir(place.path("state/objects")).unwrap();
    let mut names: Vec<String> =
        objects.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut kept: Vec<String> = ["three", "four", "five"]
        .map(|text| Digest::of(format!("content of {text}").as_bytes()).to_string())
        .into();
    kept.sort();
    assert_eq!(names, kept);
}
