//! Connections that come to nothing leave nothing behind. One test alone, as it counts
//! the file descriptors of the whole process.

use std::time::Duration;

use captp::locator::PeerLocator;
use netlayers::{
    Identity, Netlayer, Settings, TcpOptions, TcpTls, Websocket, WebsocketIdentity,
    WebsocketOptions, WebsocketTls,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;

/// Clients at once, for each stage at which they stop.
const CLIENTS: usize = 60;

/// Handshakes under way at once that the listener allows.
const HANDSHAKES: usize = 20;

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How far a client goes before it says no more.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Silent,
    Half,
    Upgraded,
}

/// A client, and what has to be kept for it to stay.
async fn client(to: &PeerLocator, stage: Stage) -> TcpStream {
    let address = match to.hints.get("url") {
        Some(url) => url.split_once("://").unwrap().1.to_owned(),
        None => format!("{}:{}", to.hints["host"], to.hints["port"]),
    };
    let mut stream = TcpStream::connect(address).await.unwrap();
    match stage {
        Stage::Silent => {}
        // The head of a TLS record, or of no HTTP request that has come to its end.
        Stage::Half => stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap(),
        Stage::Upgraded => {
            let url = to.hints["url"].clone();
            // Whoever had to give way meanwhile is not upgraded.
            let _upgraded_or_cut_off = client_async(url, &mut stream).await;
        }
    }
    stream
}

async fn layer(which: usize, settings: Settings) -> Box<dyn Netlayer> {
    let mut tcp = TcpOptions::default();
    tcp.settings = settings;
    if which == 0 {
        let identity = Identity::generate().unwrap();
        return Box::new(TcpTls::bind("127.0.0.1:0", identity, tcp).await.unwrap());
    }
    let mut options = WebsocketOptions::default();
    options.tcp = tcp;
    if which == 2 {
        options.tls = WebsocketTls::OwnKey;
    }
    let identity = WebsocketIdentity::generate().unwrap();
    Box::new(Websocket::bind("127.0.0.1:0", identity, options).await.unwrap())
}

/// The clients that have been cut off, each after what was still sent to it.
async fn cut_off(client: &mut TcpStream) {
    let mut scrap = [0; 4096];
    while client.read(&mut scrap).await.is_ok_and(|count| count > 0) {}
}

async fn stalled_clients(which: usize, stage: Stage) {
    // None is cut off but by the number of them.
    let mut settings = Settings::default();
    settings.handshake_timeout = Duration::from_secs(3600);
    settings.max_handshakes = HANDSHAKES;
    let listener = layer(which, settings.clone()).await;
    let dialler = layer(which, settings.clone()).await;
    let to = listener.location();
    let before = open_files();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(client(&to, stage).await);
    }
    for client in clients.iter_mut().take(CLIENTS - HANDSHAKES) {
        cut_off(client).await;
    }
    let open = open_files() - before;
    assert!(open <= CLIENTS + HANDSHAKES, "{which} {stage:?}: {open} files are open");
    let (dialled, accepted) = tokio::join!(dialler.connect(&to), listener.accept());
    drop((dialled.unwrap(), accepted.unwrap()));
    drop(listener);
    for client in &mut clients {
        cut_off(client).await;
    }

    // The rest goes by the deadline.
    settings.handshake_timeout = Duration::from_millis(50);
    let listener = layer(which, settings).await;
    let to = listener.location();
    let mut clients = Vec::new();
    for _ in 0..HANDSHAKES {
        clients.push(client(&to, stage).await);
    }
    for client in &mut clients {
        cut_off(client).await;
    }
}

#[test]
fn nothing_is_left_open() {
    if !std::path::Path::new("/proc/self/fd").is_dir() {
        eprintln!("skipped: no /proc/self/fd here");
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let test = async {
        // What the runtime and the libraries open for themselves is open by then.
        stalled_clients(0, Stage::Silent).await;
        let before = open_files();
        for (which, stage) in [
            (0, Stage::Silent),
            (0, Stage::Half),
            (1, Stage::Silent),
            (1, Stage::Half),
            (1, Stage::Upgraded),
            (2, Stage::Silent),
            (2, Stage::Half),
        ] {
            stalled_clients(which, stage).await;
        }
        // Tasks that were told to end close their files when they get to it.
        while open_files() > before {
            tokio::task::yield_now().await;
        }
    };
    let guarded = async { tokio::time::timeout(Duration::from_secs(120), test).await };
    runtime.block_on(guarded).expect("something stays open");
}
