//! tonic: gRPC over HTTP/2. Its messages and its service by hand, as tonic-build would
//! write them, so that no protoc is needed.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::sockets::{self, Listener, Socket, Transport};
use crate::work::{Candidate, Job, MEBIBYTE, PAYLOAD, WINDOW, windowed};

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Blob {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Length {
    #[prost(uint64, tag = "1")]
    length: u64,
}

const ECHO: &str = "/bench.Echo/Echo";
const PUT: &str = "/bench.Echo/Put";
/// Of HTTP/2's flow control, so that a mebibyte fits.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// More than are ever in flight.
const STREAMS: u32 = 100_000;

// The side that is called.

#[derive(Clone)]
struct EchoServer;

impl NamedService for EchoServer {
    const NAME: &'static str = "bench.Echo";
}

struct EchoMethod;

impl UnaryService<Text> for EchoMethod {
    type Response = Text;
    type Future = std::future::Ready<Result<Response<Text>, Status>>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        std::future::ready(Ok(Response::new(request.into_inner())))
    }
}

struct PutMethod;

impl UnaryService<Blob> for PutMethod {
    type Response = Length;
    type Future = std::future::Ready<Result<Response<Length>, Status>>;

    fn call(&mut self, request: Request<Blob>) -> Self::Future {
        let length = request.into_inner().bytes.len() as u64;
        std::future::ready(Ok(Response::new(Length { length })))
    }
}

impl tower::Service<http::Request<Body>> for EchoServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                ECHO => {
                    let codec = ProstCodec::<Text, Text>::default();
                    tonic::server::Grpc::new(codec).unary(EchoMethod, request).await
                }
                PUT => {
                    let codec = ProstCodec::<Length, Blob>::default();
                    tonic::server::Grpc::new(codec).unary(PutMethod, request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// What tonic wants to know of a connection: nothing here.
struct Accepted(Socket);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Serves for ever.
pub(crate) async fn serve(listener: Listener) {
    let incoming = stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(Accepted);
        Some((accepted, listener))
    });
    let server = Server::builder()
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_service(EchoServer);
    server.serve_with_incoming(incoming).await.expect("a listener");
}

// The side that calls.

pub(crate) struct Tonic {
    client: Grpc<Channel>,
    mebibyte: Bytes,
}

impl Tonic {
    pub(crate) async fn new(transport: Transport, address: &str) -> Self {
        let address = address.to_owned();
        let dial = tower::service_fn(move |_: Uri| {
            let address = address.clone();
            async move { sockets::dial(transport, &address).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://localhost")
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let channel = endpoint.connect_with_connector(dial).await.expect("a server");
        // A message of a mebibyte is below the four that are the default.
        Self { client: Grpc::new(channel), mebibyte: Bytes::from(vec![7; MEBIBYTE]) }
    }
}

async fn call(mut client: Grpc<Channel>) {
    client.ready().await.expect("a server");
    let request = Request::new(Text { text: PAYLOAD.to_owned() });
    let codec = ProstCodec::<Text, Text>::default();
    let answer = client.unary(request, PathAndQuery::from_static(ECHO), codec).await;
    assert_eq!(answer.expect("an answer").into_inner().text.len(), PAYLOAD.len());
}

impl Candidate for Tonic {
    async fn once(&mut self, job: Job) -> bool {
        match job {
            Job::Call => call(self.client.clone()).await,
            // One after the other, as it has to be.
            Job::Pipeline => {
                for _ in 0..3 {
                    call(self.client.clone()).await;
                }
            }
            Job::Payload => {
                self.client.ready().await.expect("a server");
                let request = Request::new(Blob { bytes: self.mebibyte.clone() });
                let codec = ProstCodec::<Blob, Length>::default();
                let answer =
                    self.client.unary(request, PathAndQuery::from_static(PUT), codec).await;
                answer.expect("an answer");
            }
            _ => return false,
        }
        true
    }

    async fn many(&mut self, job: Job, count: usize) -> bool {
        match job {
            Job::Window => windowed(count, WINDOW, |_| call(self.client.clone())).await,
            Job::Flight => {
                join_all((0..count).map(|_| call(self.client.clone()))).await;
            }
            _ => return false,
        }
        true
    }
}
