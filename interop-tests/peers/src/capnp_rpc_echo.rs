//! capnp-rpc: promises that can be called before they settle, references that are
//! counted. The nearest there is to ours.

use std::rc::Rc;

use capnp::capability::{Promise, Response};
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, new_client, twoparty::VatNetwork};
use futures_util::AsyncReadExt as _;
use futures_util::io::{BufReader, BufWriter};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use crate::echo_capnp::echo;
use crate::sockets::{self, Listener, Socket, Transport};
use crate::work::{Candidate, Job, MEBIBYTE, PAYLOAD, SPREAD, WINDOW, windowed};

struct Echo;

impl echo::Server for Echo {
    async fn echo(
        self: Rc<Self>,
        params: echo::EchoParams,
        mut results: echo::EchoResults,
    ) -> Result<(), capnp::Error> {
        results.get().set_text(params.get()?.get_text()?);
        Ok(())
    }

    async fn put(
        self: Rc<Self>,
        params: echo::PutParams,
        mut results: echo::PutResults,
    ) -> Result<(), capnp::Error> {
        results.get().set_length(params.get()?.get_bytes()?.len() as u64);
        Ok(())
    }

    async fn next(
        self: Rc<Self>,
        _params: echo::NextParams,
        mut results: echo::NextResults,
    ) -> Result<(), capnp::Error> {
        results.get().set_echo(new_client(Self));
        Ok(())
    }

    async fn forget(
        self: Rc<Self>,
        _params: echo::ForgetParams,
        _results: echo::ForgetResults,
    ) -> Result<(), capnp::Error> {
        Ok(())
    }

    async fn give(
        self: Rc<Self>,
        params: echo::GiveParams,
        mut results: echo::GiveResults,
    ) -> Result<(), capnp::Error> {
        let count = params.get()?.get_count();
        let mut echoes = results.get().init_echoes(count);
        for at in 0..count {
            echoes.set(at, new_client::<echo::Client, _>(Self).client.hook);
        }
        Ok(())
    }
}

fn system(
    socket: Socket,
    side: Side,
    bootstrap: Option<capnp::capability::Client>,
) -> RpcSystem<Side> {
    let (reader, writer) = socket.compat().split();
    let (reader, writer) = (BufReader::new(reader), BufWriter::new(writer));
    let network = VatNetwork::new(reader, writer, side, capnp::message::ReaderOptions::default());
    RpcSystem::new(Box::new(network), bootstrap)
}

/// Serves for ever.
pub(crate) async fn serve(listener: Listener) {
    let echo: echo::Client = new_client(Echo);
    loop {
        if let Ok(socket) = listener.accept().await {
            tokio::task::spawn_local(system(socket, Side::Server, Some(echo.client.clone())));
        }
    }
}

pub(crate) struct CapnpRpc {
    transport: Transport,
    address: String,
    echo: echo::Client,
    mebibyte: Vec<u8>,
    held: Vec<echo::Client>,
    sessions: Vec<echo::Client>,
}

type Answer = Promise<Response<echo::echo_results::Owned>, capnp::Error>;

fn call(echo: &echo::Client) -> Answer {
    let mut request = echo.echo_request();
    request.get().set_text(PAYLOAD);
    request.send().promise
}

async fn answered(answer: Answer) {
    let answer = answer.await.expect("an answer");
    let text = answer.get().and_then(|it| it.get_text()).expect("a text");
    assert_eq!(text.len(), PAYLOAD.len());
}

impl CapnpRpc {
    pub(crate) async fn new(transport: Transport, address: &str) -> Self {
        Self {
            transport,
            address: address.to_owned(),
            echo: Self::connect(transport, address).await,
            mebibyte: vec![7; MEBIBYTE],
            held: Vec::new(),
            sessions: Vec::new(),
        }
    }

    async fn connect(transport: Transport, address: &str) -> echo::Client {
        let socket = sockets::dial(transport, address).await.expect("a server");
        let mut system = system(socket, Side::Client, None);
        let echo = system.bootstrap(Side::Server);
        tokio::task::spawn_local(system);
        echo
    }

    async fn hold(&mut self, count: usize) {
        const BATCH: usize = 1000;
        while self.held.len() < count {
            let wanted = BATCH.min(count - self.held.len());
            let mut request = self.echo.give_request();
            request.get().set_count(u32::try_from(wanted).expect("a small number"));
            let answer = request.send().promise.await.expect("an answer");
            let given = answer.get().and_then(|it| it.get_echoes()).expect("a list");
            self.held.extend(given.iter().map(|echo| echo.expect("an object")));
        }
    }
}

impl Candidate for CapnpRpc {
    async fn once(&mut self, job: Job) -> bool {
        match job {
            Job::Call => answered(call(&self.echo)).await,
            Job::Pipeline => {
                let first = self.echo.next_request().send().pipeline.get_echo();
                let second = first.next_request().send().pipeline.get_echo();
                answered(call(&second)).await;
            }
            Job::Payload => {
                let mut request = self.echo.put_request();
                request.get().set_bytes(&self.mebibyte);
                request.send().promise.await.expect("an answer");
            }
            _ => return false,
        }
        true
    }

    async fn many(&mut self, job: Job, count: usize) -> bool {
        match job {
            Job::Window => windowed(count, WINDOW, |_| answered(call(&self.echo))).await,
            Job::Flight => {
                let answers: Vec<Answer> = (0..count).map(|_| call(&self.echo)).collect();
                for answer in answers {
                    answered(answer).await;
                }
            }
            Job::Pass => {
                windowed(count, WINDOW, |_| {
                    let mut request = self.echo.forget_request();
                    request.get().set_echo(new_client(Echo));
                    request.send().promise
                })
                .await;
            }
            Job::Hold => self.hold(count).await,
            Job::Release => {
                self.held = Vec::new();
                answered(call(&self.echo)).await;
            }
            Job::Connect => {
                for _ in 0..count {
                    let echo = Self::connect(self.transport, &self.address).await;
                    answered(call(&echo)).await;
                    self.sessions.push(echo);
                }
            }
            Job::Spread => {
                let nth = |number: usize| &self.sessions[number % self.sessions.len()];
                windowed(count, SPREAD, |number| answered(call(nth(number)))).await;
            }
            _ => return false,
        }
        true
    }
}
