//! What happens when: the rules that `docs/services.md` states, one test each.

use super::world::Pasture;
use crate::services::process::Exit;
use crate::services::status::Phase;

const CONFLICT: &str = "
    [service.apache]
    command = [\"apache\"]
    provides = [\"http\"]
    autostart = false
    [service.nginx]
    command = [\"nginx\"]
    conflicts = [\"http\"]
    ready = { notify = true }
    autostart = false
";

#[test]
fn a_conflict_is_refused_whoever_says_so() {
    let pasture = Pasture::new(CONFLICT);
    assert_eq!(pasture.start("apache"), Ok(true));
    let refused = "service nginx conflicts with apache, which is up";
    assert_eq!(pasture.start("nginx"), Err(refused.into()));
    pasture.stop("apache").unwrap();
    let starting = pasture.shepherd.start("nginx", None);
    assert!(pasture.get(starting.clone()).is_err());
    // Also by the other one, and while it has only begun to start.
    let refused = "service apache conflicts with nginx, which is up";
    assert_eq!(pasture.start("apache"), Err(refused.into()));
    pasture.world.get_ready("nginx");
    assert_eq!(pasture.get(starting), Ok(true));
    assert_eq!(pasture.start("apache"), Err(refused.into()));
    assert_eq!(pasture.world.running(), ["nginx"]);
}

#[test]
fn of_two_in_conflict_that_are_started_together_one_is() {
    let pasture = Pasture::new(CONFLICT);
    let both = ["nginx", "apache"].map(|name| pasture.shepherd.start(name, None));
    pasture.hand.run_until_idle();
    pasture.world.get_ready("nginx");
    let [nginx, apache] = both.map(|going| pasture.get(going));
    assert_eq!(nginx, Ok(true));
    assert!(apache.unwrap_err().contains("conflicts with nginx"));
}

const PAIR: &str = "
    [service.database]
    command = [\"database\"]
    respawn = { limit = 1, window = \"10s\", delay = \"1s\" }
    [service.web]
    command = [\"web\"]
    requires = [\"database\"]
";

#[test]
fn dependents_keep_running_while_a_requirement_is_started_again() {
    let pasture = Pasture::new(PAIR);
    pasture.start("web").unwrap();
    let before = pasture.status("web").pid;
    pasture.end("database", Exit::Signal(9));
    assert_eq!(pasture.phase("database"), Phase::Starting);
    assert_eq!(pasture.status("web").pid, before);
    pasture.pass(1000);
    assert_eq!(pasture.world.running(), ["database", "web"]);
    assert_eq!(pasture.status("web").pid, before);
}

#[test]
fn dependents_keep_running_when_a_requirement_fails_for_good() {
    let pasture = Pasture::new(PAIR);
    pasture.start("web").unwrap();
    pasture.end("database", Exit::Code(1));
    pasture.pass(1000);
    pasture.end("database", Exit::Code(1));
    pasture.pass(60_000);
    assert_eq!(pasture.phase("database"), Phase::Failed);
    assert_eq!(pasture.phase("web"), Phase::Running);
    assert_eq!(pasture.start("web"), Ok(false));
    // Who starts them anew starts what they require; who stops that stops them.
    assert_eq!(pasture.get(pasture.shepherd.restart("web", None)), Ok(true));
    assert_eq!(pasture.world.running(), ["database", "web"]);
    pasture.stop("database").unwrap();
    assert!(pasture.world.running().is_empty());
}

#[test]
fn a_service_that_is_disabled_is_not_stopped_but_not_started_again() {
    let pasture = Pasture::new(PAIR);
    pasture.start("web").unwrap();
    pasture.get(pasture.shepherd.disable("web")).unwrap();
    assert_eq!(pasture.phase("web"), Phase::Running);
    pasture.end("web", Exit::Signal(9));
    pasture.pass(60_000);
    assert_eq!(pasture.phase("web"), Phase::Failed);
    assert_eq!(pasture.start("web"), Err("service web is disabled".into()));
}

/// One that takes no connection is started by the same one again and again.
#[test]
fn connections_do_not_start_a_service_without_a_pause() {
    let pasture =
        Pasture::new("[service.a]\ncommand = [\"a\"]\nsocket = { listen = [\"tcp:127.0.0.1:0\"] }");
    pasture.start("a").unwrap();
    pasture.world.done();
    let mut runs = 0;
    while pasture.world.try_connect("a") {
        pasture.hand.run_until_idle();
        pasture.end("a", Exit::Code(0));
        runs += 1;
        assert!(runs < 100, "without a pause");
    }
    assert_eq!(runs, 21);
    pasture.pass(1000);
    assert!(pasture.world.try_connect("a"));
    pasture.hand.run_until_idle();
    assert_eq!(pasture.world.running(), ["a"]);
    // After some time without, it is as at first.
    pasture.pass(3000);
    pasture.end("a", Exit::Code(0));
    assert!(pasture.world.try_connect("a"));
}

#[test]
fn a_stopped_service_leaves_no_sockets_open() {
    let pasture =
        Pasture::new("[service.a]\ncommand = [\"a\"]\nsocket = { listen = [\"tcp:127.0.0.1:0\"] }");
    for _ in 0..2 {
        assert_eq!(pasture.start("a"), Ok(true));
        assert_eq!(pasture.world.listening(), ["a"]);
        assert!(pasture.world.try_connect("a"));
        pasture.hand.run_until_idle();
        assert_eq!(pasture.stop("a"), Ok(true));
        assert_eq!(pasture.world.listening(), [""; 0]);
        assert_eq!(pasture.start("a"), Ok(true));
        assert_eq!(pasture.stop("a"), Ok(true));
        assert_eq!(pasture.world.listening(), [""; 0]);
    }
    pasture.pass(10_000);
    assert_eq!(pasture.world.listening(), [""; 0]);
}
