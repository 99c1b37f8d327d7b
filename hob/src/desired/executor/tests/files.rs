//! Files are written whole, kept and put back; and never outside of the root.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::json;

use super::*;
use crate::desired::machine::Digest;

#[test]
fn files_come_and_what_was_there_comes_back() {
    let sandbox = Sandbox::new();
    sandbox.write("root/etc/motd", "before\n");
    fs::set_permissions(sandbox.root("/etc/motd"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("zone", sandbox.root("/etc/localtime")).unwrap();
    let mut files = sandbox.files();
    let wanted = state(json!({"files": {
        "/etc/motd": {"content": "hello\n"},
        "/etc/localtime": {"content": "UTC"},
        "/srv/a/b/key": {"base64": "/wA=", "mode": "0600"},
    }}));
    assert_eq!(
        drift(&files, &wanted),
        [
            "files /etc/localtime: a symbolic link instead of a file",
            "files /etc/motd: another content instead of the content of the state",
            "files /srv/a/b/key: nothing instead of a file",
        ]
    );
    assert_eq!(
        applied(&mut files, &wanted),
        ["files: wrote /etc/localtime", "files: wrote /etc/motd", "files: wrote /srv/a/b/key"]
    );
    assert_eq!(fs::read(sandbox.root("/srv/a/b/key")).unwrap(), [0xff, 0]);
    assert_eq!(fs::metadata(sandbox.root("/srv/a/b/key")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(sandbox.root("/etc/motd")).unwrap().mode() & 0o777, 0o644);

    // Somebody changes one, and it is changed back.
    fs::set_permissions(sandbox.root("/etc/motd"), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(drift(&files, &wanted), ["files /etc/motd: mode 0666 instead of mode 0644"]);
    assert_eq!(applied(&mut files, &wanted), ["files: wrote /etc/motd"]);

    // What is owned is known after a restart too.
    let mut files = sandbox.files();
    assert_eq!(files.facts().unwrap()["files.owned"], "3");
    applied(&mut files, &DesiredState::default());
    assert_eq!(fs::read_to_string(sandbox.root("/etc/motd")).unwrap(), "before\n");
    assert_eq!(fs::metadata(sandbox.root("/etc/motd")).unwrap().mode() & 0o777, 0o640);
    assert_eq!(fs::read_link(sandbox.root("/etc/localtime")).unwrap(), Path::new("zone"));
    assert!(!sandbox.root("/srv").exists(), "the directories that were made for it go too");
    assert_eq!(fs::read_dir(sandbox.path("state/former")).unwrap().count(), 0);
}

/// A state that may have contents that are kept apart, links and directories.
fn closure(json: &serde_json::Value) -> DesiredState {
    let limits = Limits { object_bytes: 100, objects_bytes: 100, ..Limits::default() };
    DesiredState::from_json(json, &limits).unwrap()
}

#[test]
fn contents_that_are_kept_apart_and_links_and_directories() {
    let sandbox = Sandbox::new();
    let content = b"kept apart";
    let digest = Digest::of(content).to_string();
    sandbox.write(&format!("objects/{digest}"), "kept apart");
    fs::create_dir_all(sandbox.root("/srv/old")).unwrap();
    fs::set_permissions(sandbox.root("/srv/old"), fs::Permissions::from_mode(0o750)).unwrap();
    sandbox.write("root/srv/old/theirs", "");
    let open = || {
        let objects = Some(sandbox.path("objects"));
        let settings = FilesSettings { root: sandbox.path("root"), objects, ..Default::default() };
        Files::open(&sandbox.path("state"), settings).unwrap()
    };
    let mut files = open();
    let json = json!({"files": {
        "/srv/data": {"digest": digest, "size": 10, "mode": "0600"},
        "/srv/link": {"link": "data"},
        "/srv/new": {"directory": true, "mode": "0700"},
        "/srv/new/x": {"content": "x"},
        "/srv/old": {"directory": true},
    }});
    // Where contents are not kept apart, there is nothing of the kind.
    assert!(DesiredState::from_json(&json, &Limits::default()).is_err());
    let wanted = closure(&json);
    assert_eq!(DesiredState::from_json(&wanted.to_json(), &Limits::default()).ok(), None);
    assert_eq!(closure(&wanted.to_json()), wanted);
    assert_eq!(applied(&mut files, &wanted).len(), 5);
    assert_eq!(fs::read(sandbox.root("/srv/data")).unwrap(), content);
    assert_eq!(fs::read_link(sandbox.root("/srv/link")).unwrap(), Path::new("data"));
    let mode = |path: &str| fs::metadata(sandbox.root(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("/srv/data"), mode("/srv/new"), mode("/srv/old")), (0o600, 0o700, 0o755));

    // Of the same length, and another.
    fs::write(sandbox.root("/srv/data"), "KEPT APART").unwrap();
    fs::remove_file(sandbox.root("/srv/link")).unwrap();
    symlink("elsewhere", sandbox.root("/srv/link")).unwrap();
    let differs = [
        "files /srv/data: another content instead of the content of the state",
        "files /srv/link: a link to elsewhere instead of a link to data",
    ];
    assert_eq!(drift(&files, &wanted), differs);
    applied(&mut files, &wanted);
    // A content that is damaged is not written.
    fs::write(sandbox.path(&format!("objects/{digest}")), "kept  part").unwrap();
    fs::remove_file(sandbox.root("/srv/data")).unwrap();
    let error = files.apply(&wanted, &quiet).unwrap_err().to_string();
    assert_eq!(error, "files /srv/data: what was kept of its content is damaged");
    assert!(!sandbox.root("/srv/data").exists());

    // It all goes, the directory's own mode comes back, and what is in it stays.
    let mut files = open();
    applied(&mut files, &DesiredState::default());
    assert_eq!(mode("/srv/old"), 0o750);
    assert!(sandbox.root("/srv/old/theirs").exists());
    assert!(!sandbox.root("/srv/new").exists());
    // Only the scratch file of what was not written is there no more.
    assert_eq!(fs::read_dir(sandbox.root("/srv")).unwrap().count(), 1);
}

#[test]
fn directories_go_with_the_last_that_is_in_them() {
    let sandbox = Sandbox::new();
    let mut files = sandbox.files();
    let with = |paths: &[&str]| {
        let files = paths.iter().map(|path| (path.to_string(), json!({"content": ""})));
        state(json!({"files": files.collect::<serde_json::Map<_, _>>()}))
    };
    // Made for the one, and in use by another when that one goes.
    applied(&mut files, &with(&["/srv/a/b/one"]));
    applied(&mut files, &with(&["/srv/a/b/one", "/srv/a/two", "/srv/three"]));
    applied(&mut files, &with(&["/srv/a/two", "/srv/three"]));
    assert!(!sandbox.root("/srv/a/b").exists());
    applied(&mut files, &with(&["/srv/three"]));
    assert!(!sandbox.root("/srv/a").exists());
    applied(&mut files, &DesiredState::default());
    assert!(!sandbox.root("/srv").exists());
}

#[test]
fn directories_with_something_else_in_them_stay() {
    let sandbox = Sandbox::new();
    let mut files = sandbox.files();
    applied(&mut files, &state(json!({"files": {"/srv/a/x": {"content": ""}}})));
    sandbox.write("root/srv/a/theirs", "");
    applied(&mut files, &DesiredState::default());
    assert!(sandbox.root("/srv/a/theirs").exists() && !sandbox.root("/srv/a/x").exists());
}

#[test]
fn symbolic_links_lead_nowhere() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("outside")).unwrap();
    symlink(sandbox.path("outside"), sandbox.root("/etc")).unwrap();
    let wanted = state(json!({"files": {"/etc/motd": {"content": "x"}}}));
    let mut files = sandbox.files();
    let error = files.apply(&wanted, &quiet).unwrap_err().to_string();
    assert_eq!(
        error,
        "files /etc/motd: \"etc\" on the way is a symbolic link: write where it leads instead"
    );
    assert_eq!(files.diff(&wanted).unwrap_err().to_string(), error);
    assert_eq!(fs::read_dir(sandbox.path("outside")).unwrap().count(), 0);
    // A link in the file's own place is replaced, and what it leads to is not touched.
    fs::remove_file(sandbox.root("/etc")).unwrap();
    fs::create_dir(sandbox.root("/etc")).unwrap();
    sandbox.write("outside/secret", "theirs");
    symlink(sandbox.path("outside/secret"), sandbox.root("/etc/motd")).unwrap();
    applied(&mut files, &wanted);
    assert_eq!(fs::read_to_string(sandbox.path("outside/secret")).unwrap(), "theirs");
    assert!(fs::symlink_metadata(sandbox.root("/etc/motd")).unwrap().is_file());
}

#[test]
fn what_cannot_be_put_back_is_not_replaced() {
    let sandbox = Sandbox::new();
    sandbox.write("root/big", "12345");
    fs::create_dir(sandbox.root("/dir")).unwrap();
    let settings = FilesSettings {
        root: sandbox.path("root"),
        max_former_bytes: 4,
        ..FilesSettings::default()
    };
    let mut files = Files::open(&sandbox.path("state"), settings).unwrap();
    let mut refused = |path: &str| {
        let wanted = state(json!({"files": {path: {"content": ""}}}));
        files.apply(&wanted, &quiet).unwrap_err().to_string()
    };
    assert_eq!(refused("/big"), "files /big: is over 4 bytes: too large to be kept for going back");
    assert_eq!(refused("/dir"), "files /dir: a directory is there");
    assert_eq!(fs::read_to_string(sandbox.root("/big")).unwrap(), "12345");
}

#[test]
fn owners_are_looked_up_on_the_machine() {
    let sandbox = Sandbox::new();
    sandbox.write("root/etc/passwd", "root:x:0:0::/:/bin/sh\nweb:x:1234:5678::/:/bin/sh\n");
    sandbox.write("root/etc/group", "root:x:0:\nwww:x:4321:web\n");
    let mut files = sandbox.files();
    let wanted = |owner: &str| {
        let file = json!({"content": "", "owner": owner, "group": "www"});
        state(json!({"files": {"/x": file}}))
    };
    let error = files.apply(&wanted("nobody-here"), &quiet).unwrap_err().to_string();
    assert_eq!(error, "files /x: \"nobody-here\" is not in /etc/passwd");
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    applied(&mut files, &wanted("web"));
    let metadata = fs::metadata(sandbox.root("/x")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (1234, 4321));
    applied(&mut files, &wanted("77"));
    assert_eq!(fs::metadata(sandbox.root("/x")).unwrap().uid(), 77);
}

#[test]
fn a_ledger_that_is_damaged_is_said_and_not_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.write("state/files.json", "{\"/etc/motd\": ");
    let settings = FilesSettings { root: sandbox.path("root"), ..FilesSettings::default() };
    let error = Files::open(&sandbox.path("state"), settings).err().unwrap().to_string();
    assert!(error.contains("files.json is damaged"), "{error}");
}
