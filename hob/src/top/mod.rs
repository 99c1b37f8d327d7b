//! `hob top`: machines, services, bindings, sessions and what happens, as it is.
//!
//! ```text
//!   sources ── news ──> state (model, panels) ── view ──> terminal
//!      ^                   ^
//!      └──── wishes ───────┴──── input (keys)
//! ```

mod grid;
mod input;
mod layout;
mod model;
mod once;
mod panels;
mod sources;
mod state;
mod terminal;
mod view;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueHint};
use ratatui::crossterm::event::Event;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::capfile;
use crate::cli::duration;
use crate::cli::groups::Form;
use crate::config::Settings;
use crate::exit::BadUsage;
use crate::output::screen::Screen as Output;
use crate::state::StateDir;
use model::{Kind, Source};
use sources::{Asked, Wish};
use state::{News, Order, State};
use view::Theme;

pub(crate) const HELP: &str = "\
In each state directory it looks for a boss (boss.cap), a shepherd (herd.cap) and a node
(admin.cap); what is not there is said, and looked for. Keys: ? shows them.

With --once the rates of sessions are those of one interval.

Examples:
  hob top
  hob top --state ./boss --state ./shepherd
  hob top --herd ci.cap --read-only
  hob top --once --json | jq '.sessions[].rates'";

/// How long sources have to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// `hob top`.
#[derive(Args, Debug)]
pub(crate) struct TopOptions {
    /// The state directory of a boss, a shepherd or another node; may be repeated
    /// [env: HOB_STATE] [config: state.path]
    #[arg(id = "states", long = "state", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) states: Vec<PathBuf>,
    /// The capability file of a boss, instead of those of the state directories; may be
    /// repeated
    #[arg(long, value_name = "CAP", value_hint = ValueHint::FilePath)]
    pub(crate) boss: Vec<PathBuf>,
    /// The capability file of a shepherd or of a service, likewise
    #[arg(long, value_name = "CAP", value_hint = ValueHint::FilePath)]
    pub(crate) herd: Vec<PathBuf>,
    /// The capability file of a node's admin object, likewise
    #[arg(long, value_name = "CAP", value_hint = ValueHint::FilePath)]
    pub(crate) admin: Vec<PathBuf>,
    /// How often to look, as 500ms or 2s; what happens is shown at once where the source
    /// tells
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) interval: Duration,
    /// How long a source may take to answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Print what there is and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Start and stop nothing
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Use no colours; the same as --color never
    #[arg(long)]
    pub(crate) no_color: bool,
    #[command(flatten)]
    pub(crate) form: Form,
}

impl TopOptions {
    /// Puts in what the command line has not said.
    pub(crate) fn settle(&mut self, settings: &Arc<Settings>) {
        if self.states.is_empty() {
            self.states.extend(settings.state());
        }
    }

    /// Who is asked, and how.
    fn sources(&self) -> anyhow::Result<(Vec<Source>, Vec<Asked>)> {
        let mut shown = Vec::new();
        let mut asked = Vec::new();
        let (epoch, own) = (Instant::now(), Arc::default());
        let mut add = |kind, place: String, cap: PathBuf, missing| {
            let (interval, patience) = (self.interval, self.timeout);
            let source = shown.len();
            let own = Arc::clone(&own);
            asked.push(Asked { source, kind, cap, missing, interval, patience, epoch, own });
            shown.push(Source::new(kind, place));
        };
        let kinds = [
            (Kind::Boss, &self.boss, "boss.cap"),
            (Kind::Shepherd, &self.herd, "herd.cap"),
            (Kind::Node, &self.admin, "admin.cap"),
        ];
        for (kind, caps, file) in kinds {
            for cap in caps {
                if cap.as_os_str() == "-" {
                    let why = "a capability that is read again and again can't be standard input";
                    return Err(BadUsage(why.to_owned()).into());
                }
                // It may be written anew meanwhile, but one that can't be used is a mistake.
                capfile::read(cap)?;
                add(kind, cap.display().to_string(), cap.clone(), None);
            }
            for state in self.states.iter().filter(|_| caps.is_empty()) {
                let directory = StateDir::named(Some(state.clone()))?;
                let place = directory.path().display().to_string();
                let missing = format!("no {} runs in {place}", kind.word());
                add(kind, place, state.join(file), Some(missing));
            }
        }
        if shown.is_empty() {
            StateDir::named(None)?;
        }
        Ok((shown, asked))
    }
}

pub(crate) async fn top(options: &TopOptions, screen: Output) -> anyhow::Result<()> {
    let screen = Output { colour: screen.colour && !options.no_color, ..screen };
    if options.interval.is_zero() {
        return Err(BadUsage("--interval 0 would look all the time".to_owned()).into());
    }
    if options.once {
        let (shown, asked) = options.sources()?;
        return once::once(shown, asked, screen, options.form.json).await;
    }
    if options.form.json {
        return Err(BadUsage("--json is for --once".to_owned()).into());
    }
    if !terminal::is_there() {
        let why = "hob top needs a terminal; --once prints what there is";
        return Err(BadUsage(why.to_owned()).into());
    }
    let (shown, asked) = options.sources()?;
    live(options, shown, asked, Theme { colour: screen.colour }).await
}

/// Those that are asked, each in a task of its own.
struct Followed {
    tasks: JoinSet<()>,
    wishes: Vec<UnboundedSender<Wish>>,
    news: UnboundedReceiver<News>,
}

impl Followed {
    fn start(asked: Vec<Asked>) -> Self {
        let (tell, news) = unbounded_channel();
        let mut tasks = JoinSet::new();
        let follow = |asked: Asked| {
            let (wish, wishes) = unbounded_channel();
            tasks.spawn(sources::follow(asked, tell.clone(), wishes));
            wish
        };
        let wishes = asked.into_iter().map(follow).collect();
        Self { tasks, wishes, news }
    }

    fn wish(&self, source: usize, wish: Wish) {
        if let Some(wishes) = self.wishes.get(source) {
            let _ended = wishes.send(wish);
        }
    }

    async fn end(mut self) {
        self.wishes.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Those that are in the middle of something are called off.
        let _late = tokio::time::timeout(GOODBYE, all).await;
    }
}

async fn live(
    options: &TopOptions,
    shown: Vec<Source>,
    asked: Vec<Asked>,
    theme: Theme,
) -> anyhow::Result<()> {
    let mut screen = terminal::Screen::take(theme)?;
    let mut events = terminal::events()?;
    let mut state = State::new(SystemTime::now(), shown, options.read_only);
    let (width, height) = screen.size()?;
    state.hear(News::Size(width, height));
    let mut followed = Followed::start(asked);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        state.settle();
        screen.draw(&state)?;
        tokio::select! {
            event = events.recv() => match event {
                None => break,
                Some(Event::Resize(width, height)) => state.hear(News::Size(width, height)),
                Some(Event::Key(key)) => {
                    let action = input::action(&state.mode, key);
                    match action.and_then(|action| state.act(action)) {
                        Some(Order::Quit) => break,
                        Some(Order::Redraw) => screen.clear()?,
                        Some(Order::Suspend) => screen.suspend()?,
                        Some(order) => carry_out(&followed, order),
                        None => {}
                    }
                }
                Some(_) => {}
            },
            Some(news) = followed.news.recv() => {
                state.hear(News::Tick(SystemTime::now()));
                state.hear(news);
                // What has come meanwhile is drawn at once.
                while let Ok(news) = followed.news.try_recv() {
                    state.hear(news);
                }
            }
            _ = seconds.tick() => state.hear(News::Tick(SystemTime::now())),
        }
    }
    drop(screen);
    followed.end().await;
    Ok(())
}

fn carry_out(followed: &Followed, order: Order) {
    match order {
        Order::Refresh => {
            for wishes in &followed.wishes {
                let _ended = wishes.send(Wish::Look);
            }
        }
        Order::Details(source, name) => followed.wish(source, Wish::Details(name)),
        Order::Do(source, verb, name) => followed.wish(source, Wish::Do(verb, name)),
        Order::Quit | Order::Redraw | Order::Suspend => {}
    }
}

#[cfg(test)]
mod tests;
