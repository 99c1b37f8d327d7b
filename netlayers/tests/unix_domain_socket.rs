//! `unix-domain-socket`: what introduction servers and their clients bear of each other.
//! One test alone, as it counts the file descriptors of the whole process.

use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use netlayers::{
    ConnectError, IntroductionOptions, IntroductionServer, Netlayer, UnixDomainSocket,
    UnixDomainSocketIdentity, UnixDomainSocketOptions, UnreachableCause,
};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const JUNK: [u8; 4] = [0x39, 0x30, 0, 0];

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn designator(key: &SigningKey) -> String {
    let alphabet = base32::Alphabet::Rfc4648Lower { padding: false };
    base32::encode(alphabet, key.verifying_key().as_bytes())
}

fn peer(designator: &str) -> String {
    format!("<10'ocapn-peer18'unix-domain-socket52\"{designator}f>")
}

fn new_connection(from: &str, to: &str) -> Vec<u8> {
    format!("<18'uds:new-connection{}{}>", peer(from), peer(to)).into_bytes()
}

/// A client that does everything by hand.
struct Client {
    stream: UnixStream,
    key: SigningKey,
}

impl Client {
    fn connect(path: &Path, seed: u8) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        Self { stream, key: SigningKey::from_bytes(&[seed; 32]) }
    }

    /// As Goblins 0.18 does it, byte for byte.
    fn register(path: &Path, seed: u8) -> Self {
        let mut client = Self::connect(path, seed);
        let challenge = client.ask();
        let signature = client.key.sign(&challenge).to_bytes();
        client.say(&[b"<13'uds:signature64:", &challenge[..], b"64:", &signature, b">"].concat());
        client
    }

    /// Sends the first record, and gives the challenge that is answered.
    fn ask(&mut self) -> [u8; 64] {
        let named = self.register_peer();
        self.say(&[named.as_bytes(), b"64:", &[7; 64], b">"].concat());
        let before = b"<19'uds:server-response[10'public-key[3'ecc[5'curve7'Ed25519]\
                       [5'flags5'eddsa][1'q32:";
        let mut answer = vec![0; before.len() + 32 + 6 + 64 + 32 + 32 + 37];
        self.stream.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(before), "{}", answer.escape_ascii());
        assert!(answer.ends_with(b"]]]>"), "{}", answer.escape_ascii());
        let at = before.len() + 32;
        assert_eq!(&answer[at..at + 6], b"]]]64:");
        answer[at + 6..at + 70].try_into().unwrap()
    }

    fn register_peer(&self) -> String {
        format!("<12'uds:register{}", peer(&self.from()))
    }

    fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn pass(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        let bytes = [IoSlice::new(bytes)];
        rustix::net::sendmsg(&self.stream, &bytes, &mut control, SendFlags::NOSIGNAL).unwrap();
    }

    fn from(&self) -> String {
        designator(&self.key)
    }
}

/// Reads until the other end hangs up.
async fn ends(stream: UnixStream) {
    stream.set_nonblocking(true).unwrap();
    let mut stream = tokio::net::UnixStream::from_std(stream).unwrap();
    let mut scrap = [0; 256];
    while stream.read(&mut scrap).await.is_ok_and(|count| count > 0) {}
}

struct World {
    home: tempfile::TempDir,
    server: IntroductionServer,
}

impl World {
    async fn new(change: impl FnOnce(&mut IntroductionOptions)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut options = IntroductionOptions::default();
        // Nothing here ends by a deadline, but where it is said.
        options.settings.handshake_timeout = Duration::from_secs(3600);
        change(&mut options);
        let identity = UnixDomainSocketIdentity::generate().unwrap();
        let server = IntroductionServer::bind(home.path().join("s"), identity, options);
        Self { server: server.await.unwrap(), home }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("s")
    }

    async fn peer(&self) -> UnixDomainSocket {
        let identity = UnixDomainSocketIdentity::generate().unwrap();
        let options = UnixDomainSocketOptions::default();
        UnixDomainSocket::register([self.path()], identity, options).await.unwrap()
    }
}

async fn goblins_bytes_are_understood() {
    let world = World::new(|_| {}).await;
    let ada = world.peer().await;
    let client = Client::register(&world.path(), 1);
    let to = ada.location().designator;
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    // All in one piece, which Goblins sends in two.
    client.pass(&[&new_connection(&client.from(), &to)[..], &JUNK].concat(), &[theirs.as_fd()]);
    drop(theirs);
    let mut accepted = ada.accept().await.unwrap();
    assert_eq!(accepted.proven, Some(client.from()));
    // Its sender makes it wait, and we don't.
    ours.set_nonblocking(false).unwrap();
    accepted.io.write_all(b"2:hi").await.unwrap();
    let mut heard = [0; 4];
    ours.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"2:hi");

    // And the other way about: hints of ours, and whatever they are.
    let mut named = ada.location();
    named.designator = client.from();
    let mut dialled = ada.connect(&named).await.unwrap();
    let hint = format!("{{52\"{}1\"t}}", world.server.designator());
    let from = peer(&to).replace("f>", &format!("{hint}>"));
    let expected = format!(
        "<18'uds:new-connection{from}{}>",
        peer(&client.from()).replace("f>", &format!("{hint}>"))
    );
    let mut heard = vec![0; expected.len()];
    let mut stream = &client.stream;
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard.escape_ascii().to_string(), expected.escape_default().to_string());
    stream.read_exact(&mut heard[..4]).unwrap();
    assert_eq!(heard[..4], JUNK);
    // Read without room for a descriptor, which is then closed.
    assert_eq!(dialled.io.read(&mut [0; 8]).await.unwrap(), 0);
}

/// What a client sends, and whether it registers before.
enum Fault {
    Unregistered(&'static [u8]),
    WrongSignature,
    Registered(&'static [u8]),
    Impostor,
    NoDescriptor,
    EarlyDescriptor,
    ManyDescriptors,
    NoSocket,
    LongRecord,
}

async fn a_faulty_client_is_cut_off(world: &World, fault: Fault) {
    let path = world.path();
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let mut client = match fault {
        Fault::Unregistered(_) | Fault::WrongSignature => Client::connect(&path, 1),
        _ => Client::register(&path, 1),
    };
    let record = new_connection(&client.from(), &designator(&SigningKey::from_bytes(&[9; 32])));
    match fault {
        Fault::Unregistered(bytes) | Fault::Registered(bytes) => client.say(bytes),
        Fault::WrongSignature => {
            let challenge = client.ask();
            let signature = [3; 64];
            client
                .say(&[b"<13'uds:signature64:", &challenge[..], b"64:", &signature, b">"].concat());
        }
        Fault::Impostor => {
            let other = designator(&SigningKey::from_bytes(&[2; 32]));
            client.say(&new_connection(&other, &client.from()));
            client.pass(&JUNK, &[theirs.as_fd()]);
        }
        Fault::NoDescriptor => client.say(&[&record[..], &JUNK].concat()),
        Fault::EarlyDescriptor => {
            client.pass(&record, &[theirs.as_fd()]);
            client.say(&JUNK);
        }
        Fault::ManyDescriptors => {
            client.say(&record);
            client.pass(&JUNK, &[theirs.as_fd(), theirs.as_fd()]);
        }
        Fault::NoSocket => {
            client.say(&record);
            client.pass(&JUNK, &[file.as_fd()]);
        }
        Fault::LongRecord => client.say(&[b"100000:", &[0; 20_000][..]].concat()),
    }
    ends(client.stream).await;
}

async fn faulty_clients_are_cut_off() {
    let world = World::new(|_| {}).await;
    for fault in [
        Fault::Unregistered(b"GET / HTTP/1.1"),
        Fault::Unregistered(b"<11'uds:nothing>"),
        Fault::Unregistered(b"<12'uds:register1+2+>"),
        Fault::WrongSignature,
        Fault::Registered(b">"),
        Fault::Registered(b"<18'uds:new-connection1+2+>"),
        Fault::Impostor,
        Fault::NoDescriptor,
        Fault::EarlyDescriptor,
        Fault::ManyDescriptors,
        Fault::NoSocket,
        Fault::LongRecord,
    ] {
        a_faulty_client_is_cut_off(&world, fault).await;
    }
    // The name is free again, and the server is well.
    let (ada, ben) = (world.peer().await, world.peer().await);
    let to = ada.location();
    let (dialled, accepted) = tokio::join!(ben.connect(&to), ada.accept());
    drop((dialled.unwrap(), accepted.unwrap()));
}

async fn limits_are_kept() {
    // More descriptors where they may be.
    let world = World::new(|options| options.max_descriptors = 2).await;
    let ada = world.peer().await;
    let mut client = Client::register(&world.path(), 1);
    let (_ours, theirs) = UnixStream::pair().unwrap();
    client.say(&new_connection(&client.from(), &ada.location().designator));
    client.pass(&JUNK, &[theirs.as_fd(), theirs.as_fd()]);
    ada.accept().await.unwrap();

    // One waits for nobody, and the next is closed.
    let world = World::new(|options| options.max_waiting_each = 1).await;
    let mut client = Client::register(&world.path(), 1);
    let nobody = designator(&SigningKey::from_bytes(&[9; 32]));
    let mut pairs = Vec::new();
    for _ in 0..2 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        client.say(&new_connection(&client.from(), &nobody));
        client.pass(&JUNK, &[theirs.as_fd()]);
        pairs.push(ours);
    }
    ends(pairs.pop().unwrap()).await;
    // It goes on waiting though its sender has gone, until somebody comes.
    drop(client);
    let late = Client::register(&world.path(), 9);
    let mut heard = [0; 22];
    (&late.stream).read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"<18'uds:new-connection");

    // No longer than it may.
    let world = World::new(|options| options.patience = Duration::from_millis(20)).await;
    let ada = world.peer().await;
    let mut to = ada.location();
    to.designator = nobody;
    let mut waits = ada.connect(&to).await.unwrap();
    assert_eq!(waits.io.read(&mut [0; 1]).await.unwrap(), 0);

    // So many clients, and a record may take so long.
    let world = World::new(|options| {
        options.max_clients = 1;
        options.settings.handshake_timeout = Duration::from_secs(1);
    })
    .await;
    let mut slow = Client::register(&world.path(), 1);
    let mut second = Client::connect(&world.path(), 2);
    let named = second.register_peer();
    second.say(&[named.as_bytes(), b"64:", &[7; 64], b">"].concat());
    ends(second.stream).await;
    slow.say(b"<18'uds:new");
    ends(slow.stream).await;
    let mut silent = Client::connect(&world.path(), 1);
    silent.say(b"<");
    ends(silent.stream).await;
}

/// A server that does everything by hand, once it has been registered with.
fn serve_by_hand(listener: &UnixListener) -> Client {
    let (stream, _) = listener.accept().unwrap();
    let mut server = Client { stream, key: SigningKey::from_bytes(&[5; 32]) };
    let mut asked = vec![0; server.register_peer().len() + 3 + 64 + 1];
    server.stream.read_exact(&mut asked).unwrap();
    let challenge = &asked[asked.len() - 65..asked.len() - 1];
    let signature = server.key.sign(challenge);
    let key = server.key.verifying_key();
    let before: &[u8] =
        b"<19'uds:server-response[10'public-key[3'ecc[5'curve7'Ed25519][5'flags5'eddsa][1'q32:";
    let answer = [
        before,
        key.as_bytes(),
        b"]]]64:",
        &[8; 64],
        b"[7'sig-val[5'eddsa[1'r32:",
        signature.r_bytes(),
        b"][1's32:",
        signature.s_bytes(),
        b"]]]>",
    ];
    server.say(&answer.concat());
    let mut proof = [0; 17 + 3 + 64 + 3 + 64 + 1];
    server.stream.read_exact(&mut proof[..]).unwrap();
    assert!(proof.starts_with(b"<13'uds:signature64:"), "{}", proof.escape_ascii());
    server
}

/// What a client bears of a server that is what it says.
async fn a_faulty_server_is_left() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let (_ours, theirs) = UnixStream::pair().unwrap();
    for fault in 0..4 {
        let identity = UnixDomainSocketIdentity::generate().unwrap();
        let us = identity.designator().to_owned();
        let mut options = UnixDomainSocketOptions::default();
        options.max_record = 300;
        options.max_descriptors = if fault == 3 { 2 } else { 1 };
        let register = tokio::spawn(UnixDomainSocket::register([path.clone()], identity, options));
        let listener = listener.try_clone().unwrap();
        let mut server =
            tokio::task::spawn_blocking(move || serve_by_hand(&listener)).await.unwrap();
        let ada = register.await.unwrap().unwrap();
        let record = new_connection(&server.from(), &us);
        match fault {
            0 => server.say(&[b"400:", &[0; 300][..]].concat()),
            1 => server.say(&new_connection(&us, &server.from())),
            _ => server.say(&record),
        }
        match fault {
            0 => {}
            1 => server.pass(&JUNK, &[theirs.as_fd()]),
            _ => server.pass(&JUNK, &[theirs.as_fd(), theirs.as_fd()]),
        }
        if fault == 3 {
            ada.accept().await.unwrap();
        } else {
            ends(server.stream).await;
        }
    }
}

async fn faulty_servers_are_told() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    for answer in [&b""[..], b"<19'uds:server-response1+>", b"nonsense"] {
        let identity = UnixDomainSocketIdentity::generate().unwrap();
        let options = UnixDomainSocketOptions::default();
        let register = tokio::spawn(UnixDomainSocket::register([path.clone()], identity, options));
        let listener = listener.try_clone().unwrap();
        let (mut stream, _) =
            tokio::task::spawn_blocking(move || listener.accept()).await.unwrap().unwrap();
        stream.write_all(answer).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(register.await.unwrap().is_err(), "{}", answer.escape_ascii());
    }
    // Peers that are with other servers can't be reached.
    let (one, other) = (World::new(|_| {}).await, World::new(|_| {}).await);
    let (ada, ben) = (one.peer().await, other.peer().await);
    match ada.connect(&ben.location()).await {
        Err(ConnectError::Unreachable { cause: UnreachableCause::NoSharedServer, .. }) => {}
        outcome => panic!("{outcome:?}"),
    }
    // Who has left still dials.
    let cleo = one.peer().await;
    ada.shutdown().await;
    let mut dialled = ada.connect(&cleo.location()).await.unwrap();
    let mut accepted = cleo.accept().await.unwrap();
    assert_eq!(accepted.proven, Some(ada.location().designator));
    dialled.io.write_all(b"1:x").await.unwrap();
    let mut heard = [0; 3];
    accepted.io.read_exact(&mut heard).await.unwrap();
}

#[test]
fn nobody_breaks_an_introduction() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let test = async {
        faulty_clients_are_cut_off().await;
        let before = open_files();
        goblins_bytes_are_understood().await;
        faulty_clients_are_cut_off().await;
        limits_are_kept().await;
        faulty_servers_are_told().await;
        a_faulty_server_is_left().await;
        // Tasks that were told to end close their files when they get to it.
        while open_files() > before {
            tokio::task::yield_now().await;
        }
    };
    let guarded = async { tokio::time::timeout(Duration::from_secs(120), test).await };
    runtime.block_on(guarded).expect("something hangs, or stays open");
}
