//! How fast it is, beside the socket itself. Run by hand:
//! `cargo test --release -p hob --lib wrap::tests::figures -- --ignored --nocapture`.

use std::time::Instant;

use ocapn::Node;
use ocapn::netlayers::{Identity, TcpOptions, TcpTls};
use ocapn::persist::{Memory, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::kit::{Machine, Served};
use crate::wrap::socket::Socket;
use crate::wrap::{Address, StreamLimits};

const MEGABYTES: usize = 256;
const ROUNDS: u32 = 2000;

async fn machine() -> Machine {
    let identity = Identity::generate().unwrap();
    let tls = TcpTls::bind("127.0.0.1:0", identity, TcpOptions::default()).await.unwrap();
    let store = Store::open(Memory::new()).unwrap();
    let node = Node::builder().netlayer(tls).start_durable(&store).unwrap();
    Machine::on(node, StreamLimits::default())
}

/// For `d` a download, for `u` an upload and its end, for `e` an echo.
async fn serve(mut socket: Socket) {
    let mut block = vec![5; 1 << 20];
    match socket.read_u8().await.unwrap() {
        b'd' => {
            for _ in 0..MEGABYTES {
                socket.write_all(&block).await.unwrap();
            }
        }
        b'u' => {
            for _ in 0..MEGABYTES {
                socket.read_exact(&mut block).await.unwrap();
            }
            socket.write_u8(1).await.unwrap();
        }
        _ => {
            while let Ok(byte) = socket.read_u8().await {
                socket.write_u8(byte).await.unwrap();
            }
        }
    }
}

async fn measure(what: &str, address: &Address) {
    let block = vec![5; 1 << 20];
    let rate = |start: Instant| MEGABYTES as f64 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    let mut socket = address.connect().await.unwrap();
    socket.write_u8(b'd').await.unwrap();
    let mut into = block.clone();
    for _ in 0..MEGABYTES {
        socket.read_exact(&mut into).await.unwrap();
    }
    println!("{what}: download {:.0} MiB/s", rate(start));
    let start = Instant::now();
    let mut socket = address.connect().await.unwrap();
    socket.write_u8(b'u').await.unwrap();
    for _ in 0..MEGABYTES {
        socket.write_all(&block).await.unwrap();
    }
    socket.read_u8().await.unwrap();
    println!("{what}: upload {:.0} MiB/s", rate(start));
    let mut socket = address.connect().await.unwrap();
    socket.write_u8(b'e').await.unwrap();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        socket.write_u8(1).await.unwrap();
        socket.read_u8().await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    let at = |part: f64| times[(f64::from(ROUNDS) * part) as usize].as_micros();
    println!("{what}: a byte there and back {} us, p99 {} us", at(0.5), at(0.99));
    let start = Instant::now();
    for _ in 0..200 {
        let mut socket = address.connect().await.unwrap();
        socket.write_all(b"e1").await.unwrap();
        socket.read_u8().await.unwrap();
    }
    println!("{what}: connect, and a byte there and back {} us", start.elapsed().as_micros() / 200);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn beside_the_socket_itself() {
    let (service, program) = (machine().await, machine().await);
    let served = Served::tcp(serve).await;
    let target = program.get(&service, &service.socket(&served.address).await);
    let (_forward, address) = program.forward("tcp:127.0.0.1:0", &target).await;
    measure("socket", &served.address).await;
    measure("forward over tcp-tls", &address).await;
}
