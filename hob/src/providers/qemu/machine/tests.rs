use super::*;

fn record(name: &str) -> Record {
    let disk = DiskFormat::Raw;
    Record { fleet: "f".to_owned(), name: name.to_owned(), host_port: 7000, disk, ran: false }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_machine_is_kept_found_and_removed() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("machines");
    assert!(Machine::all(&directory).unwrap().is_empty());
    let key = Key::random().unwrap();
    let machine = Machine::new(&directory, &key);
    assert_eq!(machine.record().unwrap(), None);
    machine.keep(&record("db")).unwrap();
    machine.keep(&Record { ran: true, ..record("db") }).unwrap();
    machine.write_seed(b"secret").unwrap();
    machine.make_disk(4096).unwrap();
    assert_eq!(machine.record().unwrap(), Some(Record { ran: true, ..record("db") }));
    assert!(machine.process().unwrap().is_none());
    for entry in fs::read_dir(machine.path()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    assert_eq!(mode(machine.path()), 0o700);
    fs::create_dir(directory.join("mine")).unwrap();
    let all = Machine::all(&directory).unwrap();
    assert_eq!(all.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&key]);
    machine.remove().unwrap();
    machine.remove().unwrap();
    assert!(Machine::all(&directory).unwrap().is_empty());
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "what is not ours stays");
}

#[test]
fn what_a_killed_removal_has_left_is_removed_by_the_next() {
    let parent = tempfile::tempdir().unwrap();
    let key = Key::random().unwrap();
    let machine = Machine::new(parent.path(), &key);
    fs::create_dir_all(parent.path().join(format!("{key}.gone/more"))).unwrap();
    assert!(Machine::all(parent.path()).unwrap().is_empty());
    machine.keep(&record("db")).unwrap();
    machine.remove().unwrap();
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn a_disk_is_made_once() {
    let parent = tempfile::tempdir().unwrap();
    let machine = Machine::new(parent.path(), &Key::random().unwrap());
    machine.keep(&record("db")).unwrap();
    machine.make_disk(4096).unwrap();
    fs::write(machine.disk(), "what is kept").unwrap();
    machine.make_disk(4096).unwrap();
    let image = parent.path().join("image");
    fs::write(&image, "an image").unwrap();
    fs::set_permissions(&image, Permissions::from_mode(0o444)).unwrap();
    machine.copy_disk(&image).unwrap();
    assert_eq!(fs::read(machine.disk()).unwrap(), b"what is kept");

    fs::remove_file(machine.disk()).unwrap();
    machine.copy_disk(&image).unwrap();
    assert_eq!(fs::read(machine.disk()).unwrap(), b"an image");
    assert_eq!(mode(&machine.disk()), 0o600);
    fs::remove_file(machine.disk()).unwrap();
    assert!(machine.copy_disk(&parent.path().join("nowhere")).is_err());
    assert!(!machine.disk().exists());
}

#[test]
fn the_format_of_an_image_is_told_by_its_first_bytes() {
    let parent = tempfile::tempdir().unwrap();
    let image = parent.path().join("image");
    for (bytes, format) in [
        (b"QFI\xfb\0\0\0\x03".as_slice(), DiskFormat::Qcow2),
        (b"QFI", DiskFormat::Raw),
        (b"", DiskFormat::Raw),
        (b"\xeb\x63\x90\0\0", DiskFormat::Raw),
    ] {
        fs::write(&image, bytes).unwrap();
        assert_eq!(DiskFormat::of(&image).unwrap(), format);
    }
}

#[test]
fn a_port_that_is_taken_is_not_free() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = listener.local_addr().unwrap().port();
    assert!(free_port(Ipv4Addr::LOCALHOST, Some(taken)).is_err());
    assert_ne!(free_port(Ipv4Addr::LOCALHOST, None).unwrap(), taken);
}
