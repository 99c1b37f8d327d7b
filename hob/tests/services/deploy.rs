//! `hob deploy` to a real shepherd with a deploy agent: by TCP and TLS, and while it is
//! killed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use crate::pasture::Pasture;
use crate::support::{self, Done, Place};

const DEFINITIONS: &str = r#"
[service.deploy]
builtin = "deploy"
settings = { root = "PLACE/root", parts = ["files"] }

[service.monitoring]
builtin = "monitoring"

[service.echo]
builtin = "echo"
"#;

/// A machine whose files are in a directory, and which listens.
fn machine() -> Pasture {
    let place = Place::new();
    std::fs::create_dir_all(place.path("root/etc")).unwrap();
    place.write("root/etc/motd", 0o644, "before");
    place.write("web.toml", 0o644, "[files.\"/etc/motd\"]\ncontent = \"one\"\n");
    Pasture::at(place, DEFINITIONS, None, &["--listen", "tcp-tls:127.0.0.1:0"])
}

/// Runs the workstation's command, with the capability.
fn deploy(machine: &Pasture, words: &str) -> Done {
    machine.place.hob(&format!("deploy --to deploy.cap {words}"))
}

fn motd(machine: &Pasture) -> String {
    machine.place.read("root/etc/motd")
}

#[test]
fn what_is_built_in_is_a_service_like_others() {
    let machine = machine();
    let all = "Started:\n + deploy\n + echo\n + monitoring\n + root\n";
    assert_eq!(machine.says("status"), all);
    let status = machine.says("status monitoring");
    assert!(status.contains("  Built in: monitoring\n"), "{status}");
    assert!(status.contains("  Custom actions: now\n"), "{status}");
    assert!(machine.says("now monitoring").starts_with("resident memory: "));
    machine.until("it says so from time to time", |machine| {
        machine.says("log monitoring").contains("resident memory: ")
    });
    machine.says("stop echo");
    assert_eq!(machine.json("echo")["state"], "stopped");
    assert_eq!(machine.fails("echo echo").0, 1);
    assert_eq!(machine.says("start echo"), "Service echo has been started.\n");
    assert_eq!(machine.says("restart echo"), "Service echo has been started.\n");
    machine.says("grant echo --actions echo -o echo.cap");
    let echo = |words: &str| machine.place.hob(&format!("call --file echo.cap {words}")).with(0);
    assert_eq!(echo("echo \"echo\" 1 true").out.trim(), "[1 true]");
    assert_eq!(machine.fails("dance echo").0, 3);
}

#[test]
fn a_deployment_over_tcp_is_confirmed_or_undone() {
    let machine = machine();
    machine.says("grant deploy --actions deploy --over tcp-tls --to ci -o deploy.cap");
    assert!(machine.place.read("deploy.cap").contains(".tcp-tls/s/"));
    let site = machine.place.path("site");
    std::fs::create_dir_all(site.join("sub")).unwrap();
    let large: Vec<u8> =
        (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(site.join("sub/large"), &large).unwrap();
    std::os::unix::fs::symlink("sub/large", site.join("link")).unwrap();

    let plan = deploy(&machine, "web.toml site --at /srv --dry-run").with(0);
    assert_eq!(
        plan.out,
        "files /etc/motd: another content instead of the content of the state\n\
         files /srv/link: nothing instead of a symbolic link\n\
         files /srv/sub/large: nothing instead of a file\n\
         1 contents to be sent, 1000000 bytes\n"
    );
    assert_eq!(motd(&machine), "before");
    let done = deploy(&machine, "web.toml site --at /srv").with(0);
    assert_eq!(done.out, "3 changes, confirmed\n");
    let steps = "sending 1 contents, 1000000 bytes\n\
                 write /etc/motd\nwrite /srv/link\nwrite /srv/sub/large\n";
    assert_eq!(done.err, steps);
    assert_eq!(std::fs::read(machine.place.path("root/srv/link")).unwrap(), large);
    // Nothing is sent again, and nothing has to be done.
    let done = deploy(&machine, "web.toml site --at /srv --json").with(0);
    assert_eq!(done.err, "");
    let json: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(json["deployment"]["stage"], "confirmed");
    assert_eq!(json["deployment"]["changed"], serde_json::json!([]));

    machine.place.write("web.toml", 0o644, "[files.\"/etc/motd\"]\ncontent = \"two\"\n");
    let left = deploy(&machine, "web.toml --no-confirm").with(6);
    let id = left.out.trim().strip_prefix("applied as ").unwrap().to_owned();
    assert_eq!(motd(&machine), "two");
    assert!(!machine.place.path("root/srv").exists());
    let busy = deploy(&machine, "web.toml").with(1);
    assert!(busy.err.contains("waits for its confirmation, since 20"), "{busy:?}");
    assert_eq!(deploy(&machine, &format!("--cancel {id}")).with(0).out, "cancelled\n");
    assert_eq!(motd(&machine), "one");
    assert!(machine.place.path("root/srv/sub/large").exists());
    let status = deploy(&machine, "--status").with(0).out;
    assert!(status.starts_with("rolled-back by ") && status.contains("cancelled"), "{status}");

    let left = deploy(&machine, "web.toml --no-confirm").with(6);
    let id = left.out.trim().strip_prefix("applied as ").unwrap().to_owned();
    assert_eq!(deploy(&machine, &format!("--confirm {id}")).with(0).out, "confirmed\n");
    deploy(&machine, &format!("--confirm {id}")).with(3);

    // Nobody confirms: when the command looks, it may be undone already.
    machine.place.write("web.toml", 0o644, "[files.\"/etc/motd\"]\ncontent = \"three\"\n");
    let left = deploy(&machine, "web.toml --no-confirm --confirm-within 2s");
    assert!(matches!(left.code, Some(6 | 1)), "{left:?}");
    machine.until("it is undone", |machine| motd(machine) == "two");
    machine.until("and said to be", |machine| {
        deploy(machine, "--status").out.contains("not confirmed within 2s")
    });
}

#[test]
fn the_capability_is_for_deploying_and_can_be_taken_back() {
    let machine = machine();
    machine.says("grant deploy --actions deploy --over tcp-tls --to ci -o deploy.cap");
    for words in ["status", "stop deploy", "restart deploy", "echo echo", "now monitoring"] {
        let (code, error) = machine.fails(&format!("-c deploy.cap {words}"));
        assert_eq!(code, 4, "{words}: {error}");
    }
    deploy(&machine, "web.toml --service echo").with(4);
    let bad = machine.place.hob("call --file deploy.cap deploy \"deploy\" stop").with(4);
    assert!(bad.err.contains("no order of a deploy agent"), "{bad:?}");
    let left = deploy(&machine, "web.toml --no-confirm").with(6);
    let id = left.out.trim().strip_prefix("applied as ").unwrap().to_owned();
    machine.says("revoke 1");
    deploy(&machine, &format!("--confirm {id}")).with(4);
    deploy(&machine, "web.toml").with(4);
    // What was left is undone: here because the service is stopped.
    machine.says("stop deploy");
    assert_eq!(motd(&machine), "before");
    let audit = machine.says("audit -n 100");
    for line in ["granted id=1", "used id=1 (ci) method=deploy", "refused id=1 (ci)", "was undone"]
    {
        assert!(audit.contains(line), "{line}: {audit}");
    }
    assert!(!audit.contains(&id) && !machine.says("log deploy").contains(&id));
}

#[test]
fn an_agent_that_is_killed_in_the_middle_undoes_it() {
    let mut machine = machine();
    // By the socket, which is where it was when the shepherd is there again.
    machine.says("grant deploy --actions deploy -o deploy.cap");
    // Whoever looks somebody up here waits for ever.
    let passwd = machine.place.path("root/etc/passwd");
    assert!(Command::new("mkfifo").arg(&passwd).status().unwrap().success());
    machine.place.write(
        "web.toml",
        0o644,
        "[files.\"/etc/motd\"]\ncontent = \"one\"\n[files.\"/etc/zz\"]\ncontent = \"\"\n\
         owner = \"somebody\"\n",
    );
    let mut command = support::hob()
        .current_dir(machine.place.path(""))
        .args(["deploy", "--to", "deploy.cap", "web.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(command.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "write /etc/motd\n");
    machine.until("it is half applied", |machine| motd(machine) == "one");
    machine.end("-KILL");
    assert_eq!(motd(&machine), "one");
    machine.start(&[]);
    machine.until("it is undone", |machine| motd(machine) == "before");
    // The workstation learns of it by itself.
    let code = command.wait().unwrap().code();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(code, Some(1), "{rest}");
    assert!(rest.contains("undone: the agent was stopped before it was confirmed"), "{rest}");
    assert!(!machine.place.path("root/etc/zz").exists());

    // Applied, and killed before it is confirmed.
    std::fs::remove_file(&passwd).unwrap();
    machine.place.write("web.toml", 0o644, "[files.\"/etc/motd\"]\ncontent = \"two\"\n");
    deploy(&machine, "web.toml --no-confirm").with(6);
    assert_eq!(motd(&machine), "two");
    machine.end("-KILL");
    machine.start(&[]);
    machine.until("it is undone", |machine| motd(machine) == "before");
    // Confirmed, and killed: it stays.
    machine
        .until("it can be deployed again", |machine| deploy(machine, "web.toml").code == Some(0));
    machine.end("-KILL");
    machine.start(&[]);
    assert!(deploy(&machine, "--status").with(0).out.starts_with("confirmed by "));
    assert_eq!(motd(&machine), "two");
}
