//! A connection between two peers: the sink that each has of the other, and the task that
//! moves bytes between a socket and the sinks. The protocol is in the parent module.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use ocapn::{Args, Behaviour, Fault, Promise, Ref, Reply, Resolver, Turn, Value, Vat};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};

use crate::kinds::{Call, unknown};

/// How long the other side's answer to our `end` may take after it has let go of us.
const GRACE: Duration = Duration::from_secs(5);

/// A buffer with less room than this is left for another.
const LEAST_ROOM: usize = 16 << 10;

/// What one connection may cost. Each has a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamLimits {
    /// How many bytes we send ahead of their answers. Default 256 KiB.
    pub(crate) window: usize,
    /// How many bytes we send ahead while `connect` is unanswered. Default 16 KiB.
    pub(crate) early: usize,
    /// How many writes we send ahead of their answers. Default 256.
    pub(crate) writes: usize,
    /// How many bytes we put into one write. Default 64 KiB.
    pub(crate) chunk: usize,
    /// How many bytes the other side may send ahead before the connection is aborted.
    /// Default 1 MiB: four times what the protocol allows.
    pub(crate) take: usize,
    /// How many writes the other side may send ahead. Default 1,024.
    pub(crate) take_writes: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            window: 256 << 10,
            early: 16 << 10,
            writes: 256,
            chunk: 64 << 10,
            take: 1 << 20,
            take_writes: 1024,
        }
    }
}

/// Why a connection broke.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Broken {
    /// Our socket failed.
    #[error("the socket failed: {0}")]
    Socket(std::io::ErrorKind),
    /// The other side said so.
    #[error("the other side broke it off: {0}")]
    Aborted(String),
    /// The other side has let go of our sink, or the session with it has ended.
    #[error("the other side is gone")]
    Gone,
    /// A write or an `end` was not accepted.
    #[error("{0}")]
    Refused(String),
    /// The other side does not wait for answers.
    #[error("more was sent than may wait to be written")]
    Overrun,
    /// It was broken off here.
    #[error("{0}")]
    Cut(String),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Socket(error.kind())
    }
}

/// What has come by a sink.
enum Arrival {
    Write(Bytes, Resolver),
    End(Resolver),
}

/// What a sink's actor and its connection's task both know.
#[derive(Default)]
struct Load {
    bytes: AtomicUsize,
    writes: AtomicUsize,
    ended: AtomicBool,
}

/// Takes what the other side sends. When nobody refers to it any more, the connection is
/// over: its task sees that there is nobody left to say why it broke.
struct Sink {
    to: mpsc::UnboundedSender<Arrival>,
    broken: watch::Sender<Option<Broken>>,
    load: Arc<Load>,
    limits: StreamLimits,
}

const SINK: &str = "write bytes, end, abort [reason]";

impl Sink {
    fn put(&self, arrival: Arrival) -> Result<(), Fault> {
        self.to.send(arrival).map_err(|_| "the connection is over".into())
    }

    /// At once, and not after what waits to be written: that may wait for ever.
    fn break_off(&self, broken: Broken) {
        self.broken.send_replace(Some(broken));
    }

    fn write(&self, turn: &mut Turn<'_>, bytes: Bytes) -> Result<Reply, Fault> {
        if self.load.ended.load(Ordering::Relaxed) {
            return Err("sink write: the end has been sent already".into());
        }
        let waiting = self.load.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        let writes = self.load.writes.fetch_add(1, Ordering::Relaxed);
        if waiting.saturating_add(bytes.len()) > self.limits.take
            || writes >= self.limits.take_writes
        {
            self.break_off(Broken::Overrun);
            return Err(Broken::Overrun.to_string().into());
        }
        let (accepted, resolver) = turn.promise();
        self.put(Arrival::Write(bytes, resolver))?;
        Ok(accepted.into())
    }
}

impl Behaviour for Sink {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("sink", args)?;
        match method.as_str() {
            "write" => {
                let bytes: Value = call.required("bytes")?;
                let Value::Bytes(bytes) = bytes else {
                    return Err(call.fault("bytes are bytes, and nothing else"));
                };
                call.end()?;
                self.write(turn, bytes)
            }
            "end" => {
                call.end()?;
                if self.load.ended.swap(true, Ordering::Relaxed) {
                    return Err("sink end: the end has been sent already".into());
                }
                let (done, resolver) = turn.promise();
                self.put(Arrival::End(resolver))?;
                Ok(done.into())
            }
            "abort" => {
                let reason: Option<String> = call.optional("reason")?;
                call.end()?;
                let reason = reason.unwrap_or_else(|| "no reason was given".to_owned());
                self.break_off(Broken::Aborted(reason));
                Ok(Value::Undefined.into())
            }
            _ => Err(unknown("sink", &method, SINK)),
        }
    }
}

/// What the other side sends, for the connection's task.
pub(super) struct Inflow {
    from: mpsc::UnboundedReceiver<Arrival>,
    broken: watch::Receiver<Option<Broken>>,
    load: Arc<Load>,
}

/// A sink for the other side, and what comes by it.
pub(super) fn sink(vat: &Vat, limits: StreamLimits) -> (Ref, Inflow) {
    let (to, from) = mpsc::unbounded_channel();
    let (breaks, broken) = watch::channel(None);
    let load = Arc::<Load>::default();
    let sink = vat.spawn(Sink { to, broken: breaks, load: load.clone(), limits });
    (sink, Inflow { from, broken, load })
}

impl Inflow {
    /// Tells whoever waits that nothing more is accepted.
    fn refuse(&mut self, why: &str) {
        self.from.close();
        while let Ok(arrival) = self.from.try_recv() {
            let (Arrival::Write(_, waits) | Arrival::End(waits)) = arrival;
            waits.break_with(why);
        }
    }
}

/// Writes what comes until its end.
async fn pour(
    from: &mut mpsc::UnboundedReceiver<Arrival>,
    load: &Load,
    socket: &mut (impl AsyncWrite + Unpin),
    count: &AtomicU64,
) -> Result<(), Broken> {
    while let Some(arrival) = from.recv().await {
        match arrival {
            Arrival::Write(bytes, accepted) => {
                let written = socket.write_all(&bytes).await;
                load.bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
                load.writes.fetch_sub(1, Ordering::Relaxed);
                if let Err(error) = written {
                    let broken = Broken::from(error);
                    accepted.break_with(broken.to_string());
                    return Err(broken);
                }
                count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                accepted.fulfill(());
            }
            Arrival::End(done) => {
                // A socket that the program has closed altogether has been told enough.
                let _told = socket.shutdown().await;
                done.fulfill(());
                return Ok(());
            }
        }
    }
    // The sink is gone; what that means is for `flow` to say.
    std::future::pending().await
}

/// Waits until the other side breaks off or lets go.
async fn broken_off(broken: &mut watch::Receiver<Option<Broken>>) -> Broken {
    let said = broken.wait_for(Option::is_some).await;
    said.ok().and_then(|said| said.clone()).unwrap_or(Broken::Gone)
}

/// How much went each way.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

/// Moves bytes between a socket and the sinks until both directions have ended, or the
/// connection breaks, or `cut` says that it is to. `far` is the other side's sink, or a
/// promise of it.
pub(super) async fn run(
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut inflow: Inflow,
    far: Ref,
    limits: StreamLimits,
    counts: &Counts,
    cut: impl Future<Output = Broken>,
) -> Result<(), Broken> {
    let outcome = {
        let (mut reader, mut writer) = tokio::io::split(socket);
        let flow = flow(&mut reader, &mut writer, &mut inflow, &far, limits, counts);
        tokio::select! {
            biased;
            why = cut => Err(why),
            outcome = flow => outcome,
        }
    };
    if let Err(broken) = &outcome {
        let why = broken.to_string();
        inflow.refuse(&why);
        if !matches!(broken, Broken::Gone | Broken::Aborted(_)) {
            far.send_only(vec![Value::symbol("abort"), why.into()]);
        }
    }
    outcome
}

async fn flow(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    inflow: &mut Inflow,
    far: &Ref,
    limits: StreamLimits,
    counts: &Counts,
) -> Result<(), Broken> {
    let Inflow { from, broken, load } = inflow;
    let both = async {
        let out = drain(reader, far, limits, &counts.sent);
        let into = pour(from, load, writer, &counts.received);
        tokio::try_join!(out, into).map(drop)
    };
    let mut both = pin!(both);
    let broken = tokio::select! {
        biased;
        outcome = &mut both => return outcome,
        broken = broken_off(broken) => broken,
    };
    // The other side lets go once it has ended and has answered our end, and that answer
    // may be seen after the letting go.
    if broken == Broken::Gone && load.ended.load(Ordering::Relaxed) {
        return tokio::time::timeout(GRACE, both).await.unwrap_or(Err(broken));
    }
    Err(broken)
}

/// Sends what is read until its end, no further ahead of the answers than the window.
async fn drain(
    reader: &mut (impl AsyncRead + Unpin),
    far: &Ref,
    limits: StreamLimits,
    count: &AtomicU64,
) -> Result<(), Broken> {
    let mut buffer = BytesMut::new();
    let mut unanswered = Unanswered::default();
    loop {
        let window = if far.is_promise() { limits.early } else { limits.window };
        let room = window.saturating_sub(unanswered.bytes).min(limits.chunk);
        let may_read = room > 0 && unanswered.writes.len() < limits.writes;
        if may_read && buffer.capacity() < room.min(LEAST_ROOM) {
            buffer.reserve(limits.chunk);
        }
        let mut space = (&mut buffer).limit(room);
        tokio::select! {
            biased;
            answer = unanswered.next(), if !unanswered.writes.is_empty() => answer?,
            read = reader.read_buf(&mut space), if may_read => match read? {
                0 => break,
                read => {
                    let bytes = buffer.split().freeze();
                    count.fetch_add(read as u64, Ordering::Relaxed);
                    let answer = far.send(vec![Value::symbol("write"), Value::Bytes(bytes)]);
                    unanswered.push(read, answer);
                }
            },
        }
    }
    while !unanswered.writes.is_empty() {
        unanswered.next().await?;
    }
    let ended = far.send(vec![Value::symbol("end")]).await;
    ended.map(drop).map_err(|fault| Broken::Refused(fault.to_string()))
}

/// The writes that have not been answered, in their order.
#[derive(Default)]
struct Unanswered {
    writes: VecDeque<(usize, <Promise as IntoFuture>::IntoFuture)>,
    bytes: usize,
}

impl Unanswered {
    fn push(&mut self, bytes: usize, answer: Promise) {
        self.bytes += bytes;
        self.writes.push_back((bytes, answer.into_future()));
    }

    /// Waits for the oldest write's answer. Losing interest loses nothing.
    async fn next(&mut self) -> Result<(), Broken> {
        let Some((_, answer)) = self.writes.front_mut() else { return Ok(()) };
        let outcome = Pin::new(answer).await;
        if let Some((bytes, _)) = self.writes.pop_front() {
            self.bytes -= bytes;
        }
        outcome.map(drop).map_err(|fault| Broken::Refused(fault.to_string()))
    }
}
