//! Generations, and what is left when the process is killed at any moment.

use crate::desired::executor::rollout::Status;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::faults::killed_after;
use super::*;
use crate::desired::machine::{Generation, GenerationId};

const KEEP: RolloutSettings = RolloutSettings { keep: 3 };

/// The rollout of a machine that has files only, as after a start.
fn rollout(sandbox: &Sandbox) -> Rollout<Composite> {
    let parts: Vec<Box<dyn Executor>> = vec![Box::new(sandbox.files())];
    Rollout::open(&sandbox.path("generations"), Composite::new(parts), KEEP).unwrap()
}

fn generation(number: u64) -> Generation {
    let state = state(json!({"files": {
        "/etc/motd": {"content": format!("generation {number}\n")},
        format!("/srv/{number}/x"): {"content": ""},
    }}));
    Generation { number, state }
}

fn confirmed(rollout: &mut Rollout<Composite>, generation: &Generation) {
    rollout.attempt(generation, &quiet).unwrap();
    rollout.confirm(&generation.id()).unwrap();
}

#[test]
fn generations_are_tried_confirmed_and_gone_back_from() {
    let sandbox = Sandbox::new();
    let mut rollout = rollout(&sandbox);
    assert_eq!(rollout.status(), Status { held: Generation::none().id(), unfinished: None });
    let (one, two) = (generation(1), generation(2));
    confirmed(&mut rollout, &one);
    rollout.attempt(&two, &quiet).unwrap();
    assert_eq!(rollout.status(), Status { held: one.id(), unfinished: Some(two.id()) });
    assert!(matches!(rollout.repair(&quiet), Err(RolloutError::Unconfirmed(_))));
    assert!(matches!(rollout.confirm(&one.id()), Err(RolloutError::NotWaiting(_))));
    rollout.roll_back(&quiet).unwrap();
    assert_eq!(rollout.status(), Status { held: one.id(), unfinished: None });
    assert_eq!(fs::read_to_string(sandbox.root("/etc/motd")).unwrap(), "generation 1\n");
    assert!(!sandbox.root("/srv/2").exists());
    // To go back when nothing is tried, and to confirm twice, does no harm.
    rollout.roll_back(&quiet).unwrap();
    rollout.confirm(&one.id()).unwrap();

    fs::remove_file(sandbox.root("/etc/motd")).unwrap();
    let drift: Vec<String> = rollout.check().unwrap().iter().map(Drift::to_string).collect();
    assert_eq!(drift, ["files /etc/motd: nothing instead of a file"]);
    rollout.repair(&quiet).unwrap();
    assert_eq!(rollout.check().unwrap(), []);
}

#[test]
fn one_may_take_the_place_of_another_that_is_tried() {
    let sandbox = Sandbox::new();
    let mut rollout = rollout(&sandbox);
    confirmed(&mut rollout, &generation(1));
    rollout.attempt(&generation(2), &quiet).unwrap();
    rollout.attempt(&generation(3), &quiet).unwrap();
    rollout.roll_back(&quiet).unwrap();
    assert_eq!(rollout.status().held, generation(1).id());
    assert_eq!(rollout.check().unwrap(), []);
}

#[test]
fn so_many_generations_are_kept_and_nobody_else_reads_them() {
    let sandbox = Sandbox::new();
    let mut rollout = rollout(&sandbox);
    for number in 1..=5 {
        confirmed(&mut rollout, &generation(number));
    }
    let numbers: Vec<u64> = rollout.generations().iter().map(|id| id.number).collect();
    assert_eq!(numbers, [3, 4, 5]);
    let mut names = Vec::new();
    for entry in fs::read_dir(sandbox.path("generations")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    let name = |number| {
        let id = generation(number).id();
        format!("{number}-{}.json", id.digest.short())
    };
    assert_eq!(names, [name(3), name(4), name(5), "journal.json".to_owned()]);
    let mode = fs::metadata(sandbox.path("generations")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // An earlier one can be had again.
    let four = rollout.load(&generation(4).id()).unwrap();
    confirmed(&mut rollout, &four);
    let numbers: Vec<u64> = rollout.generations().iter().map(|id| id.number).collect();
    assert_eq!(numbers, [3, 5, 4]);
}

#[test]
fn damage_is_said() {
    let sandbox = Sandbox::new();
    let mut rollout = rollout(&sandbox);
    let one = generation(1);
    confirmed(&mut rollout, &one);
    let name = format!("generations/1-{}.json", one.id().digest.short());
    let text = fs::read_to_string(sandbox.path(&name)).unwrap();
    sandbox.write(&name, &text.replace("generation 1", "generation 9"));
    let error = rollout.check().unwrap_err().to_string();
    assert!(error.contains("the state's digest is"), "{error}");
    sandbox.write("generations/journal.json", "{}");
    let parts = Composite::new(Vec::new());
    let error = Rollout::open(&sandbox.path("generations"), parts, KEEP).err().unwrap().to_string();
    assert!(error.contains("journal.json"), "{error}");
}

/// What a machine does when it starts: it goes back from what was not confirmed.
fn restarted(sandbox: &Sandbox) -> Rollout<Composite> {
    let mut rollout = rollout(sandbox);
    rollout.roll_back(&quiet).unwrap();
    rollout
}

/// Everything below the machine's root, and what is in it.
fn tree(dir: &Path) -> Vec<String> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let mut lines = Vec::new();
    for path in entries {
        if path.is_dir() {
            lines.push(path.display().to_string());
            lines.append(&mut tree(&path));
        } else {
            lines.push(format!("{}: {:?}", path.display(), fs::read(&path).unwrap()));
        }
    }
    lines
}

#[test]
fn killed_at_any_step_and_again_while_going_back() {
    let (one, two) = (generation(1), generation(2));
    let mut outcomes: Vec<GenerationId> = Vec::new();
    for first in 0.. {
        let mut survived = false;
        for second in 0.. {
            let sandbox = Sandbox::new();
            sandbox.write("root/etc/motd", "before\n");
            let before = tree(&sandbox.path("root"));
            confirmed(&mut rollout(&sandbox), &one);
            survived = killed_after(first, || confirmed(&mut rollout(&sandbox), &two)).is_some();
            let again = killed_after(second, || drop(restarted(&sandbox)));
            let mut rollout = restarted(&sandbox);
            let held = rollout.status().held;
            assert!([one.id(), two.id()].contains(&held), "{first} {second}");
            assert_eq!(rollout.check().unwrap(), [], "{first} {second}");
            assert_eq!(rollout.status().unfinished, None);
            outcomes.push(held);
            // From there it goes on as if nothing had happened, and leaves nothing behind.
            confirmed(&mut rollout, &two);
            assert_eq!(rollout.check().unwrap(), []);
            confirmed(&mut rollout, &Generation { number: 3, state: DesiredState::default() });
            assert_eq!(tree(&sandbox.path("root")), before, "{first} {second}");
            if again.is_some() {
                break;
            }
        }
        if survived {
            break;
        }
    }
    // It was killed at many steps, before and after the confirmation.
    assert!(outcomes.len() > 100, "{}", outcomes.len());
    assert!(outcomes.contains(&one.id()) && outcomes.contains(&two.id()));
}

#[test]
fn killed_at_any_step_with_all_parts() {
    let wanted = |number: u64, package: &str, web: &str| Generation {
        number,
        state: state(json!({
            "files": {"/etc/web": {"content": format!("{number}")}},
            "packages": [package],
            "services": {"web": {"state": web, "restart-on": ["/etc/web"]}},
        })),
    };
    let one = wanted(1, "hello", "running");
    let two = wanted(2, "sl", "running");
    for kill in 0.. {
        let sandbox = Sandbox::new();
        sandbox.write("available/hello", "");
        sandbox.write("available/sl", "");
        fs::create_dir_all(sandbox.path("units/web.service")).unwrap();
        let open = || {
            let parts: Vec<Box<dyn Executor>> = vec![
                Box::new(sandbox.files()),
                Box::new(sandbox.packages()),
                Box::new(sandbox.services()),
            ];
            Rollout::open(&sandbox.path("generations"), Composite::new(parts), KEEP).unwrap()
        };
        confirmed(&mut open(), &one);
        let survived = killed_after(kill, || confirmed(&mut open(), &two)).is_some();
        let mut rollout = open();
        rollout.roll_back(&quiet).unwrap();
        assert_eq!(rollout.check().unwrap(), [], "{kill}");
        let package = if rollout.status().held == one.id() { "hello" } else { "sl" };
        let installed: Vec<_> = fs::read_dir(sandbox.path("installed")).unwrap().collect();
        assert_eq!(installed.len(), 1, "{kill}");
        assert!(sandbox.path("installed").join(package).exists(), "{kill}");
        confirmed(&mut rollout, &Generation { number: 3, state: DesiredState::default() });
        assert!(
            !sandbox.root("/etc").exists() && !sandbox.path("units/web.service/active").exists()
        );
        if survived {
            assert!(kill > 20, "{kill}");
            break;
        }
    }
}
