//! The actors, alone and together, in a world made up.

mod fleet;
mod parts;
mod rolling;
mod storm;
mod wire;
mod world;

use self::world::Pasture;
use super::process::Exit;
use super::status::Phase;

const CHAIN: &str = "
    [service.networking]
    command = [\"network\"]
    [service.database]
    command = [\"database\"]
    [service.web]
    command = [\"web\"]
    requires = [\"networking\", \"database\"]
    [service.proxy]
    command = [\"proxy\"]
    requires = [\"web\"]
    autostart = false
";

#[test]
fn what_is_required_starts_first_and_dependents_stop_first() {
    let pasture = Pasture::new(CHAIN);
    assert_eq!(pasture.start("proxy"), Ok(true));
    let done = pasture.world.done();
    assert_eq!(done[2..], ["run web", "run proxy"]);
    assert_eq!(pasture.world.running(), ["database", "networking", "proxy", "web"]);
    assert_eq!(pasture.start("proxy"), Ok(false));
    assert_eq!(pasture.stop("networking"), Ok(true));
    let told = ["proxy", "web", "networking"].map(|name| format!("TERM {name}"));
    assert_eq!(pasture.world.done(), told);
    assert_eq!(pasture.world.running(), ["database"]);
    assert_eq!(pasture.stop("proxy"), Ok(false));
}

#[test]
fn those_that_need_not_wait_for_each_other_do_not() {
    let pasture = Pasture::new(
        "[service.a]\ncommand = [\"a\"]\nready = { notify = true }
         [service.b]\ncommand = [\"b\"]\nready = { notify = true }
         [service.c]\nrequires = [\"a\", \"b\"]",
    );
    let going = pasture.shepherd.start("c", None);
    assert!(pasture.get(going.clone()).is_err());
    assert_eq!(pasture.world.done(), ["run a", "run b"]);
    pasture.world.get_ready("b");
    assert!(pasture.get(going.clone()).is_err());
    pasture.world.get_ready("a");
    assert_eq!(pasture.get(going), Ok(true));
    assert_eq!(pasture.phase("c"), Phase::Running);
}

#[test]
fn those_who_start_at_the_same_time_share_one_start() {
    let pasture = Pasture::new("[service.a]\ncommand = [\"a\"]\nready = { notify = true }");
    let first = pasture.shepherd.start("a", None);
    let second = pasture.shepherd.start("a", None);
    assert!(pasture.get(second.clone()).is_err());
    assert_eq!(pasture.phase("a"), Phase::Starting);
    pasture.world.get_ready("a");
    assert_eq!((pasture.get(first), pasture.get(second)), (Ok(true), Ok(true)));
    assert_eq!(pasture.world.done(), ["run a"]);
    assert_eq!(pasture.story(), ["a starting", "a running"]);
}

#[test]
fn a_requirement_that_fails_fails_what_requires_it() {
    let pasture = Pasture::new(CHAIN);
    pasture.world.take_away("database");
    let why = pasture.start("proxy").unwrap_err();
    assert_eq!(why, "service proxy depends on web, which could not be started");
    assert_eq!(pasture.phase("database"), Phase::Failed);
    assert_eq!(pasture.status("database").failure.as_deref(), Some("no such file"));
    assert_eq!(pasture.phase("web"), Phase::Stopped);
    pasture.world.put_back("database");
    assert_eq!(pasture.start("proxy"), Ok(true));
}

#[test]
fn it_is_started_again_after_a_while_and_not_too_often() {
    let pasture = Pasture::new(
        "[service.a]\ncommand = [\"a\"]\nrespawn = { limit = 2, window = \"10s\", delay = \"1s\" }",
    );
    pasture.start("a").unwrap();
    for _ in 0..2 {
        pasture.end("a", Exit::Code(3));
        pasture.pass(999);
        assert_eq!(pasture.phase("a"), Phase::Starting);
        pasture.pass(1);
        assert_eq!(pasture.phase("a"), Phase::Running);
    }
    pasture.end("a", Exit::Code(3));
    pasture.pass(60_000);
    let status = pasture.status("a");
    assert_eq!(status.state, Phase::Failed);
    assert_eq!(status.failure.as_deref(), Some("respawning too fast"));
    assert_eq!(status.exit_code, Some(3));
    // Slowly it may end as often as it likes.
    pasture.start("a").unwrap();
    for _ in 0..10 {
        pasture.end("a", Exit::Signal(11));
        pasture.pass(11_000);
        assert_eq!(pasture.phase("a"), Phase::Running);
    }
}

#[test]
fn what_is_stopped_is_not_started_again() {
    let pasture = Pasture::new("[service.a]\ncommand = [\"a\"]\nrespawn = { delay = \"1s\" }");
    pasture.start("a").unwrap();
    pasture.end("a", Exit::Code(0));
    pasture.pass(500);
    assert_eq!(pasture.phase("a"), Phase::Starting);
    // It waits to be started again, and learns that it need not.
    let stop = pasture.shepherd.stop("a", None);
    pasture.pass(250);
    assert_eq!(pasture.get(stop), Ok(true));
    assert_eq!(pasture.phase("a"), Phase::Stopped);
    pasture.pass(10_000);
    assert_eq!(pasture.world.done(), ["run a"]);
}

#[test]
fn without_respawn_the_end_is_the_end() {
    let pasture = Pasture::new(
        "[service.a]\ncommand = [\"a\"]\nrespawn = false
         [service.b]\ncommand = [\"b\"]\nrespawn = false",
    );
    pasture.start("a").unwrap();
    pasture.start("b").unwrap();
    pasture.end("a", Exit::Code(0));
    pasture.end("b", Exit::Code(15));
    assert_eq!((pasture.phase("a"), pasture.phase("b")), (Phase::Stopped, Phase::Failed));
    assert_eq!(pasture.status("b").exit_code, Some(15));
}

#[test]
fn who_takes_no_notice_is_killed_after_the_time_of_grace() {
    let pasture = Pasture::new("[service.a]\ncommand = [\"a\"]\ngrace = \"3s\"");
    pasture.world.be_stubborn("a");
    pasture.start("a").unwrap();
    let stop = pasture.shepherd.stop("a", None);
    pasture.pass(2_999);
    assert_eq!(pasture.phase("a"), Phase::Stopping);
    // Who starts it meanwhile waits.
    let start = pasture.shepherd.start("a", None);
    pasture.pass(1);
    assert_eq!(pasture.get(stop), Ok(true));
    assert_eq!(pasture.get(start), Ok(true));
    assert_eq!(pasture.story()[2..], ["a stopping", "a stopped", "a starting", "a running"]);
}

#[test]
fn stopped_before_it_was_ready() {
    let pasture = Pasture::new("[service.a]\ncommand = [\"a\"]\nready = { notify = true }");
    let start = pasture.shepherd.start("a", None);
    assert!(pasture.get(start.clone()).is_err());
    assert_eq!(pasture.stop("a"), Ok(true));
    assert!(pasture.get(start).unwrap_err().contains("could not be started"));
    assert_eq!(pasture.phase("a"), Phase::Stopped);
    assert!(pasture.world.running().is_empty());
}

#[test]
fn disabled_and_conflicting_ones_are_not_started() {
    let pasture = Pasture::new(
        "[service.a]\ncommand = [\"a\"]\nenabled = false
         [service.b]\ncommand = [\"b\"]\nrequires = [\"a\"]
         [service.c]\ncommand = [\"c\"]\nconflicts = [\"d\"]
         [service.d]\ncommand = [\"d\"]",
    );
    assert_eq!(pasture.start("a"), Err("service a is disabled".into()));
    assert!(pasture.start("b").is_err());
    pasture.get(pasture.shepherd.enable("a")).unwrap();
    assert_eq!(pasture.start("b"), Ok(true));
    pasture.start("d").unwrap();
    assert_eq!(pasture.start("c"), Err("service c conflicts with d, which is up".into()));
    pasture.stop("d").unwrap();
    assert_eq!(pasture.start("c"), Ok(true));
}

#[test]
fn one_shots_are_done_when_they_have_ended() {
    let pasture = Pasture::new(
        "[service.a]\ncommand = [\"a\"]\none-shot = true
         [service.b]\ncommand = [\"b\"]\nrequires = [\"a\"]",
    );
    let start = pasture.shepherd.start("b", None);
    assert!(pasture.get(start.clone()).is_err());
    assert_eq!(pasture.world.running(), ["a"]);
    pasture.end("a", Exit::Code(0));
    assert_eq!(pasture.get(start), Ok(true));
    assert_eq!((pasture.phase("a"), pasture.phase("b")), (Phase::Stopped, Phase::Running));
    let start = pasture.shepherd.start("a", None);
    assert!(pasture.get(start.clone()).is_err());
    pasture.end("a", Exit::Code(1));
    assert!(pasture.get(start).is_err());
    assert_eq!(pasture.phase("a"), Phase::Failed);
}

#[test]
fn timers_ring_by_interval_and_by_calendar() {
    let pasture = Pasture::new(
        "[service.often]\ncommand = [\"often\"]\ntimer = { every = \"5m\" }
         [service.daily]\ncommand = [\"daily\"]\ntimer = { calendar = \"mon..fri 03:00\" }",
    );
    pasture.start("often").unwrap();
    pasture.start("daily").unwrap();
    pasture.pass(299_000);
    assert_eq!(pasture.world.done(), [""; 0]);
    pasture.pass(1_000);
    assert_eq!(pasture.world.done(), ["run often"]);
    // One that still runs is not run twice.
    pasture.pass(300_000);
    assert_eq!(pasture.world.done(), [""; 0]);
    pasture.end("often", Exit::Code(0));
    pasture.pass(300_000);
    assert_eq!(pasture.world.done(), ["run often"]);
    pasture.stop("often").unwrap();
    // From Friday evening until Monday morning.
    let monday = i64::try_from(world::FRIDAY).unwrap() + 55 * 3600 + 1200;
    assert_eq!(pasture.status("daily").next, Some(monday));
    pasture.world.done();
    pasture.pass(56 * 3_600_000);
    assert_eq!(pasture.world.done(), ["run daily"]);
    assert_eq!(pasture.phase("daily"), Phase::Running);
    pasture.stop("daily").unwrap();
    assert_eq!(pasture.status("daily").next, None);
}

#[test]
fn a_connection_starts_a_service_and_the_next_one_does_again() {
    let pasture =
        Pasture::new("[service.a]\ncommand = [\"a\"]\nsocket = { listen = [\"tcp:127.0.0.1:0\"] }");
    assert_eq!(pasture.start("a"), Ok(true));
    assert_eq!(pasture.world.done(), ["listen a"]);
    for _ in 0..2 {
        pasture.world.connect("a");
        pasture.hand.run_until_idle();
        assert_eq!(pasture.world.done(), ["run a"]);
        pasture.end("a", Exit::Code(0));
        pasture.hand.run_until_idle();
        assert_eq!(pasture.phase("a"), Phase::Running);
    }
    assert_eq!(pasture.stop("a"), Ok(true));
}

#[test]
fn restarting_takes_the_dependents_along() {
    let pasture = Pasture::new(CHAIN);
    pasture.start("proxy").unwrap();
    pasture.world.done();
    pasture.get(pasture.shepherd.restart("networking", None)).unwrap();
    assert_eq!(pasture.world.running(), ["database", "networking", "proxy", "web"]);
    let runs: Vec<_> =
        pasture.world.done().into_iter().filter(|done| done.starts_with("run")).collect();
    assert_eq!(runs, ["run networking", "run web", "run proxy"]);
}

#[test]
fn booting_starts_what_is_enabled_and_shutting_down_stops_all() {
    let pasture = Pasture::new(CHAIN);
    assert_eq!(pasture.get(pasture.shepherd.boot("1")), Ok(vec![]));
    assert_eq!(pasture.world.running(), ["database", "networking", "web"]);
    pasture.get(pasture.shepherd.shut_down()).unwrap();
    assert!(pasture.world.running().is_empty());
}

#[test]
fn reloading_adds_changes_and_removes() {
    let pasture = Pasture::new(CHAIN);
    pasture.start("proxy").unwrap();
    let more = CHAIN.replace("[\"web\"]\n    requires", "[\"web\", \"-v\"]\n    requires")
        + "[service.extra]\n";
    let more = more.replace("[service.proxy]", "[service.porch]");
    pasture.world.define(&more);
    let reloaded = pasture.get(pasture.shepherd.reload()).unwrap();
    assert_eq!(reloaded.added, ["extra", "porch"]);
    assert_eq!(reloaded.changed, ["web"]);
    assert_eq!(reloaded.removed, ["proxy"]);
    assert_eq!(pasture.world.running(), ["database", "networking", "web"]);
    let status = pasture.get(pasture.shepherd.status("proxy", 0));
    assert_eq!(status, Err("service 'proxy' could not be found".into()));
}

#[test]
fn actions_are_signals_and_commands() {
    let pasture = Pasture::new(
        "[service.a]\ncommand = [\"a\"]
         [service.a.actions.rotate]\nsignal = \"USR1\"
         [service.a.actions.check]\ncommand = [\"check\", \"it\"]",
    );
    let act = |action: &str| {
        let said = pasture.get(pasture.shepherd.action("a", action, vec![]))?;
        Ok(said.as_str().unwrap().to_owned())
    };
    let idle: Result<String, String> = act("check");
    assert_eq!(idle, Err("service a is not running".into()));
    pasture.start("a").unwrap();
    assert_eq!(act("check"), Ok("ran check it".into()));
    assert_eq!(act("rotate"), Ok("Sent USR1 to a.".into()));
    assert_eq!(act("dance"), Err("service a has no action dance".into()));
}

#[test]
fn transients_come_and_go() {
    let pasture = Pasture::new("");
    let definition = "{\"command\": [\"job\"], \"respawn\": false}";
    let spawn = || pasture.get(pasture.shepherd.spawn_transient("job", definition, None));
    assert_eq!(spawn(), Ok(true));
    assert_eq!(spawn(), Err("service job is up".into()));
    assert!(pasture.status("job").transient);
    pasture.end("job", Exit::Code(0));
    assert_eq!(spawn(), Ok(true));
}
