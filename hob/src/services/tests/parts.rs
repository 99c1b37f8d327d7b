//! Each actor by itself.

use std::sync::Arc;

use ocapn::{FromValue as _, IntoValue as _, Value, object};
use std::sync::Mutex;
use vat_runtime::SimClock;

use super::world::{FRIDAY, MadeUp, Pasture, context};
use crate::services::controller::{Controller, ControllerRef};
use crate::services::logger::{Logger, LoggerRef};
use crate::services::monitor::Monitor;
use crate::services::process::{Exit, Process};
use crate::services::status::Phase;
use crate::services::writer::{Event, Writer, WriterRef};

const A: &str = "{\"command\": [\"a\"]}";

/// Keeps what it is told.
#[derive(Clone, Default)]
pub(super) struct Ear(Arc<Mutex<Vec<String>>>);

#[object]
impl Writer for Ear {
    fn line(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn said(&self, _at: i64, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn happened(&self, event: Event) {
        self.0.lock().unwrap().push(format!("{} {} {}", event.number, event.service, event.state));
    }
}

impl Ear {
    pub(super) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn a_writer_hears_what_is_done_before_it_is_answered() {
    let pasture = Pasture::new(super::CHAIN);
    let ear = Ear::default();
    let writer = WriterRef::spawn_in(&pasture.vat, ear.clone());
    pasture.get(pasture.shepherd.start("proxy", Some(writer.clone()))).unwrap();
    let heard = ear.heard();
    assert_eq!(heard[2..], ["Service web has been started.", "Service proxy has been started."]);
    pasture.get(pasture.shepherd.start("proxy", Some(writer.clone()))).unwrap();
    assert_eq!(ear.heard(), ["Service proxy is already running."]);
    pasture.world.take_away("web");
    pasture.stop("web").unwrap();
    pasture.get(pasture.shepherd.start("proxy", Some(writer))).unwrap_err();
    let expected = [
        "Service web could not be started.",
        "Service proxy depends on web, which could not be started.",
    ];
    assert_eq!(ear.heard(), expected);
}

#[test]
fn a_watcher_sees_every_change_in_order() {
    let pasture = Pasture::new("[service.a]\ncommand = [\"a\"]\nrespawn = { delay = \"1s\" }");
    pasture.start("a").unwrap();
    let ear = Ear::default();
    let watcher = WriterRef::spawn_in(&pasture.vat, ear.clone());
    pasture.get(pasture.shepherd.watch(watcher, Some(0))).unwrap();
    pasture.end("a", Exit::Code(1));
    pasture.pass(1000);
    pasture.stop("a").unwrap();
    let states = "starting running stopped starting running stopping stopped".split(' ');
    let expected: Vec<_> =
        states.enumerate().map(|(index, state)| format!("{} a {state}", index + 1)).collect();
    assert_eq!(ear.heard(), expected);
}

#[test]
fn a_logger_keeps_the_last_lines_and_tells_followers() {
    let pasture = Pasture::new("");
    let logger = LoggerRef::spawn_in(&pasture.vat, Logger::default());
    let lines = |range: std::ops::Range<i64>| range.map(|n| (n, n.to_string())).collect::<Vec<_>>();
    pasture.get(logger.heard(lines(0..250))).unwrap();
    assert_eq!(pasture.get(logger.recent(1000)).unwrap(), lines(150..250));
    assert_eq!(pasture.get(logger.recent(2)).unwrap(), lines(248..250));
    let ear = Ear::default();
    let follower = WriterRef::spawn_in(&pasture.vat, ear.clone());
    pasture.get(logger.follow(follower, 1)).unwrap();
    pasture.get(logger.heard(lines(250..252))).unwrap();
    assert_eq!(ear.heard(), ["249", "250", "251"]);
}

#[test]
fn what_a_service_says_is_in_its_status() {
    let pasture = Pasture::new("[service.a]\ncommand = [\"a\"]");
    pasture.start("a").unwrap();
    let said = pasture.world.say("a", "hello");
    let kept = pasture.vat.spawn_async(async move |_here| {
        said.await;
        Ok(())
    });
    pasture.get(kept).unwrap();
    let at = i64::try_from(FRIDAY).unwrap();
    assert_eq!(pasture.status("a").messages, [(at, "hello".to_owned())]);
}

#[test]
fn a_monitor_knows_its_children_after_a_restart() {
    let pasture = Pasture::new("");
    let process = pasture.get(pasture.monitor.launch("a", A)).unwrap();
    let all = pasture.get(pasture.monitor.processes()).unwrap();
    assert_eq!(all["a"], process);
    let mut before = Monitor::new(pasture.world.clone());
    for portrait in [before.portray(), all.into_value()] {
        before = Monitor::restore(pasture.world.clone(), portrait).unwrap();
    }
    let restored = crate::services::monitor::MonitorRef::spawn_in(&pasture.vat, before);
    assert_eq!(pasture.get(restored.find("a")).unwrap(), Some(process.clone()));
    let exit = restored.exit(process.clone());
    assert!(pasture.get(exit.clone()).is_err());
    pasture.end("a", Exit::Code(4));
    assert_eq!(pasture.get(exit), Ok(Exit::Code(4)));
    assert_eq!(pasture.get(restored.find("a")).unwrap(), None);
    assert!(Monitor::restore(pasture.world.clone(), Value::Int(1)).is_err());
}

#[test]
fn a_process_that_is_not_its_own_ends_unknown() {
    let pasture = Pasture::new("");
    let process = Process { pid: 7, started: 7, boot: "another".into(), invocation: String::new() };
    assert_eq!(pasture.get(pasture.monitor.exit(process)), Ok(Exit::Unknown));
}

/// A controller as it is stored.
fn stored(pasture: &Pasture, phase: Phase) -> ControllerRef {
    let portrait = Value::from_value(Value::Struct(vec![
        ("definition".into(), A.into()),
        ("enabled".into(), true.into()),
        ("monitor".into(), pasture.monitor.untyped().into()),
        ("name".into(), "a".into()),
        ("phase".into(), phase.into_value()),
        ("since".into(), 5.into()),
        ("transient".into(), false.into()),
        ("wanted".into(), true.into()),
    ]));
    let context = context(&Arc::<MadeUp>::clone(&pasture.world), &SimClock::new(), &pasture.vat);
    let restored = Controller::restore(context, portrait.unwrap()).unwrap();
    ControllerRef::spawn_in(&pasture.vat, restored)
}

/// The shepherd's node takes orders before the shepherd has looked for what is left.
#[test]
fn orders_wait_until_what_was_left_is_taken_up() {
    let pasture = Pasture::new("");
    let process = pasture.get(pasture.monitor.launch("a", A)).unwrap();
    let there = stored(&pasture, Phase::Starting);
    assert_eq!(pasture.get(there.start()), Ok(true));
    assert_eq!(pasture.get(there.status(0)).unwrap().pid, Some(process.pid));
    assert_eq!(pasture.world.done(), ["run a"], "and no second one");

    let there = stored(&pasture, Phase::Running);
    assert_eq!(pasture.get(there.stop()), Ok(true));
    assert!(!pasture.world.end("a", Exit::Code(0)), "it runs no more");
    assert_eq!(pasture.get(there.recover()), Ok(false));
}

#[test]
fn a_controller_takes_up_the_process_that_is_there() {
    let pasture = Pasture::new("");
    let service = || stored(&pasture, Phase::Running);
    let gone = service();
    assert_eq!(pasture.get(gone.recover()), Ok(false));
    assert_eq!(pasture.get(gone.status(0)).unwrap().state, Phase::Stopped);

    let process = pasture.get(pasture.monitor.launch("a", A)).unwrap();
    let there = service();
    assert_eq!(pasture.get(there.recover()), Ok(true));
    let status = pasture.get(there.status(0)).unwrap();
    assert_eq!((status.state, status.since, status.pid), (Phase::Running, 5, Some(process.pid)));
    assert_eq!(pasture.get(there.start()), Ok(true));
    assert_eq!(pasture.world.done(), ["run a"]);
    // Its end is seen, although it is nobody's child any more.
    pasture.end("a", Exit::Unknown);
    pasture.hand.run_until_idle();
    assert_eq!(pasture.get(there.status(0)).unwrap().state, Phase::Starting);
}
