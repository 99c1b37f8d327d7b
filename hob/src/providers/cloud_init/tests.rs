//! That user data says what it should and nothing else, whatever it is made of.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Map;

use super::*;
use crate::providers::Enrolment;

const URI: &str = "ocapn://abc.tcp-tls/s/secret?host=192.0.2.7&port=7000";
const SHA256: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

fn order(name: &str, uri: &str) -> Order {
    Order {
        name: name.to_owned(),
        key: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        fleet: "fedcba9876543210fedcba9876543210".parse().unwrap(),
        enrolment: Enrolment::new(uri),
        spec: Map::new(),
    }
}

fn download() -> Install {
    Install::Download { url: "https://example.org/hob".to_owned(), sha256: SHA256.to_owned() }
}

fn at(address: &str) -> PublicAddress {
    PublicAddress::At(address.to_owned())
}

/// The document as cloud-init sees it. Printable ASCII with no other escapes than JSON's
/// `\"`, `\\` and `\n` means the same to a parser of YAML.
fn parse(data: &UserData) -> Value {
    let body = data.user_data.strip_prefix("#cloud-config\n").unwrap();
    assert!(body.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')), "{body}");
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            let escaped = chars.next().unwrap();
            assert!(matches!(escaped, '"' | '\\' | 'n'), "\\{escaped}");
        }
    }
    serde_json::from_str(body).unwrap()
}

fn content(config: &Value, path: &str) -> Option<(String, String)> {
    let files = config["write_files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == path)?;
    assert_eq!(file["owner"], "root:root");
    let text = |key: &str| file[key].as_str().unwrap().to_owned();
    Some((text("permissions"), text("content")))
}

#[test]
fn the_enrolment_is_root_s_alone_and_goes_when_it_has_been_used() {
    let data = render(&order("db", URI), &CloudInit::new(download())).unwrap();
    let config = parse(&data);
    let enrolment = content(&config, ENROLMENT_FILE).unwrap();
    assert_eq!(enrolment, ("0600".to_owned(), format!("{URI}\n")));
    assert_eq!(config["bootcmd"][0], json!(["install", "-d", "-m", "0700", "/etc/hob"]));
    let (_, unit) = content(&config, UNIT).unwrap();
    assert!(unit.contains("ExecStartPost=+/bin/rm -f /etc/hob/enrol.cap\n"), "{unit}");
    assert!(!format!("{data:?}").contains("secret"));
    // Nowhere else, such as in a command line that others could see.
    assert_eq!(data.user_data.matches("secret").count(), 1);

    let meta: Value = serde_json::from_str(&data.meta_data).unwrap();
    assert_eq!(meta["instance-id"], "hob-0123456789abcdef0123456789abcdef");
    assert_eq!(meta["local-hostname"], "db");
}

#[test]
fn each_way_of_installing_has_its_unit() {
    let there = CloudInit {
        public_address: at("db.example.org:7001"),
        port: 443,
        ..CloudInit::new(Install::Present(PathBuf::from("/opt/hob-1.0/hob")))
    };
    let config = parse(&render(&order("db", URI), &there).unwrap());
    let (mode, unit) = content(&config, UNIT).unwrap();
    assert_eq!(mode, "0644");
    let start = "\nExecStart=/opt/hob-1.0/hob join --state /var/lib/hob \
                 --enrol /etc/hob/enrol.cap --listen tcp-tls:0.0.0.0:443 \
                 --public-address db.example.org:7001\n";
    assert!(unit.contains(start), "{unit}");
    assert!(!unit.contains("ExecStartPre"));
    assert!(unit.contains("\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n"));
    assert_eq!((content(&config, INSTALL), content(&config, START)), (None, None));

    let fetched = CloudInit { manage: true, ..CloudInit::new(download()) };
    let config = parse(&render(&order("db", URI), &fetched).unwrap());
    let (_, unit) = content(&config, UNIT).unwrap();
    assert!(unit.contains("\nExecStartPre=+/usr/local/lib/hob/install\n"), "{unit}");
    assert!(unit.contains("\nExecStart=/usr/local/lib/hob/start\n"));
    assert!(!unit.contains("CapabilityBoundingSet") && !unit.contains("ProtectSystem"));
    assert_eq!(content(&config, INSTALL).unwrap().0, "0755");
    assert_eq!(content(&config, START).unwrap().0, "0755");
}

#[test]
fn what_can_t_be_written_down_safely_is_refused() {
    let usual = || CloudInit::new(download());
    let url = |url: &str| {
        CloudInit::new(Install::Download { url: url.to_owned(), sha256: SHA256.to_owned() })
    };
    let path = |path: &str| CloudInit::new(Install::Present(PathBuf::from(path)));
    let public = |address: &str| CloudInit { public_address: at(address), ..usual() };
    let key = |key: &str| CloudInit { ssh_authorized_keys: vec![key.to_owned()], ..usual() };
    let digest = |sha256: &str| {
        CloudInit::new(Install::Download {
            url: "http://a/hob".to_owned(),
            sha256: sha256.to_owned(),
        })
    };
    for (name, uri, options) in [
        ("", URI, usual()),
        ("-db", URI, usual()),
        ("db-", URI, usual()),
        ("Db", URI, usual()),
        ("db\n", URI, usual()),
        (&*"a".repeat(64), URI, usual()),
        ("db", "https://a/s/b", usual()),
        ("db", "ocapn://a\nb/s/c", usual()),
        ("db", "ocapn://ä/s/c", usual()),
        ("db", URI, url("ftp://a/hob")),
        ("db", URI, url("https://a/hob\nrm -rf /")),
        ("db", URI, url("https://a/ hob")),
        ("db", URI, digest("abc")),
        ("db", URI, digest(&SHA256.replace('2', "'"))),
        ("db", URI, path("hob")),
        ("db", URI, path("/opt/my hob")),
        ("db", URI, path("/opt/%h/$HOME")),
        ("db", URI, path("/opt/h\nExecStartPre=/bin/false")),
        ("db", URI, public("db")),
        ("db", URI, public("db:0")),
        ("db", URI, public("db:+7")),
        ("db", URI, public("db:70000")),
        ("db", URI, public("d b:7000")),
        ("db", URI, public("$HOME:7000")),
        ("db", URI, public("::1:7000")),
        ("db", URI, public("[::1;]:7000")),
        ("db", URI, key("")),
        ("db", URI, key("ssh-ed25519 AAAA\nssh-ed25519 BBBB")),
        ("db", URI, CloudInit { port: 0, ..usual() }),
        ("db", URI, CloudInit::new(Install::Copy(None))),
    ] {
        let error = render(&order(name, uri), &options).expect_err(&format!("{name} {options:?}"));
        assert!(!error.temporary, "{error}");
        assert!(!error.why.contains("ocapn://a"), "{error}");
    }
}

/// A generator of its own, so that the cases are the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// Text, much of which is meant to break out of where it is put; in half of the cases
    /// of what may be in a URI alone.
    fn text(&mut self) -> String {
        const PIECES: [&str; 31] = [
            "a", "Z", "7", "-", ".", "_", "'", "\"", "\\", "$(id)", "`id`", "%h", "{{x}}", "#",
            "&", "*", "!!python", "%20", "\\n", ";", // no others are in URIs
            " ", ": ", "\n", "\t", "\r", "\0", "\u{7f}", "\u{85}", "\u{2028}", "ä", "😀",
        ];
        let kinds = [20, PIECES.len()][self.below(2)];
        (0..self.below(12)).map(|_| PIECES[self.below(kinds)]).collect()
    }

    /// Nearly always the first.
    fn mostly(&mut self, usual: &str) -> String {
        if self.below(5) == 0 { self.text() } else { usual.to_owned() }
    }
}

#[test]
fn whatever_is_accepted_comes_out_of_the_document_as_it_went_in() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for _ in 0..4_000 {
        let name = dice.mostly("db");
        let uri = format!("{}{}", dice.mostly("ocapn://"), dice.text());
        let url = format!("https://{}", dice.text());
        let install = match dice.below(2) {
            0 => Install::Present(PathBuf::from(format!("/{}", dice.mostly("usr/bin/hob")))),
            _ => Install::Download { url: url.clone(), sha256: SHA256.to_owned() },
        };
        let key = dice.text();
        let options = CloudInit {
            public_address: match dice.below(2) {
                0 => at(&format!("{}:7000", dice.mostly("db.example.org"))),
                _ => PublicAddress::Own,
            },
            ssh_authorized_keys: vec![key.clone()],
            ..CloudInit::new(install.clone())
        };
        let Ok(data) = render(&order(&name, &uri), &options) else { continue };
        accepted += 1;
        let config = parse(&data);
        assert_eq!(config["hostname"], *name);
        assert_eq!(config["ssh_authorized_keys"], json!([key]));
        assert_eq!(content(&config, ENROLMENT_FILE).unwrap().1, format!("{uri}\n"));
        let (_, unit) = content(&config, UNIT).unwrap();
        assert_eq!(unit.matches("\nExecStart=").count(), 1, "{unit}");
        if let Install::Download { .. } = install {
            // As a shell reads it, and not as its author hopes that it does.
            let script = content(&config, INSTALL).unwrap().1;
            let assignments: String =
                script.lines().take(5).map(|line| format!("{line}\n")).collect();
            let shown = Command::new("/bin/sh")
                .args(["-c", &format!("{assignments}printf %s \"$url\"")])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(shown.stdout).unwrap(), url);
        }
    }
    assert!(accepted > 400, "{accepted}");
}

#[test]
fn user_data_that_is_too_large_is_refused() {
    let data = render(&order("db", URI), &CloudInit::new(download())).unwrap();
    let bytes = data.user_data.len();
    assert_eq!(data.within(bytes, "a cloud"), Ok(()));
    let error = data.within(bytes - 1, "a cloud").unwrap_err();
    assert!(!error.temporary && error.why.contains(&bytes.to_string()), "{error}");
    // All of it fits the smallest limit of the clouds that there are.
    assert!(bytes < 16 * 1024, "{bytes}");
}

/// Runs the install script, with a `curl` that does as told the first time and then works.
fn install(first: &str) -> (bool, Option<Vec<u8>>, String) {
    let dir = tempfile::tempdir().unwrap();
    let tool = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let here = dir.path().display();
    tool("sleep", &format!("echo $1 >>{here}/slept"));
    let curl = format!(
        "while [ $# -gt 2 ]; do shift; done\n\
         if [ ! -e {here}/tried ]; then touch {here}/tried; {first}; fi\n\
         printf foo >\"$1\""
    );
    tool("curl", &curl);
    let program = dir.path().join("hob");
    let script =
        install_script(program.to_str().unwrap(), "https://example.org/hob", SHA256).unwrap();
    let path = format!("{here}:{}", std::env::var("PATH").unwrap());
    let outcome = Command::new("/bin/sh").args(["-c", &script]).env("PATH", path).output().unwrap();
    let slept = fs::read_to_string(dir.path().join("slept")).unwrap_or_default();
    if let Ok(metadata) = program.metadata() {
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o755);
    }
    let left = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left = left.filter(|name| name.to_string_lossy().starts_with("hob.")).count();
    assert_eq!(left, 0, "parts are left behind");
    (outcome.status.success(), fs::read(program).ok(), slept)
}

#[test]
fn hob_is_fetched_again_until_it_is_the_one_meant_and_no_other_is_installed() {
    let good = Some(b"foo".to_vec());
    assert_eq!(install(":"), (true, good.clone(), String::new()));
    assert_eq!(install("exit 7"), (true, good.clone(), "2\n".to_owned()));
    // A page of a proxy that is in the way, say.
    assert_eq!(install("printf bar >\"$1\"; exit 0"), (true, good, "2\n".to_owned()));
    let never = "rm -f \"$(dirname \"$0\")\"/tried; printf bar >\"$1\"; exit 0";
    assert_eq!(install(never), (false, None, "2\n5\n10\n20\n40\n".to_owned()));
}
