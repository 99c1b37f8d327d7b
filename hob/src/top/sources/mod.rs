//! Those that are asked: each is found, asked again and again, and found again when it is
//! gone. Whatever it has goes into one queue.

mod boss;
mod node;
mod shepherd;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use ocapn::netlayers::ConnectError;
use ocapn::{DialError, EnlivenError, FromValue, Promise, Ref, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::model::{Found, Kind};
use super::state::{News, Verb};
use crate::capfile;
use crate::client::{Client, within};
use crate::exit::Broke;

/// What is said to happen is looked at no more often than this.
const RUSH: Duration = Duration::from_millis(100);

/// One that is gone is looked for at least this often.
const RETRY: Duration = Duration::from_secs(5);

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Where a source is, and how it is to be asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Its number.
    pub(super) source: usize,
    pub(super) kind: Kind,
    pub(super) cap: PathBuf,
    /// What it means that there is no such file, if it may be missing.
    pub(super) missing: Option<String>,
    /// How often it is looked at.
    pub(super) interval: Duration,
    /// How long it may take to answer.
    pub(super) patience: Duration,
    /// The clock by which rates are reckoned began then.
    pub(super) epoch: Instant,
    /// By what names those that are asked know this process.
    pub(super) own: Arc<Mutex<BTreeSet<String>>>,
}

/// What the user wants of a source.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Look,
    /// All about a service.
    Details(String),
    /// To do something with a service.
    Do(Verb, String),
}

/// A source that has been found.
pub(super) struct Session {
    asked: Asked,
    client: Client,
    object: Ref,
    news: UnboundedSender<News>,
    /// The number of the last event that is known.
    after: u64,
    /// Where a watcher says that something has happened.
    hints: Option<UnboundedReceiver<()>>,
    /// What is fulfilled when something has happened.
    hint: Option<Promise>,
    /// Whether the source says by itself when something happens.
    hinting: bool,
}

impl Session {
    /// Finds a source.
    pub(super) async fn open(asked: &Asked, news: &UnboundedSender<News>) -> anyhow::Result<Self> {
        let sturdyref = match capfile::read(&asked.cap) {
            Err(error) if error.is_missing() && asked.missing.is_some() => {
                bail!(asked.missing.clone().unwrap_or_default())
            }
            outcome => outcome?,
        };
        let client = Client::start([&sturdyref].into_iter()).await?;
        asked.own.lock().unwrap_or_else(PoisonError::into_inner).extend(client.designators());
        let found = within(asked.patience, client.resolve(&sturdyref)).await;
        match found {
            Ok(object) => Ok(Self {
                asked: asked.clone(),
                client,
                object,
                news: news.clone(),
                after: 0,
                hints: None,
                hint: None,
                hinting: true,
            }),
            Err(error) => {
                end(client).await;
                match &asked.missing {
                    // Left behind by one that was killed.
                    Some(missing) if is_unreachable(&error) => bail!(missing.clone()),
                    _ => Err(error),
                }
            }
        }
    }

    /// What the source answers to a message.
    async fn ask<T: FromValue>(&self, method: &str, args: Vec<Value>) -> anyhow::Result<T> {
        let answer = self.call(&self.object, method, args).await?;
        T::from_value(answer).with_context(|| format!("the answer to {method}"))
    }

    async fn call(&self, object: &Ref, method: &str, args: Vec<Value>) -> anyhow::Result<Value> {
        let message = [Value::Symbol(method.into())].into_iter().chain(args).collect();
        within(self.asked.patience, self.client.call(object, message)).await
    }

    /// Tells the dashboard. If it is gone this ends soon.
    fn tell(&self, news: News) {
        let _gone = self.news.send(news);
    }

    fn found(&self, found: Found) {
        self.tell(News::Found(self.asked.source, found));
    }

    /// Looks once.
    pub(super) async fn look(&mut self) -> anyhow::Result<()> {
        match self.asked.kind {
            Kind::Boss => boss::look(self).await,
            Kind::Shepherd => shepherd::look(self).await,
            Kind::Node => node::look(self).await,
        }
    }

    /// Has the source say when something happens, if it does such things.
    async fn watch(&mut self) {
        match self.asked.kind {
            Kind::Boss => boss::watch(self),
            Kind::Shepherd => shepherd::watch(self).await,
            Kind::Node => {}
        }
    }

    /// Something has happened, or the session is over.
    async fn hint(&mut self) {
        let severed = self.client.severed(&self.object);
        let (hints, hint) = (&mut self.hints, &self.hint);
        let told = async {
            match hints {
                Some(hints) => hints.recv().await.is_some(),
                None => std::future::pending().await,
            }
        };
        let fulfilled = async {
            match hint {
                Some(hint) => hint.await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let again = tokio::select! {
            () = severed => false,
            told = told => told,
            fulfilled = fulfilled => fulfilled,
        };
        self.hint = None;
        if !again {
            self.hinting = false;
            self.hints = None;
        }
    }

    /// Ends the session in good order.
    pub(super) async fn end(self) {
        end(self.client).await;
    }
}

async fn end(client: Client) {
    // Whoever takes no note hears it from the connection.
    let _unheard = tokio::time::timeout(GOODBYE, client.end()).await;
}

/// Looks at a source until nobody wishes anything any more.
pub(super) async fn follow(
    asked: Asked,
    news: UnboundedSender<News>,
    mut wishes: UnboundedReceiver<Wish>,
) {
    let mut pause = asked.interval;
    loop {
        match visit(&asked, &news, &mut wishes, &mut pause).await {
            Ok(()) => return,
            Err(error) => {
                let _gone = news.send(News::Down(asked.source, format!("{error:#}")));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            wish = wishes.recv() => match wish {
                None => return,
                Some(Wish::Look) => {}
                Some(_) => {
                    let text = format!("the {} does not answer", asked.kind.word());
                    let _gone = news.send(News::Said(text));
                }
            },
        }
        // One that is not there is not pestered.
        pause = (pause * 2).min(RETRY.max(asked.interval));
    }
}

/// Looks at a source until it is gone, or nobody wishes anything any more.
async fn visit(
    asked: &Asked,
    news: &UnboundedSender<News>,
    wishes: &mut UnboundedReceiver<Wish>,
    pause: &mut Duration,
) -> anyhow::Result<()> {
    let mut session = Session::open(asked, news).await?;
    let outcome = stay(&mut session, wishes, pause).await;
    session.end().await;
    outcome
}

async fn stay(
    session: &mut Session,
    wishes: &mut UnboundedReceiver<Wish>,
    pause: &mut Duration,
) -> anyhow::Result<()> {
    let interval = session.asked.interval;
    session.watch().await;
    session.look().await?;
    session.tell(News::Up(session.asked.source));
    *pause = interval;
    // What takes its time goes on beside it.
    let mut under_way: JoinSet<News> = JoinSet::new();
    let mut looked = Instant::now();
    loop {
        if session.hinting && session.hint.is_none() && session.hints.is_none() {
            session.watch().await;
        }
        let due = looked + interval;
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = session.hint() => tokio::time::sleep_until((looked + RUSH).min(due)).await,
            Some(Ok(done)) = under_way.join_next() => session.tell(done),
            wish = wishes.recv() => match wish {
                None => return Ok(()),
                Some(Wish::Look) => {}
                Some(Wish::Details(name)) => {
                    shepherd::details(session, &mut under_way, name);
                    continue;
                }
                Some(Wish::Do(verb, name)) => {
                    shepherd::order(session, &mut under_way, verb, name);
                    continue;
                }
            },
        }
        session.look().await?;
        looked = Instant::now();
    }
}

/// Whether nobody listens there.
fn is_unreachable(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(EnlivenError::Dial(DialError::Connect(why)))
            if matches!(**why, ConnectError::Unreachable { .. })
    )
}

/// Whether a capability is not for what was asked of it.
fn is_refusal(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Broke>().is_some_and(|broke| broke.exit() == crate::exit::Exit::Refused)
}
