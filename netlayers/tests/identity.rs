//! Key files: made once, kept private, never overwritten.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use netlayers::tcp_tls::designator_of_pem;
use netlayers::{Identity, IdentityError};
use tempfile::TempDir;

fn home() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("state").join("hob");
    (parent, directory)
}

fn file(directory: &Path) -> PathBuf {
    directory.join("identity.pem")
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn made_once_and_the_same_ever_after() {
    let (_parent, directory) = home();
    let made = Identity::load_or_create(&directory).unwrap();
    assert_eq!((mode(&directory), mode(&file(&directory))), (0o700, 0o600));
    let names: Vec<_> = fs::read_dir(&directory).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["identity.pem"]);

    let kept = fs::read(file(&directory)).unwrap();
    let again = Identity::load_or_create(&directory).unwrap();
    assert_eq!(again.certificate_pem(), made.certificate_pem());
    assert_eq!(again.designator(), made.designator());
    assert_eq!(fs::read(file(&directory)).unwrap(), kept);

    // What is sent is what is in the file, and what the designator is a hash of.
    let text = String::from_utf8(kept).unwrap();
    assert!(text.starts_with(made.certificate_pem()));
    assert_eq!(designator_of_pem(made.certificate_pem()), made.designator());
    let shown = format!("{made:?}");
    assert_eq!(shown, format!("Identity({})", made.designator()));
}

#[test]
fn many_at_once_agree() {
    const COUNT: usize = 8;
    let (_parent, directory) = home();
    let start = Barrier::new(COUNT);
    let designators: Vec<_> = std::thread::scope(|scope| {
        let make = || {
            start.wait();
            Identity::load_or_create(&directory).unwrap().designator().to_owned()
        };
        let threads: Vec<_> = (0..COUNT).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(designators.iter().all(|designator| *designator == designators[0]));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}

#[test]
fn a_file_that_others_may_use_is_refused() {
    let (_parent, directory) = home();
    Identity::load_or_create(&directory).unwrap();
    for open in [0o640, 0o604, 0o620, 0o601] {
        chmod(&file(&directory), open);
        let outcome = Identity::load_or_create(&directory);
        assert!(
            matches!(&outcome, Err(IdentityError::FileMode { mode, .. }) if *mode == open),
            "{outcome:?}"
        );
        assert!(outcome.unwrap_err().to_string().contains("chmod 600"));
    }
    chmod(&file(&directory), 0o400);
    Identity::load_or_create(&directory).unwrap();
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let (_parent, directory) = home();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).unwrap();
    chmod(&directory, 0o770);
    let outcome = Identity::load_or_create(&directory);
    assert!(matches!(outcome, Err(IdentityError::DirectoryMode { .. })), "{outcome:?}");
    assert!(!file(&directory).exists());
    chmod(&directory, 0o755);
    Identity::load_or_create(&directory).unwrap();
}

#[test]
fn a_corrupt_file_is_refused_and_kept() {
    let (_parent, directory) = home();
    Identity::load_or_create(&directory).unwrap();
    let good = fs::read_to_string(file(&directory)).unwrap();
    let (_other_parent, other) = home();
    let other = {
        Identity::load_or_create(&other).unwrap();
        fs::read_to_string(file(&other)).unwrap()
    };
    let key_at = good.find("-----BEGIN PRIVATE").unwrap();
    let other_key_at = other.find("-----BEGIN PRIVATE").unwrap();
    let table = [
        String::new(),
        "garbage".into(),
        good[..key_at].to_owned(),
        good[key_at..].to_owned(),
        good[..good.len() / 2].to_owned(),
        format!("{}{}", &good[..key_at], &other[other_key_at..]),
        good.replace("MII", "!!!"),
        format!("{good}{}", " ".repeat(200_000)),
    ];
    for text in table {
        fs::write(file(&directory), &text).unwrap();
        let outcome = Identity::load_or_create(&directory);
        assert!(matches!(outcome, Err(IdentityError::Corrupt { .. })), "{text}: {outcome:?}");
        assert_eq!(fs::read_to_string(file(&directory)).unwrap(), text);
    }
    fs::write(file(&directory), good).unwrap();
    Identity::load_or_create(&directory).unwrap();
}

#[test]
fn odd_things_in_its_place_are_refused() {
    let (parent, directory) = home();
    fs::create_dir_all(file(&directory)).unwrap();
    chmod(&directory, 0o700);
    let outcome = Identity::load_or_create(&directory);
    assert!(matches!(outcome, Err(IdentityError::Corrupt { .. })), "{outcome:?}");

    fs::remove_dir(file(&directory)).unwrap();
    symlink(parent.path().join("nowhere"), file(&directory)).unwrap();
    let outcome = Identity::load_or_create(&directory);
    assert!(matches!(outcome, Err(IdentityError::Io { .. })), "{outcome:?}");
    assert!(!parent.path().join("nowhere").exists());

    fs::write(parent.path().join("file"), "").unwrap();
    let outcome = Identity::load_or_create(parent.path().join("file"));
    assert!(matches!(outcome, Err(IdentityError::Io { .. })), "{outcome:?}");
}

#[test]
fn certificates_of_other_makes_can_be_used() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate = rcgen::CertificateParams::new([]).unwrap().self_signed(&key).unwrap();
    let (key, certificate) = (key.serialize_pem(), certificate.pem());
    let one = Identity::from_pem(&format!("{key}{certificate}")).unwrap();
    let other = Identity::from_pem(&format!("{certificate}{key}")).unwrap();
    assert_eq!(one.designator(), other.designator());
    assert_eq!(one.designator(), designator_of_pem(&certificate));
    assert!(matches!(Identity::from_pem(&key), Err(IdentityError::BadPem(_))));
}
