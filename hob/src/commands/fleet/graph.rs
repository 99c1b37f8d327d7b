//! `hob fleet plan` and `apply`: what a graph file asks of the fleet, said and done.
//!
//! The boss makes the plans: `plan graph [prune]` says what there is to do, `apply graph
//! [prune]` keeps the graph and begins with that. Both answer with the plan, as JSON text:
//! `complete`, `steps` (each with `action`, `why` and what it is about) and `notes`.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use ocapn::Value;
use serde::Deserialize;
use serde_json::json;

use super::{Boss, LOOK};
use crate::cli::fleet::{Apply, Plan as Options};
use crate::cli::groups::Waiting;
use crate::desired::graph::{Directory, Graph};
use crate::desired::limits::Limits;
use crate::exit::{BadUsage, Exit, Failure};
use crate::output::progress::Progress;
use crate::output::screen::{Mark, Paint, Screen};
use crate::output::table::{Cell, Column, Table};
use crate::output::time::about;
use crate::output::{self, json};

/// More than any graph needs.
const MAX_BYTES: u64 = 8 << 20;

/// A plan as the boss says it. What else it says is passed on as it is.
#[derive(Clone, Debug, Deserialize)]
struct Plan {
    #[serde(default)]
    steps: Vec<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    notes: Vec<Note>,
    /// What the boss has decided, and is not there yet.
    #[serde(default)]
    pending: Vec<String>,
    #[serde(skip)]
    whole: serde_json::Value,
}

/// Something to know about a plan.
#[derive(Clone, Debug, Deserialize)]
struct Note {
    /// Whether the fleet does not become what the graph says, for this reason.
    #[serde(default)]
    problem: bool,
    about: String,
    what: String,
}

/// The actions in the order in which they are counted: what each is called by the boss,
/// its sign, and its word.
const ACTIONS: [(&str, char, &str); 9] = [
    ("create-machine", '+', "create"),
    ("offer", '+', "offer"),
    ("bind", '+', "bind"),
    ("set-state", '~', "state"),
    ("attenuate", '~', "attenuate"),
    ("rebind", '~', "rebind"),
    ("unbind", '-', "revoke"),
    ("withdraw", '-', "withdraw"),
    ("destroy-machine", '-', "destroy"),
];

impl Plan {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let whole: serde_json::Value = serde_json::from_str(text)?;
        Ok(Self { whole: whole.clone(), ..serde_json::from_value(whole)? })
    }

    /// What is to be done, counted: `+1 bind  ~1 attenuate  -1 revoke`.
    fn summary(&self) -> String {
        let count = |action: &str| {
            let of = |step: &&serde_json::Map<_, _>| text(step, &["action"]) == action;
            self.steps.iter().filter(of).count()
        };
        let counted = ACTIONS.iter().map(|(action, sign, word)| (count(action), sign, word));
        let counted = counted.filter(|(count, ..)| *count > 0);
        let counted: Vec<String> =
            counted.map(|(count, sign, word)| format!("{sign}{count} {word}")).collect();
        if counted.is_empty() { "nothing to do".to_owned() } else { counted.join("  ") }
    }

    fn problems(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(|note| note.problem)
    }

    fn render(&self, screen: Screen) -> String {
        let mut table = Table::new([
            Column::kept("STEP"),
            Column::kept("WHAT"),
            Column::droppable("BECOMES", 1),
            Column::droppable("WHY", 2),
        ]);
        for step in &self.steps {
            let action = text(step, &["action"]);
            let known = ACTIONS.iter().find(|(name, ..)| *name == action);
            let (sign, word) = known.map_or(('~', &*action), |(_, sign, word)| (*sign, *word));
            let paint = match sign {
                '+' => Paint::Good,
                '-' => Paint::Bad,
                _ => Paint::Waiting,
            };
            let rules = text(step, &["rules"]);
            let bar = if rules.is_empty() { "" } else { " | " };
            let requires = match text(step, &["requires"]) {
                service if service.is_empty() => service,
                service => format!(" requires {service}"),
            };
            let from = text(step, &["from", "provider", "offer"]);
            let becomes = format!("{from}{requires}{bar}{rules}");
            table.row([
                Cell::new(format!("{sign} {word}")).painted(paint),
                Cell::new(text(step, &["to", "place", "machine"])),
                Cell::new(becomes),
                Cell::new(text(step, &["why"])),
            ]);
        }
        let mut lines = Vec::new();
        if !self.steps.is_empty() {
            lines.push(table.render(screen));
        }
        for Note { problem, about, what } in &self.notes {
            let (mark, word) = match problem {
                true => (Mark::Attention, "problem"),
                false => (Mark::Off, "note"),
            };
            let mark = screen.paint(mark.paint(), mark.sign());
            lines.push(output::harmless(&format!("{word}: {about}: {what}")));
            if let Some(last) = lines.last_mut() {
                last.insert_str(0, &format!("{mark} "));
            }
        }
        lines.push(self.summary());
        lines.join("\n")
    }

    fn say(&self, json: bool, screen: Screen) -> anyhow::Result<()> {
        if json {
            return json::print(json!({"plan": self.whole}));
        }
        output::line(&self.render(screen))
    }

    /// What the graph wants and does not get.
    fn complete(&self) -> anyhow::Result<()> {
        let problems: Vec<String> =
            self.problems().map(|note| format!("{}: {}", note.about, note.what)).collect();
        if problems.is_empty() {
            return Ok(());
        }
        let what = format!("a part of the graph can't be had; {}", problems.join("; "));
        Err(Failure::new(Exit::Partial, what).next("hob fleet list").into())
    }
}

/// The first of these that a step has, as text.
fn text(step: &serde_json::Map<String, serde_json::Value>, keys: &[&str]) -> String {
    match keys.iter().find_map(|key| step.get(*key).filter(|value| !value.is_null())) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

pub(super) async fn plan(boss: &Boss, options: &Options, screen: Screen) -> anyhow::Result<()> {
    let graph = read(&options.graph)?;
    let plan = ask(boss, "plan", &graph, options.prune).await?;
    plan.say(options.common.form.json, screen)?;
    plan.complete()
}

pub(super) async fn apply(
    boss: &Boss,
    options: &Apply,
    screen: Screen,
    quiet: bool,
) -> anyhow::Result<()> {
    let Options { graph, prune, common } = &options.plan;
    let graph = read(graph)?;
    let begun = ask(boss, "apply", &graph, *prune).await?;
    begun.say(common.form.json, screen)?;
    let last = match options.waiting.wait {
        true => wait_until_done(boss, (&graph, *prune), options.waiting, quiet).await?,
        false => begun,
    };
    last.complete()
}

async fn wait_until_done(
    boss: &Boss,
    (graph, prune): (&Value, bool),
    waiting: Waiting,
    quiet: bool,
) -> anyhow::Result<Plan> {
    let mut progress = Progress::new("graph", quiet);
    let deadline = Instant::now() + waiting.wait_for;
    loop {
        let left = ask(boss, "plan", graph, prune).await?;
        if left.steps.is_empty() && left.pending.is_empty() {
            return Ok(left);
        }
        let first = left.pending.first().cloned();
        let missing = first.unwrap_or_else(|| left.summary());
        if Instant::now() >= deadline {
            let waited = about(waiting.wait_for);
            let what = format!("not all is there after {waited}: {missing}");
            let failure = Failure::new(Exit::Pending, what);
            return Err(failure.next("it goes on by itself; hob fleet list").into());
        }
        progress.step(&missing);
        tokio::time::sleep(LOOK).await;
    }
}

async fn ask(
    boss: &Boss,
    method: &'static str,
    graph: &Value,
    prune: bool,
) -> anyhow::Result<Plan> {
    let text: String = boss.typed(method, vec![graph.clone(), prune.into()]).await?;
    Plan::parse(&text).with_context(|| format!("the boss's answer to {method}"))
}

/// The graph in a file, as a value in which the files are that it mentions.
fn read(path: &Path) -> anyhow::Result<Value> {
    use std::io::Read as _;
    let mut text = String::new();
    let from_stdin = path == Path::new("-");
    let read = match from_stdin {
        true => std::io::stdin().lock().take(MAX_BYTES).read_to_string(&mut text),
        false => std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)),
    };
    read.with_context(|| path.display().to_string())?;
    let directory = path.parent().filter(|_| !from_stdin);
    let directory = Directory(directory.unwrap_or(Path::new("")).to_owned());
    let graph = Graph::parse(&text, &directory, &Limits::default());
    let graph = graph.map_err(|error| BadUsage(format!("{}: {error}", path.display())))?;
    Ok(graph.to_value())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const PLAN: &str = r#"{"version": 1, "complete": false, "steps": [
        {"action": "bind", "to": "app:db", "from": "db:db", "rules": "read-only", "why": "new"},
        {"action": "attenuate", "to": "app:q", "from": "db:q", "rules": "", "why": "other rules"},
        {"action": "unbind", "to": "app:x", "from": "db:x", "why": "no longer wanted"}],
        "notes": [{"problem": true, "about": "app", "what": "it is quarantined"}]}"#;

    pub(in crate::commands::fleet) const GRAPH: &str = "\
[machines.db]
existing = true
[machines.db.offers]
db.existing = true
[machines.app]
existing = true

[bindings]
app.db = \"db.db | read-only\"
";

    #[test]
    fn a_plan_in_words() {
        let plan = Plan::parse(PLAN).unwrap();
        let expected = "\
STEP         WHAT    BECOMES            WHY
+ bind       app:db  db:db | read-only  new
~ attenuate  app:q   db:q               other rules
- revoke     app:x   db:x               no longer wanted
! problem: app: it is quarantined
+1 bind  ~1 attenuate  -1 revoke";
        assert_eq!(plan.render(Screen::default()), expected);
        let error = plan.complete().unwrap_err();
        assert_eq!(crate::exit::code(&error), Exit::Partial);
        let none = Plan::parse("{\"steps\": []}").unwrap();
        assert_eq!(none.render(Screen::default()), "nothing to do");
        assert!(none.complete().is_ok());
        assert!(Plan::parse("no").is_err());
    }

    #[test]
    fn a_graph_becomes_a_value_and_mistakes_have_a_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("graph.toml");
        std::fs::write(&path, GRAPH).unwrap();
        let shown = crate::notation::print(&read(&path).unwrap(), false);
        assert!(shown.contains("db.db | read-only"), "{shown}");
        std::fs::write(&path, GRAPH.replace("db.db", "nowhere.db")).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("graph.toml: line 9, column "), "{error}");
        assert_eq!(crate::exit::code(&error), Exit::Usage);
    }
}
