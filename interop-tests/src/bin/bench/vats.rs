//! Vats against crates of actors that know no network, and against plain channels: the
//! same counter asked, told and spawned on one thread, in one run.

use std::future::Future;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use futures_util::future::join_all;
use kameo::prelude::{Context, Message, Spawn as _, mailbox};
use ocapn::{Args, Behaviour, Fault, Node, Ref, Reply, Turn, Value, Vat, VatLimits};
use ractor::{Actor as _, ActorProcessingErr, ActorRef as RactorRef, RpcReplyPort};
use tokio::sync::{mpsc, oneshot};

use crate::calls::Scale;
use crate::table::{OURS, Table, Unit};

/// Operations in one repetition of a row.
const OPERATIONS: usize = 20_000;
/// Questions that are under way at a time.
const IN_FLIGHT: usize = 1000;

/// Whose counters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actors {
    Ours,
    Channels,
    Kameo,
    Ractor,
}

impl Actors {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours => OURS,
            Self::Channels => "channels",
            Self::Kameo => "kameo",
            Self::Ractor => "ractor",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Ours, Self::Channels, Self::Kameo, Self::Ractor]
            .into_iter()
            .find(|actors| actors.name() == name)
    }
}

const FLOOR: Actors = Actors::Channels;
const PEERS: [Actors; 2] = [Actors::Kameo, Actors::Ractor];

/// What every candidate can do.
trait Stack {
    type Counter;
    /// A counter at zero.
    fn spawn(&self) -> impl Future<Output = Self::Counter>;
    /// Adds and waits for the sum.
    fn ask(counter: &Self::Counter, by: i64) -> impl Future<Output = i64>;
    /// Adds, and waits for nothing.
    fn tell(counter: &Self::Counter, by: i64);
}

/// What each of them can be asked for, from outside.
const ROWS: [&str; 4] =
    ["actor asked, one at a time", "actor asked, 1,000 in flight", "actor told", "actor spawned"];
const CALL: &str = "$ call inside a vat";
const SEND: &str = "near send with promise";
/// How many actors are a crowd.
const MILLION: usize = 1_000_000;
/// In a process of its own for each.
const CROWD: [(&str, Unit); 3] = [
    ("memory of each of a million actors", Unit::Bytes),
    ("each of a million actors spawned", Unit::Time),
    ("each of a million actors told and asked", Unit::Time),
];

/// Measures every row in which vats have peers.
pub(crate) async fn measure(table: &mut Table, scale: Scale) {
    let inside = [CALL, SEND];
    for _ in 0..table.reps {
        if table.wants_any(ROWS.iter().chain(&inside)) {
            let all = [Actors::Ours, FLOOR].into_iter().chain(PEERS);
            for actors in all {
                let figures = figures(actors).await;
                for (row, figure) in ROWS.iter().zip(figures) {
                    table.add(row, Unit::Time, actors.name(), figure);
                }
                // What theirs have for what ours do within a vat is the same as from
                // outside: to ask.
                if actors != Actors::Ours {
                    let [asked, in_flight, ..] = figures;
                    table.add(CALL, Unit::Time, actors.name(), asked);
                    table.add(SEND, Unit::Time, actors.name(), in_flight);
                }
            }
            table.add(CALL, Unit::Time, OURS, calls_in_a_turn().await);
            table.add(SEND, Unit::Time, OURS, sends_in_a_turn().await);
        }
        if table.wants_any(CROWD.iter().map(|(row, _)| row)) {
            for actors in [Actors::Ours, FLOOR].into_iter().chain(PEERS) {
                for ((row, unit), figure) in
                    CROWD.iter().zip(population_of(actors, scale.of(MILLION)))
                {
                    table.add(row, *unit, actors.name(), figure);
                }
            }
        }
    }
}

async fn figures(actors: Actors) -> [f64; 4] {
    match actors {
        Actors::Ours => rows(&Ours::new()).await,
        Actors::Channels => rows(&Channels).await,
        Actors::Kameo => rows(&Kameo).await,
        Actors::Ractor => rows(&Ractor).await,
    }
}

async fn rows<S: Stack>(stack: &S) -> [f64; 4] {
    let counter = stack.spawn().await;
    let asked = nanoseconds(async {
        for _ in 0..OPERATIONS {
            black_box(S::ask(&counter, 1).await);
        }
    });
    let asked = asked.await;
    let in_flight = nanoseconds(async {
        for _ in 0..OPERATIONS / IN_FLIGHT {
            black_box(join_all((0..IN_FLIGHT).map(|_| S::ask(&counter, 1))).await);
        }
    });
    let in_flight = in_flight.await;
    let told = nanoseconds(async {
        for _ in 1..OPERATIONS {
            S::tell(&counter, 1);
        }
        black_box(S::ask(&counter, 1).await);
    });
    let told = told.await;
    let spawned = nanoseconds(async {
        let mut counters = Vec::new();
        for _ in 0..OPERATIONS {
            counters.push(stack.spawn().await);
        }
        S::ask(&counters[OPERATIONS - 1], 1).await;
    });
    [asked, in_flight, told, spawned.await]
}

/// What one operation of those that `body` makes takes.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
async fn nanoseconds(body: impl Future<Output = ()>) -> f64 {
    let start = Instant::now();
    body.await;
    start.elapsed().as_nanos() as f64 / OPERATIONS as f64
}

/// Calls that change the object and have an argument and an answer.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
async fn calls_in_a_turn() -> f64 {
    let ours = Ours::new();
    let counter = ours.spawn().await;
    let run = ours.vat.run(move |turn| {
        let start = Instant::now();
        for _ in 0..OPERATIONS {
            black_box(turn.call(&counter, vec![1.into()])?);
        }
        Ok(start.elapsed().as_nanos() as f64 / OPERATIONS as f64)
    });
    run.await.expect("the counter adds")
}

/// Sends of which each has a promise and a turn of its own.
async fn sends_in_a_turn() -> f64 {
    let ours = Ours::new();
    let counter = ours.spawn().await;
    nanoseconds(async {
        let run = ours.vat.run(move |turn| {
            for _ in 1..OPERATIONS {
                drop(black_box(turn.send(&counter, vec![1.into()])));
            }
            Ok(turn.send(&counter, vec![1.into()]))
        });
        let last = run.await.expect("sent").await.expect("the counter adds");
        assert_eq!(last.as_int(), i64::try_from(OPERATIONS).ok());
    })
    .await
}

fn population_of(actors: Actors, crowd: usize) -> [f64; 3] {
    let this = std::env::current_exe().expect("our own program");
    let output = Command::new(this).args(["populate", actors.name(), &crowd.to_string()]).output();
    let output = output.expect("our own program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut figures = text.split_whitespace().filter_map(|figure| figure.parse().ok());
    std::array::from_fn(|_| figures.next().expect("three figures"))
}

/// What the other process does: makes so many actors and says what they cost.
pub(crate) async fn populate(actors: Actors, number: usize) {
    match actors {
        Actors::Ours => crowd(&Ours::new(), number).await,
        Actors::Channels => crowd(&Channels, number).await,
        Actors::Kameo => crowd(&Kameo, number).await,
        Actors::Ractor => crowd(&Ractor, number).await,
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
async fn crowd<S: Stack>(stack: &S, number: usize) {
    let mut counters = Vec::with_capacity(number);
    let before = resident();
    let start = Instant::now();
    for _ in 0..number {
        counters.push(stack.spawn().await);
    }
    S::ask(&counters[number - 1], 1).await;
    let spawned = start.elapsed().as_nanos() as f64 / number as f64;
    let bytes = resident().saturating_sub(before) as f64 / number as f64;
    let start = Instant::now();
    for counter in &counters {
        S::tell(counter, 1);
    }
    for counter in &counters {
        S::ask(counter, 1).await;
    }
    let told = start.elapsed().as_nanos() as f64 / number as f64;
    println!("{bytes} {spawned} {told}");
    // Taking a million actors down is not measured.
    std::process::exit(0);
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0usize) * rustix::param::page_size()
}

struct Ours {
    vat: Vat,
    _node: Node,
}

impl Ours {
    fn new() -> Self {
        let node = Node::builder().start();
        // The others have no bound at all.
        let limits = VatLimits::default().queue(10_000_000);
        Self { vat: node.vat_with_limits("counters", limits), _node: node }
    }
}

struct Adder(i64);

impl Behaviour for Adder {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let sum = self.0 + args.first().and_then(Value::as_int).ok_or("how many?")?;
        Ok(Reply::become_with(Self(sum), sum))
    }
}

impl Stack for Ours {
    type Counter = Ref;

    async fn spawn(&self) -> Ref {
        self.vat.spawn(Adder(0))
    }

    async fn ask(counter: &Ref, by: i64) -> i64 {
        let sum = counter.send(vec![by.into()]).await.expect("the counter adds");
        sum.as_int().expect("a sum")
    }

    fn tell(counter: &Ref, by: i64) {
        counter.send_only(vec![by.into()]);
    }
}

/// A task with a channel, and one more for each answer.
struct Channels;

impl Stack for Channels {
    type Counter = mpsc::UnboundedSender<(i64, Option<oneshot::Sender<i64>>)>;

    async fn spawn(&self) -> Self::Counter {
        let (sender, mut inbox) = mpsc::unbounded_channel::<(i64, Option<oneshot::Sender<i64>>)>();
        tokio::spawn(async move {
            let mut sum = 0;
            while let Some((by, answer)) = inbox.recv().await {
                sum += by;
                if let Some(answer) = answer {
                    let _gone = answer.send(sum);
                }
            }
        });
        sender
    }

    async fn ask(counter: &Self::Counter, by: i64) -> i64 {
        let (answer, answered) = oneshot::channel();
        counter.send((by, Some(answer))).expect("the task lives");
        answered.await.expect("an answer")
    }

    fn tell(counter: &Self::Counter, by: i64) {
        counter.send((by, None)).expect("the task lives");
    }
}

struct Kameo;

#[derive(kameo::Actor)]
struct KameoAdder(i64);

impl Message<i64> for KameoAdder {
    type Reply = i64;

    async fn handle(&mut self, by: i64, _context: &mut Context<Self, i64>) -> i64 {
        self.0 += by;
        self.0
    }
}

impl Stack for Kameo {
    type Counter = kameo::prelude::ActorRef<KameoAdder>;

    async fn spawn(&self) -> Self::Counter {
        KameoAdder::spawn_with_mailbox(KameoAdder(0), mailbox::unbounded())
    }

    async fn ask(counter: &Self::Counter, by: i64) -> i64 {
        counter.ask(by).await.expect("the actor lives")
    }

    fn tell(counter: &Self::Counter, by: i64) {
        counter.tell(by).try_send().expect("the mailbox has no limit");
    }
}

struct Ractor;
struct RactorAdder;

enum RactorMessage {
    Tell(i64),
    Ask(i64, RpcReplyPort<i64>),
}

impl ractor::Actor for RactorAdder {
    type Msg = RactorMessage;
    type State = i64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _me: RactorRef<RactorMessage>,
        (): (),
    ) -> Result<i64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _me: RactorRef<RactorMessage>,
        message: RactorMessage,
        sum: &mut i64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RactorMessage::Tell(by) => *sum += by,
            RactorMessage::Ask(by, answer) => {
                *sum += by;
                let _gone = answer.send(*sum);
            }
        }
        Ok(())
    }
}

impl Stack for Ractor {
    type Counter = RactorCounter;

    async fn spawn(&self) -> RactorCounter {
        let (actor, _task) = RactorAdder::spawn(None, RactorAdder, ()).await.expect("it starts");
        RactorCounter(actor)
    }

    async fn ask(counter: &RactorCounter, by: i64) -> i64 {
        let answer = counter.0.call(|answer| RactorMessage::Ask(by, answer), None).await;
        answer.expect("the actor lives").expect("an answer")
    }

    fn tell(counter: &RactorCounter, by: i64) {
        counter.0.cast(RactorMessage::Tell(by)).expect("the actor lives");
    }
}

/// Theirs stay until they are told to stop.
struct RactorCounter(RactorRef<RactorMessage>);

impl Drop for RactorCounter {
    fn drop(&mut self) {
        self.0.stop(None);
    }
}
