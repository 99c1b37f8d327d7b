//! A peer that says exactly what its script says, over any netlayer, and notes what
//! it hears. It knows the wire by itself, not by way of `captp`, and keeps no rule
//! that the script does not keep.

mod greeting;
mod term;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::BytesMut;
use ocapn::PeerLocator;
use ocapn::netlayers::{ByteStream, Channel, ConnectError, Netlayer};
use syrup::{Options, Scanner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub use greeting::{Greeting, PeerGreeting};
pub use term::Term;

/// Why a script came to a halt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Halt {
    /// The peer can't be reached.
    #[error("could not connect: {0}")]
    Connect(#[from] ConnectError),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// The peer closed the connection.
    #[error("the peer closed the connection without a word")]
    Closed,
    /// The peer sent `op:abort`.
    #[error("the peer aborted: {0}")]
    Aborted(String),
    /// Nothing came in time.
    #[error("waited {0:?} for {1}")]
    Silence(Duration, &'static str),
    /// The peer said something else than it should.
    #[error("{0}")]
    Unexpected(String),
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Something that the peer exports; 0 is its bootstrap object.
    Export(u64),
    /// The answer to a question of ours.
    Answer(u64),
}

impl From<Target> for Term {
    fn from(target: Target) -> Self {
        match target {
            Target::Export(pos) => Self::descriptor("desc:export", pos),
            Target::Answer(pos) => Self::descriptor("desc:answer", pos),
        }
    }
}

/// A question that has been asked.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Where the answer can be sent messages.
    pub answer: Target,
    /// Our position that is told of the answer.
    pub resolver: u64,
}

/// A message that the peer sent.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What it says.
    pub args: Vec<Term>,
    /// Where its sender expects the answer, if it does.
    pub answer: Option<u64>,
    /// The peer's resolver, if it gave one.
    pub resolver: Option<Target>,
}

/// A settlement: a value, or a reason.
pub type Settled = Result<Term, Term>;

/// A peer under the control of a script.
pub struct Scripted {
    io: Box<dyn ByteStream>,
    scanner: Scanner,
    input: BytesMut,
    /// What was heard and not yet asked for.
    heard: VecDeque<Term>,
    claim: PeerLocator,
    patience: Duration,
    next_export: u64,
    next_answer: u64,
    /// How often the peer has let go of each of our exports.
    pub released: BTreeMap<u64, u64>,
    /// Which of our answers the peer has let go of.
    pub released_answers: BTreeSet<u64>,
}

impl Scripted {
    /// A peer at one end of a channel, which claims to be at `claim` and waits no
    /// longer than `patience` for anything. It has said nothing yet.
    #[must_use]
    pub fn over(channel: Channel, claim: PeerLocator, patience: Duration) -> Self {
        Self {
            io: channel.io,
            scanner: Scanner::new(&Options::default()),
            input: BytesMut::new(),
            heard: VecDeque::new(),
            claim,
            patience,
            next_export: 1,
            next_answer: 0,
            released: BTreeMap::new(),
            released_answers: BTreeSet::new(),
        }
    }

    /// Dials a peer by a netlayer, under whose name it will greet.
    ///
    /// # Errors
    ///
    /// If the peer can't be reached.
    pub async fn dial(
        netlayer: &dyn Netlayer,
        to: &PeerLocator,
        patience: Duration,
    ) -> Result<Self, Halt> {
        let channel = netlayer.connect(to).await?;
        Ok(Self::over(channel, netlayer.location(), patience))
    }

    /// Waits for a peer that dials a netlayer.
    ///
    /// # Errors
    ///
    /// If none does in time.
    pub async fn accept(netlayer: &dyn Netlayer, patience: Duration) -> Result<Self, Halt> {
        match tokio::time::timeout(patience, netlayer.accept()).await {
            Ok(Ok(channel)) => Ok(Self::over(channel, netlayer.location(), patience)),
            Ok(Err(error)) => Err(Halt::Unexpected(error.to_string())),
            Err(_) => Err(Halt::Silence(patience, "the peer to connect")),
        }
    }

    // Speaking.

    /// Sends bytes, whatever they are.
    ///
    /// # Errors
    ///
    /// If the connection failed, or the peer takes nothing.
    pub async fn say_bytes(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        let said = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        match tokio::time::timeout(self.patience, said).await {
            Ok(said) => Ok(said?),
            Err(_) => Err(Halt::Silence(self.patience, "the peer to take what is sent")),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// As [`Scripted::say_bytes`].
    pub async fn say(&mut self, message: &Term) -> Result<(), Halt> {
        self.say_bytes(&message.encode()).await
    }

    /// Closes our half of the connection.
    ///
    /// # Errors
    ///
    /// If the connection failed.
    pub async fn hang_up(&mut self) -> Result<(), Halt> {
        Ok(self.io.shutdown().await?)
    }

    /// A greeting that claims what this peer claims, under a fresh key.
    #[must_use]
    pub fn greeting(&self) -> Greeting {
        Greeting::new(&self.claim)
    }

    /// Greets, and hears the peer's greeting.
    ///
    /// # Errors
    ///
    /// If the peer's is missing, malformed or not signed by its key.
    pub async fn greet(&mut self) -> Result<PeerGreeting, Halt> {
        let greeting = self.greeting().term();
        self.say(&greeting).await?;
        self.greeted().await
    }

    /// Hears the peer's greeting.
    ///
    /// # Errors
    ///
    /// If it is missing, malformed or not signed by its key.
    pub async fn greeted(&mut self) -> Result<PeerGreeting, Halt> {
        let message = self.hear("op:start-session").await?;
        PeerGreeting::read(&message).map_err(|why| Halt::Unexpected(format!("{why}: {message}")))
    }

    /// A position that nothing of ours has been exported under.
    pub const fn export(&mut self) -> u64 {
        let pos = self.next_export;
        self.next_export += 1;
        pos
    }

    /// Sends a message that wants no answer.
    ///
    /// # Errors
    ///
    /// As [`Scripted::say_bytes`].
    pub async fn tell(&mut self, to: Target, args: impl Into<Vec<Term>>) -> Result<(), Halt> {
        let no = || Term::Bool(false);
        self.say(&Term::record("op:deliver", [to.into(), Term::list(args), no(), no()])).await
    }

    /// Asks a question, without waiting for the answer.
    ///
    /// # Errors
    ///
    /// As [`Scripted::say_bytes`].
    pub async fn ask(&mut self, to: Target, args: impl Into<Vec<Term>>) -> Result<Question, Halt> {
        let (answer, resolver) = (self.next_answer, self.export());
        self.next_answer += 1;
        let resolve_me = Term::descriptor("desc:import-object", resolver);
        let fields = [to.into(), Term::list(args), Term::int(answer), resolve_me];
        self.say(&Term::record("op:deliver", fields)).await?;
        Ok(Question { answer: Target::Answer(answer), resolver })
    }

    /// Asks a question whose answer nobody is to be told, and gives where it is.
    ///
    /// # Errors
    ///
    /// As [`Scripted::say_bytes`].
    pub async fn ask_quietly(
        &mut self,
        to: Target,
        args: impl Into<Vec<Term>>,
    ) -> Result<Target, Halt> {
        let answer = self.next_answer;
        self.next_answer += 1;
        let fields = [to.into(), Term::list(args), Term::int(answer), Term::Bool(false)];
        self.say(&Term::record("op:deliver", fields)).await?;
        Ok(Target::Answer(answer))
    }

    /// Asks to be told when something of the peer's settles. Gives the position that
    /// will be told.
    ///
    /// # Errors
    ///
    /// As [`Scripted::say_bytes`].
    pub async fn listen(&mut self, to: Target) -> Result<u64, Halt> {
        let listener = self.export();
        let listener_term = Term::descriptor("desc:import-object", listener);
        let fields = [to.into(), listener_term, Term::Bool(false)];
        self.say(&Term::record("op:listen", fields)).await?;
        Ok(listener)
    }

    /// Asks a question and waits for how the answer settles.
    ///
    /// # Errors
    ///
    /// If it does not in time.
    pub async fn call(&mut self, to: Target, args: impl Into<Vec<Term>>) -> Result<Settled, Halt> {
        let question = self.ask(to, args).await?;
        self.settlement(question.resolver).await
    }

    /// Asks the bootstrap object for an object, without waiting.
    ///
    /// # Errors
    ///
    /// As [`Scripted::say_bytes`].
    pub async fn ask_for(&mut self, swiss: &[u8]) -> Result<Question, Halt> {
        self.ask(Target::Export(0), [Term::symbol("fetch"), Term::bytes(swiss)]).await
    }

    /// Fetches an object.
    ///
    /// # Errors
    ///
    /// If the peer gives no object.
    pub async fn fetch(&mut self, swiss: &[u8]) -> Result<Target, Halt> {
        let question = self.ask_for(swiss).await?;
        match self.settlement(question.resolver).await? {
            Ok(value) => value
                .pos_of("desc:import-object")
                .map(Target::Export)
                .ok_or_else(|| Halt::Unexpected(format!("fetched {value}"))),
            Err(reason) => Err(Halt::Unexpected(format!("fetch broke: {reason}"))),
        }
    }

    // Hearing.

    /// The next message, whatever it is.
    async fn read(&mut self, wanted: &'static str) -> Result<Term, Halt> {
        loop {
            let scanned = self.scanner.scan(&self.input);
            let scanned = scanned.map_err(|error| Halt::Unexpected(error.to_string()))?;
            if let Some(length) = scanned {
                let message = self.input.split_to(length);
                let term = Term::decode(&message);
                return term.map_err(|error| Halt::Unexpected(error.to_string()));
            }
            let read = self.io.read_buf(&mut self.input);
            match tokio::time::timeout(self.patience, read).await {
                Ok(Ok(0)) => return Err(Halt::Closed),
                Ok(read) => drop(read?),
                Err(_) => return Err(Halt::Silence(self.patience, wanted)),
            }
        }
    }

    /// Reads messages until one is not about garbage. Those are counted.
    async fn note(&mut self, wanted: &'static str) -> Result<Term, Halt> {
        let message = self.read(wanted).await?;
        if let Some([Term::Text(reason)]) = message.fields_of("op:abort") {
            return Err(Halt::Aborted(reason.clone()));
        }
        self.count_released(&message);
        Ok(message)
    }

    fn count_released(&mut self, message: &Term) {
        let one_or_list = |term: &Term| match term {
            Term::List(items) => items.iter().filter_map(Term::as_u64).collect(),
            single => single.as_u64().into_iter().collect::<Vec<_>>(),
        };
        let either =
            |plural, singular| message.fields_of(plural).or_else(|| message.fields_of(singular));
        if let Some([positions, deltas]) = either("op:gc-exports", "op:gc-export") {
            for (pos, delta) in one_or_list(positions).into_iter().zip(one_or_list(deltas)) {
                *self.released.entry(pos).or_default() += delta;
            }
        } else if let Some([positions]) = either("op:gc-answers", "op:gc-answer") {
            self.released_answers.extend(one_or_list(positions));
        }
    }

    /// The next operation of that name; others are kept for later.
    ///
    /// # Errors
    ///
    /// If it does not come in time, or the session ends.
    pub async fn hear(&mut self, op: &'static str) -> Result<Term, Halt> {
        self.hear_that(op, |message| message.fields_of(op).map(|_| message.clone())).await
    }

    /// What the first message that `pick` picks comes to; others are kept for later.
    async fn hear_that<T>(
        &mut self,
        wanted: &'static str,
        pick: impl Fn(&Term) -> Option<T>,
    ) -> Result<T, Halt> {
        let kept = self.heard.iter().position(|message| pick(message).is_some());
        if let Some(message) = kept.and_then(|at| self.heard.remove(at))
            && let Some(picked) = pick(&message)
        {
            return Ok(picked);
        }
        loop {
            let message = self.note(wanted).await?;
            match pick(&message) {
                Some(picked) => return Ok(picked),
                None => self.heard.push_back(message),
            }
        }
    }

    /// The next message to something that we export.
    ///
    /// # Errors
    ///
    /// As [`Scripted::hear`].
    pub async fn message_to(&mut self, pos: u64) -> Result<Delivery, Halt> {
        self.message_to_either(pos, None).await
    }

    /// The next message to something that we export, or to the peer's promise of an
    /// answer of ours.
    ///
    /// # Errors
    ///
    /// As [`Scripted::hear`].
    pub async fn message_to_either(
        &mut self,
        pos: u64,
        answer: Option<u64>,
    ) -> Result<Delivery, Halt> {
        self.hear_that("a message to something of ours", |message| delivery(message, pos, answer))
            .await
    }

    /// How what a resolver of ours stands for settles. Promises on the way are
    /// listened to.
    ///
    /// # Errors
    ///
    /// As [`Scripted::hear`], or if the resolver is told something else.
    pub async fn settlement(&mut self, mut resolver: u64) -> Result<Settled, Halt> {
        loop {
            let said = self.message_to(resolver).await?.args;
            let value = match said.as_slice() {
                [verb, value] if verb.is_symbol("fulfill") => value.clone(),
                [verb, reason] if verb.is_symbol("break") => return Ok(Err(reason.clone())),
                _ => {
                    let said = Term::List(said);
                    return Err(Halt::Unexpected(format!("a resolver was told {said}")));
                }
            };
            match value.pos_of("desc:import-promise") {
                Some(promise) => resolver = self.listen(Target::Export(promise)).await?,
                None => return Ok(Ok(value)),
            }
        }
    }

    /// Waits until the peer has let go of an export `times` in all.
    ///
    /// # Errors
    ///
    /// If it does not, or more often.
    pub async fn until_released(&mut self, pos: u64, times: u64) -> Result<(), Halt> {
        loop {
            match self.released.get(&pos).copied().unwrap_or_default() {
                enough if enough == times => return Ok(()),
                more if more > times => {
                    let why = format!("export {pos} released {more} times, sent {times} times");
                    return Err(Halt::Unexpected(why));
                }
                _ => {}
            }
            let message = self.note("op:gc-exports").await?;
            self.heard.push_back(message);
        }
    }

    /// Waits until the peer has let go of an answer.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub async fn until_answer_released(&mut self, answer: u64) -> Result<(), Halt> {
        while !self.released_answers.contains(&answer) {
            let message = self.note("op:gc-answers").await?;
            self.heard.push_back(message);
        }
        Ok(())
    }

    /// Waits until the peer aborts the session, and gives the reason.
    ///
    /// # Errors
    ///
    /// If it does not, or closes the connection without saying why.
    pub async fn aborted(&mut self) -> Result<String, Halt> {
        loop {
            match self.note("op:abort").await {
                Ok(message) => self.heard.push_back(message),
                Err(Halt::Aborted(reason)) => return Ok(reason),
                Err(halt) => return Err(halt),
            }
        }
    }

    /// Waits until the connection is over, with or without `op:abort`.
    ///
    /// # Errors
    ///
    /// If it goes on.
    pub async fn ended(&mut self) -> Result<(), Halt> {
        loop {
            match self.read("the end of the connection").await {
                Ok(_) => {}
                Err(Halt::Closed | Halt::Io(_)) => return Ok(()),
                Err(halt) => return Err(halt),
            }
        }
    }
}

/// The message, if it is one to that export of ours, or to that answer.
fn delivery(message: &Term, pos: u64, promised: Option<u64>) -> Option<Delivery> {
    let (to, args, question) = match message.fields_of("op:deliver") {
        Some([to, args, question @ ..]) => (to, args, question),
        _ => match message.fields_of("op:deliver-only")? {
            [to, args] => (to, args, [].as_slice()),
            _ => return None,
        },
    };
    let to_answer = promised.is_some() && to.pos_of("desc:answer") == promised;
    if to.pos_of("desc:export") != Some(pos) && !to_answer {
        return None;
    }
    let resolver = question.get(1).and_then(|resolver| {
        resolver.pos_of("desc:import-object").or_else(|| resolver.pos_of("desc:import-promise"))
    });
    Some(Delivery {
        args: args.as_list()?.to_vec(),
        answer: question.first().and_then(Term::as_u64),
        resolver: resolver.map(Target::Export),
    })
}
