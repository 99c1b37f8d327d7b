//! Programs: what the peers of a world do, as data and as text.
//!
//! Every operation means something whatever came before it, since what it names is
//! taken modulo what there is: a script with lines left out is a script.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// How many sturdyrefs each peer serves.
pub const SLOTS: usize = 3;

/// What a netlayer proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Both ends to each other.
    Both,
    /// Only who was dialled.
    Dialled,
    /// Nothing: claims are taken at face value.
    Claims,
}

/// The world that a program runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// How many peers there are.
    pub peers: usize,
    /// What the netlayer proves.
    pub proof: Proof,
    /// [`ocapn::hub::HubSettings::give_promises`].
    pub give_promises: bool,
    /// Vats run as soon as a message comes in, as on a real node; else turn by turn.
    pub inline: bool,
    /// The most that one direction of a connection delays, in microseconds.
    pub delay: u64,
    /// Bytes arrive in pieces.
    pub chunks: bool,
    /// The first and the last peer can't reach each other: what one is given of the
    /// other's goes by way of who gave it.
    pub wall: bool,
    /// Decides delays, pieces and keys.
    pub seed: u64,
}

impl Spec {
    /// Whether two peers can't reach each other, and never will.
    #[must_use]
    pub fn is_walled(&self, one: usize, other: usize) -> bool {
        self.wall && self.peers > 2 && one.min(other) == 0 && one.max(other) == self.peers - 1
    }
}

/// A program and its world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The world.
    pub spec: Spec,
    /// What is done, in order.
    pub lines: Vec<Line>,
}

/// One operation of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Microseconds since the operation before.
    pub after: u64,
    /// Who does it.
    pub peer: usize,
    /// What.
    pub op: Op,
}

/// What a peer does. Numbers that name variables are taken modulo how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Enliven a sturdyref of another peer's, or of its own.
    Enliven {
        /// Whose it is.
        at: usize,
        /// Which of theirs.
        slot: usize,
    },
    /// Send a message.
    Send(Send),
    /// Make a promise.
    Promise,
    /// Resolve a promise of one's own.
    Resolve {
        /// Which: the oldest, second oldest, ….
        which: usize,
        /// What to.
        with: Arg,
    },
    /// Let go of a reference.
    Drop {
        /// Which.
        var: usize,
    },
    /// Ask to be told when something settles, and send a message along it then.
    Listen {
        /// Which.
        var: usize,
    },
    /// Serve a new object under a sturdyref.
    Mint {
        /// Which of the peer's.
        slot: usize,
    },
    /// Take a sturdyref back.
    Revoke {
        /// Which of the peer's.
        slot: usize,
    },
    /// End a session.
    Close {
        /// Which of the peer's.
        link: usize,
    },
    /// The connection breaks.
    Cut {
        /// Which of all that are open.
        conn: usize,
    },
    /// The peer is gone with all it had, and comes back.
    Crash {
        /// After so many microseconds.
        back: u64,
    },
    /// Dials between two peers fail for a while, and their connections break.
    Part {
        /// The other one.
        other: usize,
        /// For so many microseconds.
        time: u64,
    },
    /// Dials to this peer fail for a while.
    Refuse {
        /// For so many microseconds.
        time: u64,
    },
    /// Wait until nothing moves, then check.
    Settle,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// The variable that it goes to.
    pub to: usize,
    /// What it says.
    pub args: Vec<Arg>,
    /// Whether an answer is wanted.
    pub want: bool,
    /// What the object that gets it answers.
    pub reply: Arg,
    /// What that object sends on in the same turn, to a variable of its peer's.
    pub then: Option<(usize, Arg)>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A variable of the peer's.
    Var(usize),
    /// A new object.
    New,
    /// A new promise.
    Promise,
    /// A number.
    Int(i64),
    /// Several values.
    List(Vec<Arg>),
    /// The object itself (in replies).
    Me,
    /// A reference that came with the message (in replies).
    Nth(usize),
    /// No value: the promise breaks.
    Break,
}

impl Op {
    /// Whether it makes the world one in which messages may be lost.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Close { .. }
                | Self::Cut { .. }
                | Self::Crash { .. }
                | Self::Part { .. }
                | Self::Refuse { .. }
        )
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spec { peers, proof, give_promises, inline, delay, chunks, wall, seed } = &self.spec;
        writeln!(
            f,
            "world peers={peers} proof={proof:?} give-promises={give_promises} \
             inline={inline} delay={delay} chunks={chunks} wall={wall} seed={seed}"
        )?;
        for Line { after, peer, op } in &self.lines {
            write!(f, "+{after} p{peer} ")?;
            match op {
                Op::Enliven { at, slot } => write!(f, "enliven p{at} {slot}")?,
                Op::Send(send) => write!(f, "{send}")?,
                Op::Promise => write!(f, "promise")?,
                Op::Resolve { which, with } => write!(f, "resolve {which} {with}")?,
                Op::Drop { var } => write!(f, "drop v{var}")?,
                Op::Listen { var } => write!(f, "listen v{var}")?,
                Op::Mint { slot } => write!(f, "mint {slot}")?,
                Op::Revoke { slot } => write!(f, "revoke {slot}")?,
                Op::Close { link } => write!(f, "close {link}")?,
                Op::Cut { conn } => write!(f, "cut {conn}")?,
                Op::Crash { back } => write!(f, "crash {back}")?,
                Op::Part { other, time } => write!(f, "part p{other} {time}")?,
                Op::Refuse { time } => write!(f, "refuse {time}")?,
                Op::Settle => write!(f, "settle")?,
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

impl fmt::Display for Send {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.want { "send" } else { "tell" };
        write!(f, "{verb} v{} {} -> {}", self.to, Arg::List(self.args.clone()), self.reply)?;
        match &self.then {
            Some((to, arg)) => write!(f, " then v{to} {arg}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Var(var) => write!(f, "v{var}"),
            Self::New => f.write_str("new"),
            Self::Promise => f.write_str("promise"),
            Self::Int(int) => write!(f, "{int}"),
            Self::Me => f.write_str("me"),
            Self::Nth(nth) => write!(f, "n{nth}"),
            Self::Break => f.write_str("break"),
            Self::List(args) => {
                f.write_str("[ ")?;
                for arg in args {
                    write!(f, "{arg} ")?;
                }
                f.write_str("]")
            }
        }
    }
}

struct Words<'a>(std::iter::Peekable<std::str::SplitWhitespace<'a>>);

impl<'a> Words<'a> {
    fn word(&mut self) -> Result<&'a str, String> {
        self.0.next().ok_or_else(|| "the line ends too early".into())
    }

    fn number<T: FromStr>(&mut self, prefix: &str) -> Result<T, String> {
        let word = self.word()?;
        let digits = word.strip_prefix(prefix).ok_or(format!("{prefix}… expected: {word}"))?;
        digits.parse().map_err(|_| format!("not a number: {word}"))
    }

    fn arg(&mut self) -> Result<Arg, String> {
        Ok(match self.word()? {
            "new" => Arg::New,
            "promise" => Arg::Promise,
            "me" => Arg::Me,
            "break" => Arg::Break,
            "[" => {
                let mut args = Vec::new();
                while self.0.peek().is_some_and(|word| *word != "]") {
                    args.push(self.arg()?);
                }
                self.word()?;
                Arg::List(args)
            }
            word => {
                let bad = |_| format!("not a value: {word}");
                match word.as_bytes().first() {
                    Some(b'v') => Arg::Var(word[1..].parse().map_err(bad)?),
                    Some(b'n') => Arg::Nth(word[1..].parse().map_err(bad)?),
                    _ => Arg::Int(word.parse().map_err(bad)?),
                }
            }
        })
    }

    fn send(&mut self, want: bool) -> Result<Send, String> {
        let to = self.number("v")?;
        let Arg::List(args) = self.arg()? else { return Err("arguments are a list".into()) };
        if self.word()? != "->" {
            return Err("-> expected".into());
        }
        let reply = self.arg()?;
        let then = match self.0.next() {
            Some("then") => Some((self.number("v")?, self.arg()?)),
            _ => None,
        };
        Ok(Send { to, args, want, reply, then })
    }

    fn op(&mut self) -> Result<Op, String> {
        Ok(match self.word()? {
            "enliven" => Op::Enliven { at: self.number("p")?, slot: self.number("")? },
            "send" => Op::Send(self.send(true)?),
            "tell" => Op::Send(self.send(false)?),
            "promise" => Op::Promise,
            "resolve" => Op::Resolve { which: self.number("")?, with: self.arg()? },
            "drop" => Op::Drop { var: self.number("v")? },
            "listen" => Op::Listen { var: self.number("v")? },
            "mint" => Op::Mint { slot: self.number("")? },
            "revoke" => Op::Revoke { slot: self.number("")? },
            "close" => Op::Close { link: self.number("")? },
            "cut" => Op::Cut { conn: self.number("")? },
            "crash" => Op::Crash { back: self.number("")? },
            "part" => Op::Part { other: self.number("p")?, time: self.number("")? },
            "refuse" => Op::Refuse { time: self.number("")? },
            "settle" => Op::Settle,
            other => return Err(format!("no such operation: {other}")),
        })
    }
}

fn spec(line: &str) -> Result<Spec, String> {
    let field = |name: &str| {
        let mut words = line.split_whitespace();
        words
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .ok_or(format!("{name} is missing"))
    };
    fn parse<T: FromStr>(text: &str) -> Result<T, String> {
        text.parse().map_err(|_| format!("cannot be read: {text}"))
    }
    Ok(Spec {
        peers: parse::<usize>(field("peers")?)?.clamp(1, 16),
        proof: match field("proof")? {
            "Both" => Proof::Both,
            "Dialled" => Proof::Dialled,
            "Claims" => Proof::Claims,
            other => return Err(format!("no such proof: {other}")),
        },
        give_promises: parse(field("give-promises")?)?,
        inline: parse(field("inline")?)?,
        delay: parse(field("delay")?)?,
        chunks: parse(field("chunks")?)?,
        wall: field("wall").map_or(Ok(false), parse)?,
        seed: parse(field("seed")?)?,
    })
}

impl FromStr for Script {
    type Err = String;

    /// Reads what `Display` writes. Lines that begin with `#` are for people.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#'));
        let spec = spec(lines.next().ok_or("an empty script")?)?;
        let lines = lines
            .map(|line| {
                let mut words = Words(line.split_whitespace().peekable());
                let (after, peer) = (words.number("+")?, words.number("p")?);
                Ok(Line { after, peer, op: words.op()? })
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { spec, lines })
    }
}
