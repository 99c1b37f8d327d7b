//! Tests of desired states and their forms.

use serde_json::json;

use super::*;

fn example() -> DesiredState {
    let json = json!({
        "packages": ["postgresql", "g++"],
        "files": {
            "/etc/motd": {"content": "hello\n"},
            "/etc/key": {"base64": "AP8=", "mode": "0600", "owner": "root", "group": "0"},
        },
        "services": {
            "postgresql": "running",
            "web@1": {"state": "stopped", "restart-on": ["/etc/motd"]},
        },
        "shepherd": {
            "cache": {"command": ["redis-server"], "ready": {"port": "127.0.0.1:6379"}},
            "motd": {"one-shot": true, "command": ["cat"], "restart-on": ["/etc/motd"]},
            "old": {"state": "stopped", "command": ["sleep", "1"]},
        },
        "forwards": {"db": "unix:/run/hob/db", "kv": "tcp:127.0.0.1:6379"},
        "guix": {"profile": "/var/guix/hob", "manifest": {"content": "(list)"}},
    });
    DesiredState::from_json(&json, &Limits::default()).unwrap()
}

fn refused(json: &serde_json::Value) -> String {
    DesiredState::from_json(json, &Limits::default()).unwrap_err().to_string()
}

#[test]
fn states_survive_both_forms() {
    let generation = Generation { number: 7, state: example() };
    let limits = Limits::default();
    assert_eq!(Generation::from_json(&generation.to_json(), &limits), Ok(generation.clone()));
    let state = &generation.state;
    assert_eq!(DesiredState::from_json(&state.to_json(), &limits).as_ref(), Ok(state));
    assert!(!format!("{state:?}").contains("hello"), "contents don't show");
}

#[test]
fn digests_are_of_what_is_meant_and_not_of_how_it_is_written() {
    let plain = json!({"files": {"/a": {"content": "x"}}, "packages": ["aa", "bb"]});
    let other = json!({
        "packages": ["bb", "aa"],
        "services": {},
        "files": {"/a": {"mode": "644", "base64": "eA=="}},
    });
    let digest = |json| DesiredState::from_json(&json, &Limits::default()).unwrap().digest();
    let digest_of_plain = digest(plain);
    let service = |text: &str| {
        let service: serde_json::Value = serde_json::from_str(text).unwrap();
        digest(json!({"shepherd": {"a": service}}))
    };
    let one = service(r#"{"command": ["a"], "log": {"keep": 1, "size": "1MiB"}}"#);
    let same = r#"{"state": "running", "log": {"size": "1MiB", "keep": 1}, "command": ["a"]}"#;
    assert_eq!(one, service(same));
    assert_ne!(one, service(&same.replace("running", "stopped")));
    assert_eq!(digest_of_plain, digest(other));
    assert_ne!(digest_of_plain, digest(json!({"packages": ["aa", "bb"]})));
    // What is stored and compared across versions of hob: it must not change unnoticed.
    assert_eq!(digest(json!({})), Digest::of(b"{}"));
    let text = digest_of_plain.to_string();
    assert_eq!(text.parse(), Ok(digest_of_plain));
    assert!(text.to_uppercase().parse::<Digest>().is_err());
}

#[test]
fn what_is_wrong_with_a_service_of_hob_is_said() {
    for (service, says) in [
        (json!({"comand": ["a"]}), "shepherd.a: unknown field `comand`"),
        (json!({"command": []}), "a command has at least one word"),
        (json!({"command": ["a"], "enabled": false}), "shepherd.a.enabled: write `state` instead"),
        (json!({"command": ["a"], "state": "up"}), "shepherd.a.state: expected \"running\""),
        (json!({"command": ["a"], "restart-on": ["/x"]}), "is none of the files"),
        (json!("running"), "shepherd.a: expected a service: a table with command"),
    ] {
        let error = refused(&json!({"shepherd": {"a": &service}}));
        assert!(error.contains(says), "{service}: {error}");
    }
    let error = refused(&json!({"shepherd": {"root": {"command": ["a"]}}}));
    assert!(error.contains("can't be the name of a service"), "{error}");
}

#[test]
fn a_digest_that_is_wrong_is_refused() {
    let mut json = Generation { number: 1, state: example() }.to_json();
    json["state"]["packages"] = json!(["other"]);
    let error = Generation::from_json(&json, &Limits::default()).unwrap_err().to_string();
    assert!(error.starts_with("digest: the state's digest is"), "{error}");
    json["version"] = json!(2);
    let error = Generation::from_json(&json, &Limits::default()).unwrap_err().to_string();
    assert_eq!(error, "version: version 2 is not known here: 1 is");
}

#[test]
fn errors_name_the_field() {
    for (json, error) in [
        (json!([]), "expected a machine's state, found a list"),
        (json!({"package": []}), "package: there is no such key; did you mean \"packages\"?"),
        (json!({"packages": [5]}), "packages[0]: expected the name of a package, found an integer"),
        (json!({"packages": ["--force"]}), "packages[0]: \"--force\" is no name of a package"),
        (json!({"packages": ["nano-"]}), "packages[0]: \"nano-\" is no name of a package"),
        (json!({"packages": ["aa", "aa"]}), "packages[1]: the package is in the list twice"),
        (
            json!({"files": {"etc/motd": {"content": ""}}}),
            "files.\"etc/motd\": the path of a file is absolute, and plain: no `.`, `..` or `//`",
        ),
        (
            json!({"files": {"/a/../b": {"content": ""}}}),
            "files.\"/a/../b\": the path of a file is absolute, and plain: no `.`, `..` or `//`",
        ),
        (json!({"files": {"/a": {}}}), "files.\"/a\": expected content or base64"),
        (
            json!({"files": {"/a": {"content": "", "base64": ""}}}),
            "files.\"/a\": has both content and base64",
        ),
        (
            json!({"files": {"/a": {"content": "", "mode": "4755"}}}),
            "files.\"/a\".mode: \"4755\" is no mode: those are from \"0000\" to \"0777\"",
        ),
        (
            json!({"files": {"/a": {"content": "", "mode": 644}}}),
            "files.\"/a\".mode: expected permission bits as a string, as in \"0644\", found an \
             integer",
        ),
        (
            json!({"services": {"web": "up"}}),
            "services.web: expected \"running\" or \"stopped\", found \"up\"",
        ),
        (
            json!({"services": {"web": {"state": "running", "restart-on": ["/x"]}}}),
            "services.web.restart-on[0]: \"/x\" is none of the files of this machine's state",
        ),
        (json!({"services": {"-h": "running"}}), "services.-h: \"-h\" is no name of a service"),
        (
            json!({"forwards": {"db": "tcp:0.0.0.0:80"}}),
            "forwards.db: 0.0.0.0:80 is no loopback address: whoever reaches it would hold what \
             is bound",
        ),
        (json!({"guix": {"profile": "/p"}}), "guix: expected manifest, system or both"),
    ] {
        assert_eq!(refused(&json), error);
    }
    // No files are read for those who send a state.
    assert!(refused(&json!({"files": {"/a": {"source": "x"}}})).contains("expected content"));
}

#[test]
fn limits_hold() {
    let limits = Limits { items: 2, file_bytes: 4, state_bytes: 6, ..Limits::default() };
    let read = |json| DesiredState::from_json(&json, &limits).map_err(|error| error.to_string());
    assert!(read(json!({"packages": ["aa", "bb"]})).is_ok());
    let error = read(json!({"packages": ["aa", "bb"], "services": {"c": "running"}}));
    assert_eq!(error.unwrap_err(), "3 packages, files and services: the limit is 2");
    assert!(read(json!({"files": {"/a": {"content": "1234"}}})).is_ok());
    let error = read(json!({"files": {"/a": {"content": "12345"}}})).unwrap_err();
    assert_eq!(error, "files.\"/a\": the content is over the limit of 4 bytes");
    let error = read(json!({"files": {"/a": {"content": "1234"}, "/b": {"content": "567"}}}));
    assert_eq!(error.unwrap_err(), "contents of 7 bytes: the limit is 6 bytes");
}
