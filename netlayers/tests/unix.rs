//! `unix`: socket files left behind, in the way or in use, and who may connect.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use netlayers::unix::{MAX_PATH_BYTES, designator_of};
use netlayers::{BindError, ConnectError, Netlayer, Unix, UnixOptions};
use tokio::io::AsyncReadExt as _;

async fn bind(path: &Path) -> Result<Unix, BindError> {
    Unix::bind(path, UnixOptions::default()).await
}

fn only(users: impl IntoIterator<Item = u32>) -> UnixOptions {
    let mut options = UnixOptions::default();
    options.allowed_users = Some(users.into_iter().collect::<BTreeSet<_>>());
    options
}

#[tokio::test]
async fn both_ends_learn_the_others_process() {
    let home = tempfile::tempdir().unwrap();
    let ada = bind(&home.path().join("ada")).await.unwrap();
    let ben = bind(&home.path().join("ben")).await.unwrap();
    let to = ben.location();
    let (dialled, accepted) = tokio::join!(ada.connect(&to), ben.accept());
    let us = home.path().metadata().unwrap();
    for channel in [dialled.unwrap(), accepted.unwrap()] {
        let credentials = channel.credentials.unwrap();
        assert_eq!((credentials.uid, credentials.gid), (us.uid(), us.gid()));
        assert_eq!(credentials.pid, i32::try_from(std::process::id()).ok());
    }
}

#[tokio::test]
async fn users_that_are_not_allowed_are_refused_at_either_end() {
    let home = tempfile::tempdir().unwrap();
    let us = home.path().metadata().unwrap().uid();
    let path = |name| home.path().join(name);
    let ada = bind(&path("ada")).await.unwrap();
    let strict = Unix::bind(path("strict"), only([us + 1])).await.unwrap();
    // A Unix socket is connected before anybody asks, so the refusal is an end.
    let mut refused = ada.connect(&strict.location()).await.unwrap();
    assert_eq!(refused.io.read(&mut [0; 1]).await.unwrap(), 0);
    match strict.connect(&ada.location()).await {
        Err(ConnectError::IdentityMismatch { found, .. }) => {
            assert_eq!(found, Some(format!("a program of user {us}")));
        }
        outcome => panic!("{outcome:?}"),
    }
    let lenient = Unix::bind(path("lenient"), only([us])).await.unwrap();
    lenient.connect(&ada.location()).await.unwrap();
}

#[tokio::test]
async fn the_socket_is_private_and_goes_with_its_listener() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("socket");
    let layer = bind(&path).await.unwrap();
    let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    assert_eq!(layer.location().designator, designator_of(path.to_str().unwrap()));
    layer.shutdown().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_put_in_its_place_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("socket");
    let layer = bind(&path).await.unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    layer.shutdown().await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert!(matches!(bind(&path).await, Err(BindError::NotASocket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn only_sockets_that_nobody_listens_on_are_replaced() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("socket");
    let other_make = UnixListener::bind(&path).unwrap();
    assert!(matches!(bind(&path).await, Err(BindError::InUse(_))));
    // As after `kill -9`: the file stays and nobody listens.
    drop(other_make);
    assert!(path.exists());
    let layer = bind(&path).await.unwrap();
    assert!(matches!(bind(&path).await, Err(BindError::InUse(_))));
    layer.connect(&layer.location()).await.unwrap();
}

#[tokio::test]
async fn one_socket_has_one_designator() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("real")).unwrap();
    symlink(home.path().join("real"), home.path().join("link")).unwrap();
    let layer = bind(&home.path().join("link/../link/socket")).await.unwrap();
    let real = home.path().join("real/socket");
    assert_eq!(layer.location().designator, designator_of(real.to_str().unwrap()));
}

#[tokio::test]
async fn paths_that_cannot_be() {
    let home = tempfile::tempdir().unwrap();
    assert!(matches!(bind(Path::new("relative")).await, Err(BindError::BadPath(_))));
    assert!(matches!(bind(Path::new("/")).await, Err(BindError::BadPath(_))));
    let nowhere = home.path().join("no/such/directory");
    assert!(matches!(bind(&nowhere).await, Err(BindError::Address { .. })));

    let room = MAX_PATH_BYTES - home.path().as_os_str().len() - 1;
    let longest = home.path().join("x".repeat(room));
    let layer = bind(&longest).await.unwrap();
    layer.connect(&layer.location()).await.unwrap();
    match bind(&home.path().join("x".repeat(room + 1))).await {
        Err(BindError::PathTooLong { len, limit, .. }) => {
            assert_eq!((len, limit), (MAX_PATH_BYTES + 1, MAX_PATH_BYTES));
        }
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn a_listener_with_a_full_queue_is_given_up_on() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("full");
    let full = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    full.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    full.listen(0).unwrap();
    let mut options = UnixOptions::default();
    options.settings.connect_timeout = Duration::from_millis(50);
    let ada = Unix::bind(home.path().join("ada"), options).await.unwrap();
    let mut to = ada.location().with_hint("path", path.to_str().unwrap());
    to.designator = designator_of(path.to_str().unwrap());
    let _first = ada.connect(&to).await.unwrap();
    let outcome = ada.connect(&to).await;
    assert!(matches!(outcome, Err(ConnectError::Unreachable { .. })), "{outcome:?}");
}
