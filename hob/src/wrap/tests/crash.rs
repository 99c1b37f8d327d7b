//! Databases on a node that is killed: it is this program once more, told by its
//! environment what to do, which ends with `kill -9` to itself.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use ocapn::persist::{Redb, Store};
use ocapn::{Node, Ref, Value};
use rustix::process::{Signal, getpid, kill_process};

use super::kit::{Machine, ask};
use super::server::{Server, superuser};
use crate::wrap::{PostgresService, PostgresSettings, StreamLimits};

/// What the child does, the settings of its database and where its store is.
const TOLD: &str = "HOB_TEST_WRAP_CHILD";

fn machine(state: &Path) -> Machine {
    let store = Store::open(Redb::open(state.join("store")).unwrap()).unwrap();
    Machine::on(Node::builder().start_durable(&store).unwrap(), StreamLimits::default())
}

fn die() -> ! {
    kill_process(getpid(), Signal::KILL).unwrap();
    unreachable!("it is dead")
}

fn grant(object: &Ref, id: &str) -> ocapn::Promise {
    object.send(vec![Value::symbol("grant"), id.into(), Value::List(vec![])])
}

#[test]
#[ignore = "it is what other tests start"]
fn child() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let (act, rest) = told.split_once(' ').unwrap();
    let (state, settings) = rest.split_once(' ').unwrap();
    let settings: PostgresSettings = serde_json::from_str(settings).unwrap();
    let state = PathBuf::from(state);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let machine = machine(&state);
        let (host, database) = (PathBuf::from(&settings.host), settings.database.clone());
        let make = move |turn: &mut ocapn::Turn<'_>, wrap: &_| {
            PostgresService::spawn(turn, wrap, settings)
        };
        let object = machine.spawn(make).await;
        machine.vat.set_root("db", &object).unwrap();
        // One that is acknowledged in any case.
        grant(&object, "crash-kept").await.unwrap();
        machine.node.durable().await.unwrap();
        if act == "ungrant" {
            let _dropped = object.send(vec![Value::symbol("ungrant"), "crash-kept".into()]);
            machine
                .vat
                .run(move |_turn| watch_and_die(&host, &database, "hob_crash-kept", false))
                .await
                .unwrap();
        } else {
            let _granted = grant(&object, "crash-lost");
            // The vat does nothing else meanwhile: the grant is not acknowledged.
            machine
                .vat
                .run(move |_turn| watch_and_die(&host, &database, "hob_crash-lost", true))
                .await
                .unwrap();
        }
    });
}

/// Waits until the role is there, or is not, and dies.
fn watch_and_die(
    host: &Path,
    database: &str,
    role: &'static str,
    there: bool,
) -> Result<(), ocapn::Fault> {
    let (host, database) = (host.to_owned(), database.to_owned());
    let watching = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let admin = superuser(&host, &database).await;
            while has_role(&admin, role).await != there {}
        });
        die()
    });
    tokio::task::block_in_place(|| watching.join().unwrap())
}

async fn has_role(admin: &tokio_postgres::Client, role: &str) -> bool {
    let query = "SELECT FROM pg_roles WHERE rolname = $1";
    admin.query_opt(query, &[&role]).await.unwrap().is_some()
}

/// Starts the child and sees it killed.
fn killed(act: &str, state: &Path, settings: &PostgresSettings) {
    let settings = serde_json::to_string(settings).unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["wrap::tests::crash::child", "--exact", "--ignored", "--nocapture"])
        .env(TOLD, format!("{act} {} {settings}", state.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(9), "{said}");
}

#[tokio::test]
async fn a_role_whose_grant_was_not_acknowledged_is_gone_after_a_restart() {
    let Some(server) = Server::get() else { return };
    let (settings, admin) = server.database("crash").await;
    for act in ["grant", "ungrant"] {
        let state = tempfile::tempdir().unwrap();
        killed(act, state.path(), &settings);
        let lost = act == "grant";
        assert_eq!(has_role(&admin, "hob_crash-lost").await, lost, "else it shows nothing");
        let machine = machine(state.path());
        let object = machine.vat.root("db").unwrap().unwrap();
        ask(&object, "start", vec![]).await.unwrap();
        assert!(!has_role(&admin, "hob_crash-lost").await);
        // What was acknowledged is there, and what was taken back is not.
        assert_eq!(has_role(&admin, "hob_crash-kept").await, lost);
        let Value::List(grants) = ask(&object, "grants", vec![]).await.unwrap() else { panic!() };
        assert_eq!(grants.len(), usize::from(lost));
        // Whoever did not hear of it may ask again.
        grant(&object, "crash-lost").await.unwrap();
        assert!(has_role(&admin, "hob_crash-lost").await);
        for id in ["crash-lost", "crash-kept"] {
            ask(&object, "ungrant", vec![id.into()]).await.unwrap();
        }
        machine.end().await;
    }
}
