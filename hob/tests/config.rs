//! Settings by the command line: where they come from, and what is said of bad ones.

mod support;

use support::{Done, Place, hob};

/// `hob` with words and variables of its own.
fn with(place: &Place, words: &str, variables: &[(&str, &str)]) -> Done {
    let mut command = hob();
    command.current_dir(place.path("")).args(words.split_whitespace());
    command.envs(variables.iter().copied()).output().unwrap().into()
}

#[test]
fn a_flag_comes_before_a_variable_before_the_file_before_the_default() {
    let place = Place::new();
    place.write(
        "c.toml",
        0o600,
        "[node]\nlisten = [\"unix:/file\"]\n\n[state]\npath = \"/file\"\n",
    );
    let file = place.path("c.toml").display().to_string();
    let from = |words: &str, variables: &[(&str, &str)]| {
        let done = with(&place, &format!("config show --json {words}"), variables).with(0);
        let shown: serde_json::Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!(shown["version"], 1);
        let settings = shown["settings"].as_array().unwrap();
        let find = |name: &str| settings.iter().find(|setting| setting["name"] == name).unwrap();
        let of = |name: &str| {
            let setting = find(name);
            format!("{} {} {}", setting["value"], setting["origin"], setting["from"])
        };
        (of("node.listen"), of("state.path"))
    };
    let quoted = |value: &str, kind: &str, from: &str| format!("{value} \"{kind}\" \"{from}\"");
    let home = quoted("\"/nonexistent/.local/state/hob\"", "default", "default, by $HOME");
    assert_eq!(from("", &[]), (quoted("null", "default", "default"), home));
    let (listen, state) = from(&format!("--config {file}"), &[]);
    assert_eq!(listen, quoted("[\"unix:/file\"]", "file", &format!("{file}:2")));
    assert_eq!(state, quoted("\"/file\"", "file", &format!("{file}:5")));
    let variables =
        [("HOB_CONFIG", file.as_str()), ("HOB_STATE", "/env"), ("HOB_LISTEN", "unix:/e")];
    let (listen, state) = from("", &variables);
    assert_eq!(listen, quoted("[\"unix:/e\"]", "env", "env HOB_LISTEN"));
    assert_eq!(state, quoted("\"/env\"", "env", "env HOB_STATE"));
    let (listen, state) = from("--state ./flag --listen unix:/f", &variables);
    assert_eq!(listen, quoted("[\"unix:/f\"]", "flag", "flag --listen"));
    assert_eq!(state, quoted("\"./flag\"", "flag", "flag --state"));
}

#[test]
fn mistakes_in_the_file_are_shown_with_their_place() {
    let place = Place::new();
    place.write("c.toml", 0o600, "[node]\n  lisen = []\n");
    let done = place.hob("config check --config c.toml").with(2);
    assert_eq!(
        done.err,
        "error: c.toml:2:3: [node] has no key \"lisen\"\n  next: did you mean listen?\n"
    );
    let done = place.hob("config check --json --config c.toml").with(2);
    let said: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(said["error"]["exit"], 2);
    assert_eq!(said["error"]["next"], "did you mean listen?");
    // What a command does not look at is not in its way.
    place.hob("completions bash --config c.toml").with(0);
    place.hob("node --config c.toml").with(2);
    place.hob("config check --config missing.toml").with(2);
    let bad = with(&place, "config check", &[("HOB_RECONCILE", "soon")]).with(2);
    assert!(bad.err.contains("env HOB_RECONCILE"), "{}", bad.err);
    place.write("c.toml", 0o600, "[providers.far]\nkind = \"ssh\"\n");
    assert!(place.hob("config check --config c.toml").with(0).out.ends_with("; providers: far\n"));
}

#[test]
fn what_is_shown_is_a_config_file() {
    let place = Place::new();
    place.write(
        "c.toml",
        0o600,
        "[boss]\nreconcile = \"5s\"\n[providers.far]\ntoken = \"s3cret\"\n",
    );
    let shown = place.hob("config show --config c.toml").with(0).out;
    assert!(shown.contains("[boss]\nreconcile = \"5s\"\nenrol_ttl = \"15m\"\n"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
    place.write("again.toml", 0o600, &shown);
    assert_eq!(place.hob("config show --config again.toml").with(0).out, shown);
    let table = place.hob("config show --origin --config c.toml").with(0).out;
    assert!(table.starts_with("SETTING"), "{table}");
    assert!(
        table.lines().any(|line| line.starts_with("boss.reconcile") && line.ends_with("c.toml:2"))
    );
}

#[test]
fn a_node_does_as_the_file_says() {
    let place = Place::new();
    let root = place.path("");
    let root = root.display();
    let text = format!(
        "[state]\npath = \"{root}a\"\n[node]\nlisten = [\"unix:{root}public\", \
         \"tcp-tls:127.0.0.1:0\"]\npublic_address = \"boss.example:7000\"\n"
    );
    place.write("c.toml", 0o600, &text);
    let node = place.serve("node --config c.toml");
    assert_eq!(node.locators.len(), 3, "{:?}", node.locators);
    assert!(node.locators[0].contains(".unix"), "{:?}", node.locators);
    assert!(node.locators[1].contains("host=boss.example&port=7000"), "{:?}", node.locators);
    // Other commands find it by the same file.
    place.hob("export c --kind counter -o c.cap --config c.toml").with(0);
    assert_eq!(place.hob("call @c.cap increment 3").with(0).out, "3\n");
    let said = place.hob("where --json --config c.toml").with(0).out;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["running"], true);
    let found: Vec<&str> =
        said["locators"].as_array().unwrap().iter().map(|uri| uri.as_str().unwrap()).collect();
    assert_eq!(found, node.locators);
    assert_eq!(said["config"][0]["used"], true);
    node.end("-TERM").with(0);
    let said = place.hob("where --config c.toml").with(0).out;
    assert!(said.contains("node    ○ not running\n"), "{said}");
    assert!(said.contains("config  c.toml  (used)\n"), "{said}");
}

#[test]
fn limits_are_those_of_the_file() {
    let place = Place::new();
    place.write("c.toml", 0o600, "[limits]\nmessage_size = \"1KiB\"\n");
    let _node = place.serve("node --state a --listen unix:./public --config c.toml");
    place.hob("export e --kind echo -o e.cap --state a").with(0);
    place.hob("call @e.cap small").with(0);
    let large = "x".repeat(2000);
    let done = place.run(["call", "@e.cap", &large]);
    assert_ne!(done.code, Some(0), "{done:?}");
    let limits = "config show --origin --limit message_size=2KiB --reconcile 5s --config c.toml";
    let shown = place.hob(limits).with(0).out;
    let from = |name: &str| {
        let line = shown.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(from("limits.message_size"), "\"2KiB\" flag --limit");
    assert_eq!(from("boss.reconcile"), "\"5s\" flag --reconcile");
    assert_eq!(from("limits.sessions"), "1024 default");
}
