//! What a candidate is asked to do, and how it is measured doing it. One text for ours,
//! for the floor and for the peers, whose program includes this file.
//!
//! A candidate is two processes. The one that calls obeys lines on its standard input, a
//! [`Job`] and a count, and answers each with a line: a [`Sample`], or `-` if it can't.

use std::future::IntoFuture;
use std::io::Write as _;
use std::str::FromStr;
use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Calls under way at a time in [`Job::Window`], and in others that have no number of
/// their own.
pub(crate) const WINDOW: usize = 64;
/// Calls under way at a time in [`Job::Spread`] and [`Job::InTurn`], over however many
/// sessions.
pub(crate) const SPREAD: usize = 1000;
/// What a call carries there and back.
pub(crate) const PAYLOAD: &str = "sixty bytes of text to go there and to come back again, so..";
/// What [`Job::Payload`] carries there.
pub(crate) const MEBIBYTE: usize = 1 << 20;

macro_rules! jobs {
    ($($(#[$text:meta])* $job:ident $name:literal,)*) => {
        /// Something to do a number of times.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Job { $($(#[$text])* $job,)* }

        impl Job {
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$job => $name,)* }
            }
        }

        impl FromStr for Job {
            type Err = ();

            fn from_str(name: &str) -> Result<Self, ()> {
                match name { $($name => Ok(Self::$job),)* _ => Err(()) }
            }
        }
    };
}

jobs! {
    /// A call and its answer, then the next.
    Call "call",
    /// Three dependent calls, of which the answer to the last is waited for; pipelined
    /// where the candidate can.
    Pipeline "pipeline",
    /// A mebibyte there, something short back.
    Payload "payload",
    /// From nothing to a session; ours with the answer to the first call.
    Session "session",
    /// An object by its address, where there is a session.
    Enliven "enliven",
    /// A third party's object to somebody who calls it, and the answer by way of them.
    Handoff "handoff",
    /// Calls, [`WINDOW`] of them at a time.
    Window "window",
    /// Calls, all at once.
    Flight "flight",
    /// Messages that nobody answers, and at the end a call that is answered.
    Forget "forget",
    /// References passed there that are dropped there, [`WINDOW`] at a time.
    Pass "pass",
    /// Has the other side make objects, and keep them.
    Prepare "prepare",
    /// Takes references to different objects of the other side, and keeps them.
    Hold "hold",
    /// Drops them, until the other side knows.
    Release "release",
    /// Calls the first thousand of what is held, here and there, [`WINDOW`] at a time.
    Lookup "lookup",
    /// The same for all that is held.
    LookupAll "lookup-all",
    /// Opens sessions, makes a call on each, and keeps them.
    Connect "connect",
    /// Calls over all sessions that are open, [`SPREAD`] at a time altogether.
    Spread "spread",
    /// The same, but [`WINDOW`] calls in a row on a session before the next has its turn.
    InTurn "in-turn",
    /// [`Job::Enliven`], [`WINDOW`] at a time.
    Enlivens "enlivens",
    /// [`Job::Handoff`], [`WINDOW`] at a time.
    Handoffs "handoffs",
    /// Says how many bytes a call and its answer are on the wire, as the count.
    Size "size",
}

impl Job {
    /// Whether it is done one after the other, with the time of each noted.
    const fn is_timed(self) -> bool {
        matches!(
            self,
            Self::Call
                | Self::Pipeline
                | Self::Payload
                | Self::Session
                | Self::Enliven
                | Self::Handoff
        )
    }

    /// How many are done before the clock starts.
    fn warm_up(self, count: usize) -> usize {
        match self {
            _ if self.is_timed() => (count / 10).max(3),
            Self::Window | Self::Flight | Self::Forget | Self::Pass => count / 10,
            Self::Lookup | Self::LookupAll => count / 10,
            Self::Spread | Self::InTurn => SPREAD,
            _ => 0,
        }
    }
}

/// One who can be asked. Whatever goes wrong is a panic, which ends the measurement.
pub(crate) trait Candidate {
    /// Does what is not to be measured before a job.
    async fn prepare(&mut self, _job: Job, _count: usize) {}

    /// Does a job once, of those that are timed. False if it can't.
    async fn once(&mut self, job: Job) -> bool;

    /// Does a job so many times, of those that are not. False if it can't.
    async fn many(&mut self, _job: Job, _count: usize) -> bool {
        false
    }

    /// How many bytes a call and its answer are on average, if it knows.
    async fn size(&mut self) -> usize {
        0
    }
}

/// What came of a job. Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) count: f64,
    pub(crate) nanoseconds: f64,
    /// Of the jobs that are timed one by one.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Processor time of the process that calls, and of those that are called.
    pub(crate) client: f64,
    pub(crate) server: f64,
}

impl Sample {
    const FIELDS: usize = 6;

    fn line(&self) -> String {
        let Self { count, nanoseconds, p50, p99, client, server } = self;
        format!("{count} {nanoseconds} {p50} {p99} {client} {server}")
    }

    /// Of what the other process has printed.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let figures: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [count, nanoseconds, p50, p99, client, server] =
            <[f64; Self::FIELDS]>::try_from(figures).ok()?;
        Some(Self { count, nanoseconds, p50, p99, client, server })
    }
}

/// Obeys until standard input ends. `servers` are the processes that are called.
pub(crate) async fn obey(mut candidate: impl Candidate, servers: &[u32]) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (job, count) = line.split_once(' ').expect("a job and a count");
        let job: Job = job.parse().expect("a known job");
        let count = count.parse().expect("a count");
        match measure(&mut candidate, job, count, servers).await {
            Some(sample) => say(&sample.line()),
            None => say("-"),
        }
    }
}

/// Prints a line for the process that waits for it.
pub(crate) fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("standard output");
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
async fn measure(
    candidate: &mut impl Candidate,
    job: Job,
    count: usize,
    servers: &[u32],
) -> Option<Sample> {
    if job == Job::Size {
        let count = candidate.size().await as f64;
        return Some(Sample { count, ..Sample::default() });
    }
    let warm_up = job.warm_up(count);
    candidate.prepare(job, warm_up + count).await;
    let mut times = Vec::with_capacity(if job.is_timed() { count } else { 0 });
    for timed in [false, true] {
        let count = if timed { count } else { warm_up };
        let (client, server) = (processor_time(&[std::process::id()]), processor_time(servers));
        let start = Instant::now();
        if !job.is_timed() {
            let done = count == 0 || candidate.many(job, count).await;
            if !done {
                return None;
            }
        } else {
            for _ in 0..count {
                let start = Instant::now();
                if !candidate.once(job).await {
                    return None;
                }
                if timed {
                    times.push(start.elapsed().as_nanos() as f64);
                }
            }
        }
        if timed {
            let nanoseconds = start.elapsed().as_nanos() as f64;
            times.sort_by(f64::total_cmp);
            let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(0.0);
            return Some(Sample {
                count: count as f64,
                nanoseconds,
                p50: at(50),
                p99: at(99),
                client: processor_time(&[std::process::id()]) - client,
                server: processor_time(servers) - server,
            });
        }
    }
    None
}

/// What processes have used of the processor so far, in nanoseconds, system calls
/// included.
fn processor_time(processes: &[u32]) -> f64 {
    let of_thread = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|used| used.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let of_process = |process: &u32| {
        let threads = std::fs::read_dir(format!("/proc/{process}/task"));
        threads.into_iter().flatten().flatten().map(of_thread).sum::<f64>()
    };
    processes.iter().map(of_process).sum()
}

/// Does something so many times, `width` of them at a time.
pub(crate) async fn windowed<F: IntoFuture>(
    count: usize,
    width: usize,
    mut each: impl FnMut(usize) -> F,
) {
    let each = stream::iter(0..count).map(|number| each(number).into_future());
    let each = each.buffer_unordered(width);
    each.for_each(|_| std::future::ready(())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_what_its_line_says() {
        let sample = Sample { count: 7.0, p99: 0.5, server: 1e12, ..Sample::default() };
        assert_eq!(Sample::parse(&sample.line()), Some(sample));
        assert_eq!(Sample::parse("1 2 3"), None);
    }

    #[test]
    fn a_call_carries_sixty_bytes() {
        assert_eq!(PAYLOAD.len(), 60);
    }
}
