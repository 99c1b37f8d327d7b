//! `ssh`: a real sshd on loopback.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use hob::providers::contract::{World as _, check, order};
use hob::providers::{FleetId, ProviderError};

use crate::sshd::{Sshd, key};
use crate::worlds::{Boss, Here, have};

/// What these tests need.
const PROGRAMS: [&str; 4] = ["ssh", "sshd", "ssh-keygen", "flock"];

/// Some hosts, all of them this one, and a provider that may log in to them.
fn hosts(count: usize, more: &str) -> (Vec<Sshd>, Here) {
    let mut here = Here::new("ssh", "");
    let hosts: Vec<_> =
        (0..count).map(|n| Sshd::start(&here.place, &format!("sshd-{n}"))).collect();
    let known: String = hosts.iter().map(|host| host.known_as(&host.host_key)).collect();
    here.place.write("known_hosts", 0o600, &known);
    let names: Vec<_> = hosts.iter().map(|host| format!("'{}'", host.host())).collect();
    here.set(&format!(
        "hosts = [{}]\nknown_hosts = '{}'\nidentity_file = '{}'\ndirectory = '{}'\n\
         listen = 'tcp-tls:127.0.0.1:0'\n{more}",
        names.join(", "),
        here.place.path("known_hosts").display(),
        here.place.path("client_key").display(),
        here.place.path("remote").display(),
    ));
    here.places.push(here.place.path("remote"));
    (hosts, here)
}

#[test]
fn ssh_keeps_to_the_contract() {
    if have(&PROGRAMS, false) {
        let (_hosts, here) = hosts(4, "init = 'process'");
        check(&here);
        assert!(!here.place.path("remote").exists(), "hob goes with the last machine");
    }
}

fn steps_of(here: &Here, order: &hob::providers::Order) -> Result<Vec<String>, ProviderError> {
    let steps = std::sync::Mutex::new(Vec::new());
    let note = |step: &str| steps.lock().unwrap().push(step.to_owned());
    here.another().create(order, &note)?;
    Ok(steps.into_inner().unwrap())
}

#[test]
fn hob_is_copied_once_and_what_is_secret_is_so() {
    if !have(&PROGRAMS, false) {
        return;
    }
    let (_hosts, here) = hosts(2, "init = 'process'");
    let fleet = FleetId::random().unwrap();
    let (first, second) = (order("first", &fleet), order("second", &fleet));
    assert_eq!(steps_of(&here, &first).unwrap(), ["connect", "copy hob", "install"]);
    assert_eq!(steps_of(&here, &second).unwrap(), ["connect", "install"]);
    // One that was cut off while it was copied is not taken for hob.
    let bin = here.place.path("remote/bin");
    let program = bin.read_dir().unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read(&program).unwrap(), here.place.read("stand-in").as_bytes());
    std::fs::write(&program, "half").unwrap();
    here.cut(&first.key);
    assert_eq!(steps_of(&here, &first).unwrap(), ["connect", "copy hob", "install"]);
    let home = here.place.path("remote/machines").join(first.key.as_str());
    assert_eq!(home.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    // The stand-in refuses an enrolment that others may read.
    let third = order("third", &fleet);
    let error = steps_of(&here, &third).unwrap_err();
    assert!(error.temporary && error.why.contains("all hosts, 2, are taken"), "{error}");
    for order in [&first, &second, &third] {
        here.another().destroy(&order.target()).unwrap();
        assert!(!here.traces(&order.key));
    }
}

#[test]
fn hob_is_downloaded_and_checked_or_is_there() {
    if !have(&PROGRAMS, false) || !have(&["curl", "sha256sum"], false) {
        return;
    }
    let (_hosts, mut here) = hosts(1, "init = 'process'");
    let order = order("machine", &FleetId::random().unwrap());
    let program = here.place.path("stand-in").display().to_string();
    let install = |here: &mut Here, install: &str| {
        here.add(&format!("install = {install}"));
        steps_of(here, &order)
    };
    let download =
        |sum: &str| format!("{{ download = {{ url = 'file://{program}', sha256 = '{sum}' }} }}");
    let error = install(&mut here, &download(&"0".repeat(64))).unwrap_err();
    assert!(!error.temporary && error.why.contains("is not the hob with that SHA-256"), "{error}");
    let elsewhere = download(&"0".repeat(64)).replace("stand-in", "no-such-file");
    assert!(install(&mut here, &elsewhere).unwrap_err().temporary);
    let sum = Command::new("sha256sum").arg(&program).output().unwrap().stdout;
    let sum = String::from_utf8(sum[..64].to_vec()).unwrap().to_uppercase();
    assert_eq!(install(&mut here, &download(&sum)).unwrap(), ["connect", "install"]);
    assert_eq!(here.running(&order.key), 1);
    here.another().destroy(&order.target()).unwrap();

    let error = install(&mut here, "{ present = '/no/such/hob' }").unwrap_err();
    assert!(!error.temporary && error.why.contains("no program /no/such/hob"), "{error}");
    install(&mut here, &format!("{{ present = '{program}' }}")).unwrap();
    assert_eq!(here.running(&order.key), 1);
    assert!(!here.place.path("remote/bin").exists());
    here.another().destroy(&order.target()).unwrap();
    install(&mut here, &format!("{{ copy = '{program}' }}")).unwrap();
    assert!(here.place.path("remote/bin").exists());
    here.another().destroy(&order.target()).unwrap();
    assert!(!here.traces(&order.key));
}

#[test]
fn nobody_else_is_spoken_to() {
    if !have(&PROGRAMS, false) {
        return;
    }
    let (hosts, here) = hosts(1, "init = 'process'");
    let order = order("machine", &FleetId::random().unwrap());
    let [host] = &hosts[..] else { panic!() };
    let wrong = key(&here.place, "another_host_key");
    here.place.write("known_hosts", 0o600, &host.known_as(&wrong));
    let error = steps_of(&here, &order).unwrap_err();
    assert!(error.identity_mismatch && !error.temporary, "{error}");
    assert!(error.why.starts_with("identity mismatch: 127.0.0.1:"), "{error}");
    assert!(here.another().list(&order.fleet).unwrap_err().identity_mismatch);

    here.place.write("known_hosts", 0o600, "");
    let error = steps_of(&here, &order).unwrap_err();
    assert!(!error.identity_mismatch && !error.temporary, "{error}");
    assert!(error.why.contains("known_hosts has no key for it"), "{error}");
    // Nothing was done there, so nobody need be asked to undo it.
    assert!(!here.place.path("remote").exists());
    here.another().destroy(&order.target()).unwrap();
    assert!(!here.traces(&order.key));

    here.place.write("known_hosts", 0o600, &host.known_as(&host.host_key));
    here.place.write("authorized_keys", 0o600, "");
    let error = steps_of(&here, &order).unwrap_err();
    assert!(!error.temporary && error.why.contains("Permission denied"), "{error}");
    let port = host.port;
    drop(hosts);
    let error = steps_of(&here, &order).unwrap_err();
    assert!(error.temporary && error.why.contains(&format!("127.0.0.1:{port}")), "{error}");
}

#[test]
fn what_the_spec_may_say() {
    if !have(&PROGRAMS, false) {
        return;
    }
    let (hosts, mut here) = hosts(1, "init = 'process'");
    here.unset("hosts");
    let mut order = order("machine", &FleetId::random().unwrap());
    let error = steps_of(&here, &order).unwrap_err();
    assert!(!error.temporary && error.why.contains("`hosts` names no host"), "{error}");
    order.spec.insert("hots".to_owned(), "x".into());
    let error = steps_of(&here, &order).unwrap_err();
    assert!(!error.temporary && error.why.contains("the spec: unknown field `hots`"), "{error}");
    order.spec.clear();
    order.spec.insert("host".to_owned(), hosts[0].host().into());
    steps_of(&here, &order).unwrap();
    assert_eq!(here.running(&order.key), 1);
    // A boss that has lost what the provider has written down still knows the name.
    let id = here.another().list(&order.fleet).unwrap().remove(0).id;
    here.lose_state();
    let mut target = order.target();
    target.id = Some(id);
    here.another().destroy(&target).unwrap();
    assert_eq!(here.running(&order.key), 0);
    assert!(!here.traces(&order.key));
}

/// A stand-in for systemctl: it keeps account, and starts what a unit says.
const SYSTEMCTL: &str = r#"#!/bin/sh
set -eu
here=${0%/bin/systemctl}
[ "$1" = --user ] && shift
echo "$*" >>"$here/systemctl"
for unit; do :; done
for file in /etc/systemd/system/$unit ${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$unit; do
    [ -f "$file" ] && break
done
case $1 in
restart)
    cp "$file" "$here/unit.service"
    mark=$(sed -n 's/^Environment=//p' "$file")
    env "$mark" setsid $(sed -n 's/^ExecStart=//p' "$file") >/dev/null 2>&1 </dev/null &
    ;;
disable) kill $(cat "$here"/remote/machines/*/state/lock) ;;
esac
"#;

#[test]
fn systemd_starts_what_is_installed() {
    if !have(&PROGRAMS, false) {
        return;
    }
    let (_hosts, here) = hosts(1, "init = 'systemd'\nmanages-host = false");
    std::fs::create_dir(here.place.path("bin")).unwrap();
    here.place.write("bin/systemctl", 0o755, SYSTEMCTL);
    let order = order("machine", &FleetId::random().unwrap());
    steps_of(&here, &order).unwrap();
    while here.running(&order.key) == 0 {
        std::thread::yield_now();
    }
    let unit = here.place.read("unit.service");
    for line in
        ["Type=notify", "Restart=always", "NoNewPrivileges=yes", "RestartPreventExitStatus=2 4 7"]
    {
        assert!(unit.lines().any(|found| found == line), "{line}: {unit}");
    }
    // Nothing runs that would object.
    verify(&here.place.path("unit.service"));
    steps_of(&here, &order).unwrap();
    assert_eq!(here.running(&order.key), 1);
    here.another().destroy(&order.target()).unwrap();
    let service = format!("hob-{}.service", order.key);
    let calls = here.place.read("systemctl");
    let expected = [
        "daemon-reload".to_owned(),
        format!("enable --quiet {service}"),
        format!("restart --no-block {service}"),
        format!("disable --quiet --now {service}"),
        "daemon-reload".to_owned(),
    ];
    assert_eq!(calls.lines().collect::<Vec<_>>(), expected);
    assert_eq!(here.running(&order.key), 0);
    assert!(!here.traces(&order.key));
    let unit = Path::new("/etc/systemd/system").join(&service);
    assert!(!unit.exists());
}

/// Has systemd look for mistakes, where it is installed.
fn verify(unit: &Path) {
    let Ok(done) = Command::new("systemd-analyze").arg("verify").arg(unit).output() else {
        return crate::support::skipped("there is no systemd-analyze here");
    };
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let about_it = |line: &&str| line.contains("unit.service") && !line.contains("not executable");
    let complaints: Vec<_> = said.lines().filter(about_it).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn a_machine_registers() {
    if !have(&PROGRAMS, false) {
        return;
    }
    let (_hosts, here) = hosts(1, "init = 'process'");
    let here = here.with_hob();
    let boss = Boss::start(&here, "boss --state boss --listen tcp-tls:127.0.0.1:0");
    let order = boss.order("db-machine", &FleetId::random().unwrap());
    let steps = steps_of(&here, &order).unwrap();
    assert_eq!(steps, ["connect", "copy hob", "install"]);
    boss.until_active(1);
    assert_eq!(here.running(&order.key), 1);
    here.another().destroy(&order.target()).unwrap();
    assert_eq!(here.running(&order.key), 0);
    assert!(!here.traces(&order.key));
}
