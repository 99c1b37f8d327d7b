//! What can be seen of the provider without a QEMU.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::providers::Enrolment;

const KERNEL: &str = "kernel = '/k'\ninitrd = '/i'\naccelerator = 'tcg'\n";

fn provider(directory: &Path, settings: &str) -> Result<Qemu, ProviderError> {
    Qemu::new(toml::from_str(settings).unwrap(), directory)
}

fn order() -> Order {
    Order {
        name: "db".to_owned(),
        key: "00112233445566778899aabbccddeeff".parse().unwrap(),
        fleet: FleetId::random().unwrap(),
        enrolment: Enrolment::new("ocapn://a.b/s/secret"),
        spec: serde_json::Map::new(),
    }
}

fn step(_: &str) {}

/// A program in place of QEMU.
fn program(directory: &Path, script: &str) -> String {
    let path = directory.join("qemu");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{KERNEL}program = {path:?}\nstate-disk = 1\n")
}

#[test]
fn arguments_are_what_is_set_and_asked_for() {
    let settings = format!("{KERNEL}args = ['-S']\nmemory = '1G'\nport = 7001\ncpus = 2\n");
    let qemu = provider(Path::new("/a,b"), &settings).unwrap();
    let record = Record {
        fleet: String::new(),
        name: "db".to_owned(),
        host_port: 40_000,
        disk: DiskFormat::Raw,
        ran: false,
    };
    let spec = Spec { memory: Some("2G".to_owned()), ..Spec::default() };
    let arguments = qemu.arguments(&order().key, &spec, &record, Path::new("/s"));
    let arguments: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap()).collect();
    let all = arguments.join(" ");
    for wanted in [
        "-name guest=hob-db,process=hob-db -uuid 00112233-4455-6677-8899-aabbccddeeff",
        "-accel tcg,tb-size=32 -cpu max -smp 2 -m 2G",
        "hostfwd=tcp:127.0.0.1:40000-:7001",
        "-drive if=none,id=disk,format=raw,file=/a,,b/00112233445566778899aabbccddeeff/disk.img",
        "readonly=on,file=/a,,b/00112233445566778899aabbccddeeff/seed.img",
        "-kernel /k -append console=ttyS0 -initrd /i",
    ] {
        assert!(all.contains(wanted), "{wanted}\n{all}");
    }
    assert!(all.ends_with("-daemonize -nodefaults -no-user-config -S"), "{all}");
    assert!(!all.contains("secret"), "{all}");
}

#[test]
fn settings_with_which_no_machine_could_be_made_are_refused() {
    for bad in ["", "kernel = 'k'\ninstall = 'copy'", "image = 'i'\ninstall = { copy = '/hob' }"] {
        let Ok(settings) = toml::from_str(bad) else { continue };
        let error = Qemu::new(settings, Path::new("/nowhere")).map(|_| bad).unwrap_err();
        assert!(!error.temporary, "{error}");
    }
}

#[test]
fn what_does_not_start_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("machines");
    let qemu = provider(&directory, &format!("{KERNEL}program = '/nowhere/qemu'\n")).unwrap();
    assert!(!qemu.create(&order(), &step).unwrap_err().temporary);
    let settings = program(parent.path(), "echo no such device >&2; exit 1");
    let error = provider(&directory, &settings).unwrap().create(&order(), &step).unwrap_err();
    assert!(error.temporary && error.why.ends_with("exit status: 1: no such device"), "{error}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);

    let image = "image = '/nowhere/image'\n";
    let error = provider(&directory, image).unwrap().create(&order(), &step).unwrap_err();
    assert!(!error.temporary && error.why.contains("/nowhere/image"), "{error}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn what_has_run_is_kept_when_it_does_not_start_again() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("machines");
    // It says that it is in the background, and has ended by then.
    let settings = program(parent.path(), "exit 0");
    let qemu = provider(&directory, &settings).unwrap();
    let order = order();
    let made = qemu.create(&order, &step).unwrap();
    let disk = directory.join(order.key.as_str()).join("disk.img");
    fs::write(&disk, "what it has written").unwrap();
    let settings = program(parent.path(), "exit 1");
    provider(&directory, &settings).unwrap().create(&order, &step).unwrap_err();
    assert_eq!(fs::read(&disk).unwrap(), b"what it has written");
    assert_eq!(qemu.list(&order.fleet), Ok(vec![made.clone()]));
    program(parent.path(), "exit 0");
    assert_eq!(qemu.create(&order, &step), Ok(made));
    assert!(qemu.console(&order.key).unwrap_err().temporary);
    assert_eq!(qemu.process(&order.key), Ok(None));
    qemu.destroy(&order.target()).unwrap();
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn an_endless_complaint_is_cut_short() {
    let parent = tempfile::tempdir().unwrap();
    let settings = program(parent.path(), "yes | head -c 100000 >&2; exit 1");
    let qemu = provider(parent.path(), &settings).unwrap();
    let error = qemu.create(&order(), &step).unwrap_err();
    assert!(error.why.len() < 5000, "{}", error.why.len());
}
