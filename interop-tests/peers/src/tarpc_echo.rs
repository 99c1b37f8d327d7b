//! tarpc: a service is a trait of Rust; no references, no pipelines. With bincode.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tarpc::server::{self, Channel as _};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context, serde_transport};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::sockets::{self, Listener, Transport};
use crate::work::{Candidate, Job, MEBIBYTE, PAYLOAD, WINDOW, windowed};

#[tarpc::service]
trait Echo {
    async fn echo(text: String) -> String;
    async fn put(bytes: serde_bytes::ByteBuf) -> u64;
}

#[derive(Clone)]
struct Desk;

impl Echo for Desk {
    async fn echo(self, _: context::Context, text: String) -> String {
        text
    }

    async fn put(self, _: context::Context, bytes: serde_bytes::ByteBuf) -> u64 {
        bytes.len() as u64
    }
}

/// More than are ever in flight.
const BUFFER: usize = 20_000;

/// Serves for ever.
pub(crate) async fn serve(listener: Listener) {
    loop {
        let Ok(socket) = listener.accept().await else { continue };
        let framed = Framed::new(socket, LengthDelimitedCodec::new());
        let transport = serde_transport::new(framed, Bincode::default());
        let config = server::Config { pending_response_buffer: BUFFER };
        let answers = server::BaseChannel::new(config, transport).execute(Desk.serve());
        tokio::task::spawn_local(answers.for_each(|answer| async {
            tokio::task::spawn_local(answer);
        }));
    }
}

pub(crate) struct Tarpc {
    echo: EchoClient,
    mebibyte: serde_bytes::ByteBuf,
}

impl Tarpc {
    pub(crate) async fn new(transport: Transport, address: &str) -> Self {
        let socket = sockets::dial(transport, address).await.expect("a server");
        let framed = Framed::new(socket, LengthDelimitedCodec::new());
        let transport = serde_transport::new(framed, Bincode::default());
        let mut config = client::Config::default();
        config.max_in_flight_requests = BUFFER;
        config.pending_request_buffer = BUFFER;
        let made = EchoClient::new(config, transport);
        tokio::task::spawn_local(made.dispatch);
        Self { echo: made.client, mebibyte: serde_bytes::ByteBuf::from(vec![7; MEBIBYTE]) }
    }

    async fn call(&self) {
        let text = self.echo.echo(context::current(), PAYLOAD.to_owned()).await;
        assert_eq!(text.expect("an answer").len(), PAYLOAD.len());
    }
}

impl Candidate for Tarpc {
    async fn once(&mut self, job: Job) -> bool {
        match job {
            Job::Call => self.call().await,
            // One after the other, as it has to be.
            Job::Pipeline => {
                for _ in 0..3 {
                    self.call().await;
                }
            }
            Job::Payload => {
                let put = self.echo.put(context::current(), self.mebibyte.clone()).await;
                put.expect("an answer");
            }
            _ => return false,
        }
        true
    }

    async fn many(&mut self, job: Job, count: usize) -> bool {
        match job {
            Job::Window => windowed(count, WINDOW, |_| self.call()).await,
            Job::Flight => {
                join_all((0..count).map(|_| self.call())).await;
            }
            _ => return false,
        }
        true
    }
}
