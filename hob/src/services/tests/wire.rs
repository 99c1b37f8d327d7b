//! The way to another machine, made up: as `Lasting` is, but for tests to cut and to slow
//! down.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ocapn::actors::timeout;
use ocapn::{
    Answer, Args, Behaviour, ErrorValue, Fault, Here, Promise, Ref, Reply, Resolver, Turn, Value,
};
use vat_runtime::SimClock;

/// How long a message waits for a machine that is cut.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct State {
    cut: bool,
    /// How long each message takes.
    delay: Duration,
    /// Answers that are on their way.
    open: Vec<Arc<Mutex<Option<Resolver>>>>,
    /// What waits for the machine to be back.
    waiting: Vec<Resolver>,
    sent: u64,
}

/// Passes on what it is told.
#[derive(Clone)]
pub(super) struct Wire {
    to: Ref,
    clock: Arc<SimClock>,
    state: Arc<Mutex<State>>,
}

impl Wire {
    pub(super) fn new(to: Ref, clock: Arc<SimClock>) -> Self {
        Self { to, clock, state: Arc::default() }
    }

    pub(super) fn slow_down(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    /// How many messages went through.
    pub(super) fn sent(&self) -> u64 {
        self.state.lock().unwrap().sent
    }

    /// Cuts it: what is on its way is lost.
    pub(super) fn cut(&self) {
        let open = {
            let mut state = self.state.lock().unwrap();
            state.cut = true;
            std::mem::take(&mut state.open)
        };
        for answer in open {
            if let Some(resolver) = answer.lock().unwrap().take() {
                resolver.break_with(Fault::from("the session has ended"));
            }
        }
    }

    pub(super) fn heal(&self) {
        let waiting = {
            let mut state = self.state.lock().unwrap();
            state.cut = false;
            std::mem::take(&mut state.waiting)
        };
        for resolver in waiting {
            resolver.fulfill(true);
        }
    }

    /// Waits until there is a way.
    fn way(&self) -> Promise {
        let (promise, resolver) = vat_runtime::promise();
        let mut state = self.state.lock().unwrap();
        if state.cut {
            state.waiting.push(resolver);
        } else {
            resolver.fulfill(true);
        }
        promise
    }

    async fn pass(self, here: Here, args: Args) -> Result<Value, Fault> {
        let clock = self.clock.clone();
        let (way, late) = {
            let way = self.way();
            (way, here.turn(move |turn| Ok(timeout(turn, &clock, PATIENCE))).await?)
        };
        tokio::select! {
            there = way.settling() => drop(there?),
            _ = late.settling() => return Err(away()),
        }
        let delay = self.state.lock().unwrap().delay;
        if !delay.is_zero() {
            let clock = self.clock.clone();
            let later = here.turn(move |turn| Ok(timeout(turn, &clock, delay))).await?;
            later.settling().await?;
        }
        let (answer, resolver) = vat_runtime::promise();
        let resolver = Arc::new(Mutex::new(Some(resolver)));
        {
            let mut state = self.state.lock().unwrap();
            if state.cut {
                return Err("the session has ended".into());
            }
            state.sent += 1;
            state.open.retain(|answer| answer.lock().unwrap().is_some());
            state.open.push(resolver.clone());
        }
        let to = self.to.clone();
        here.turn(move |turn| {
            turn.send(&to, args).when_settled(move |outcome| {
                let Some(resolver) = resolver.lock().unwrap().take() else { return };
                match outcome {
                    Ok(value) => resolver.fulfill(value),
                    Err(fault) => resolver.break_with(fault),
                }
            });
            Ok(())
        })
        .await?;
        answer.settling().await
    }
}

fn away() -> Fault {
    Value::Error(Box::new(ErrorValue {
        message: "nobody is there".into(),
        fields: vec![Value::symbol("unreachable"), Value::symbol("away")],
        label: None,
    }))
    .into()
}

impl Behaviour for Wire {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let this = self.clone();
        let answer: Answer<Value> = turn.spawn_async(move |here| this.pass(here, args));
        Ok(Reply::value(answer.into_promise()))
    }
}
