//! Asking a boss that says what it is told to say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ocapn::{Args, Behaviour, Fault, Node, Reply, Turn, Value};

use super::{Boss, graph};
use crate::cli::fleet::{Apply, BossChoice, Common, Plan};
use crate::cli::groups::{Form, Patience, Waiting};
use crate::client::Client;
use crate::exit::{Exit, code};
use crate::output::screen::Screen;

/// Answers `apply` with the first plan, and each `plan` with the next.
struct Scripted {
    plans: Vec<&'static str>,
    asked: AtomicUsize,
}

impl Behaviour for Scripted {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let [Value::Symbol(method), Value::Struct(graph), Value::Bool(false)] = args.as_slice()
        else {
            return Err("a graph, and whether to prune".into());
        };
        assert_eq!(graph.len(), 1);
        let next =
            if method == "apply" { 0 } else { self.asked.fetch_add(1, Ordering::SeqCst) + 1 };
        let plan = self.plans.get(next).or(self.plans.last()).ok_or("no plan")?;
        Ok(Value::string(*plan).into())
    }
}

const ONE: &str = r#"{"steps": [{"action": "bind", "to": "a:b", "from": "c:d", "why": "new"}]}"#;
const NONE: &str = r#"{"steps": []}"#;
const PROBLEM: &str =
    r#"{"steps": [], "notes": [{"problem": true, "about": "c", "what": "quarantined"}]}"#;

/// How `apply --wait` ends with a boss that has these plans.
async fn applied(plans: &[&'static str]) -> Option<Exit> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("graph.toml");
    std::fs::write(&file, "[a]\nb = \"c.d\"\n").unwrap();
    let node = Node::builder().start();
    let vat = node.vat("boss");
    let object = vat.spawn(Scripted { plans: plans.to_vec(), asked: AtomicUsize::new(0) });
    let client = Client::start(std::iter::empty()).await.unwrap();
    let patience = Duration::from_secs(60);
    let boss = Boss { client, object, patience };
    let choice = BossChoice { file: None, state: None, patience: Patience { timeout: patience } };
    let common = Common { boss: choice, form: Form { json: true } };
    let options = Apply {
        plan: Plan { graph: file, prune: false, common },
        waiting: Waiting { wait: true, wait_for: Duration::from_millis(1) },
    };
    let outcome = graph::apply(&boss, &options, Screen::default(), true).await;
    boss.client.end().await;
    node.shutdown().await;
    outcome.err().map(|error| code(&error))
}

#[tokio::test]
async fn an_applied_graph_is_waited_for() {
    assert_eq!(applied(&[NONE]).await, None);
    assert_eq!(applied(&[ONE, NONE]).await, None);
    // The time is over at the second look at the latest.
    assert_eq!(applied(&[ONE, ONE, ONE]).await, Some(Exit::Pending));
    assert_eq!(applied(&[ONE, PROBLEM]).await, Some(Exit::Partial));
    assert_eq!(applied(&["no plan"]).await, Some(Exit::Failed));
}
