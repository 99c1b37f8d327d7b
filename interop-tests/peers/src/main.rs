//! What Hobgoblin is measured against: other people's RPC and codecs, doing the same. The
//! benchmark (`bench --peers`) builds this program and talks to its processes as to its
//! own, of which it has the texts of the sockets, of TLS and of the measuring in common.

mod capnp_rpc_echo;
mod codec;
#[rustfmt::skip]
mod echo_capnp;
#[path = "../../src/bin/bench/sockets.rs"]
mod sockets;
mod tarpc_echo;
#[path = "../../src/bin/bench/tls.rs"]
mod tls;
mod tonic_echo;
#[path = "../../src/bin/bench/work.rs"]
#[expect(dead_code, reason = "what only the benchmark itself needs")]
mod work;

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use crate::sockets::{Listener, Transport};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a tokio runtime");
    let tasks = tokio::task::LocalSet::new();
    match *args {
        ["serve", who, transport, directory, _nodes] => {
            std::thread::spawn(|| {
                let mut scrap = [0; 1];
                let _ended = std::io::stdin().read(&mut scrap);
                std::process::exit(0);
            });
            let transport = transport.parse().expect("a transport");
            runtime.block_on(tasks.run_until(serve(who, transport, Path::new(directory))));
        }
        ["work", who, transport, _directory, _size, servers, address] => {
            let transport = transport.parse().expect("a transport");
            let servers: Vec<u32> = servers.split(',').filter_map(|id| id.parse().ok()).collect();
            runtime.block_on(tasks.run_until(call(who, transport, address, &servers)));
            std::process::exit(0);
        }
        ["codec", figure] => {
            codec::measure(Duration::from_millis(figure.parse().expect("milliseconds")));
        }
        _ => {
            eprintln!(
                "started by the benchmark: cargo run --release -p interop-tests --bin bench -- --peers"
            );
            std::process::exit(2);
        }
    }
}

async fn serve(who: &str, transport: Transport, directory: &Path) {
    let listener = Listener::bind(transport, directory, who).await.expect("a socket");
    work::say(&listener.address());
    match who {
        "capnp-rpc" => capnp_rpc_echo::serve(listener).await,
        "tarpc" => tarpc_echo::serve(listener).await,
        _ => tonic_echo::serve(listener).await,
    }
}

async fn call(who: &str, transport: Transport, address: &str, servers: &[u32]) {
    match who {
        "capnp-rpc" => {
            work::obey(capnp_rpc_echo::CapnpRpc::new(transport, address).await, servers).await;
        }
        "tarpc" => work::obey(tarpc_echo::Tarpc::new(transport, address).await, servers).await,
        _ => work::obey(tonic_echo::Tonic::new(transport, address).await, servers).await,
    }
}
