//! Files are written whole, kept and put back; and never outside of the root.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::json;

use super::*;

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
