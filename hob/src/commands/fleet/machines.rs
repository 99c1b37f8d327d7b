//! Machines: made, looked at, removed.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use ocapn::Value;
use serde_json::json;

use super::{Boss, LOOK, shown};
use crate::cli::fleet::Create;
use crate::cli::groups::{Consent, Waiting};
use crate::exit::{BadUsage, Exit, Failure, code};
use crate::fleet::{MANUAL, Revoked, Shown, State, short};
use crate::output::progress::Progress;
use crate::output::screen::{Paint, Screen};
use crate::output::time::about;
use crate::output::{self, json};

/// How often the list is looked at that is watched, if nothing seems to happen: reports
/// of machines are no events.
const WATCH: Duration = Duration::from_secs(5);

/// More than any spec needs.
const MAX_SPEC: u64 = 1 << 20;

pub(super) async fn create(
    boss: &Boss,
    options: &Create,
    screen: Screen,
    quiet: bool,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let name = options.name.as_str();
    let provider = options.provider.as_deref().map_or(Value::Undefined, Value::from);
    let spec = spec(options)?;
    let args = vec![name.into(), provider, spec.map_or(Value::Undefined, Value::from)];
    boss.call("create-machine", args).await?;
    let machine = look(boss, name).await?;
    // Nobody makes it: it comes when somebody has it join.
    let by_hand = machine.provider == MANUAL && !options.waiting.wait;
    let json = options.common.form.json;
    if machine.state == State::Active || options.no_wait || by_hand {
        say(&machine, json, screen, begun)?;
        if by_hand && machine.state == State::Pending && !json {
            let next = format!("hob fleet token create {name} -o {name}.enrol.cap");
            let _unheard = std::io::stderr().write_all(format!("  next: {next}\n").as_bytes());
        }
        return Ok(());
    }
    let machine = wait_for_registration(boss, name, options.waiting, quiet).await?;
    say(&machine, json, screen, begun)
}

fn say(machine: &Shown, json: bool, screen: Screen, begun: Instant) -> anyhow::Result<()> {
    if json {
        return json::print(json!({"machine": shown::machine(machine)}));
    }
    let word = machine.state.word();
    output::line(&match &machine.identity {
        Some(identity) if machine.state == State::Active => {
            let time = begun.elapsed().as_secs_f64();
            let active = screen.paint(Paint::Good, &format!("✓ {word}"));
            format!("{active}  peer {}  {time:.1}s", short(identity))
        }
        _ => format!("{} {word}", screen.paint(Paint::Waiting, "○")),
    })
}

async fn look(boss: &Boss, name: &str) -> anyhow::Result<Shown> {
    boss.typed("show", vec![name.into()]).await
}

async fn wait_for_registration(
    boss: &Boss,
    name: &str,
    waiting: Waiting,
    quiet: bool,
) -> anyhow::Result<Shown> {
    let mut progress = Progress::new(name, quiet);
    let deadline = Instant::now() + waiting.wait_for;
    loop {
        let machine = look(boss, name).await?;
        let why = machine.why.clone().unwrap_or_default();
        match machine.state {
            State::Active => return Ok(machine),
            State::Pending => {
                progress.step(&under_way(&machine));
                progress.note(machine.enrol_expires.map(expires).unwrap_or_default());
            }
            State::Failed => {
                let next = format!("hob fleet create {name} tries again; hob fleet show {name}");
                let what = format!("{name} has failed: {why}");
                if machine.identity_mismatch {
                    let next = "don't go on before you know who answers there";
                    return Err(Failure::new(Exit::IdentityMismatch, what).next(next).into());
                }
                return Err(Failure::new(Exit::Failed, what).next(next).into());
            }
            State::Quarantined | State::Leaving => {
                let what = format!("{name} is {}: {why}", machine.state.word());
                return Err(Failure::new(Exit::Failed, what).into());
            }
        }
        if Instant::now() >= deadline {
            let waited = about(waiting.wait_for);
            let what = format!("{name} is still pending after {waited}: {}", under_way(&machine));
            let next = format!("hob fleet create {name} --wait-for TIME goes on waiting");
            return Err(Failure::new(Exit::Pending, what).next(next).into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn expires(millis: u64) -> String {
    let left = shown::moment(millis).duration_since(SystemTime::now());
    left.map_or("enrol expired".to_owned(), |left| format!("enrol expires {}", about(left)))
}

/// What is being waited for.
fn under_way(machine: &Shown) -> String {
    // The provider has done what it has to do when there is an instance.
    match (&machine.step, &machine.instance) {
        (Some(step), None) => step.clone(),
        (None, None) if machine.provider != MANUAL => "allocate".to_owned(),
        _ => "waiting for register".to_owned(),
    }
}

/// What the provider is to be told, as JSON.
fn spec(options: &Create) -> anyhow::Result<Option<String>> {
    let mut spec = match &options.spec {
        Some(path) => read_spec(path)?,
        None => serde_json::Map::new(),
    };
    for setting in &options.set {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| BadUsage(format!("--set {setting:?}: KEY=VALUE is wanted")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        spec.insert(key.to_owned(), value);
    }
    Ok((!spec.is_empty()).then(|| serde_json::Value::Object(spec).to_string()))
}

fn read_spec(path: &Path) -> anyhow::Result<serde_json::Map<String, serde_json::Value>> {
    let mut text = String::new();
    let read = |from: &mut dyn std::io::Read, text: &mut String| {
        from.take(MAX_SPEC).read_to_string(text).map(drop)
    };
    let name = || format!("the spec {}", path.display());
    if path == Path::new("-") {
        read(&mut std::io::stdin().lock(), &mut text)?;
    } else {
        let file = std::fs::File::open(path);
        file.and_then(|mut file| read(&mut file, &mut text)).with_context(name)?;
    }
    serde_json::from_str(&text).map_err(|error| BadUsage(format!("{}: {error}", name())).into())
}

async fn all(boss: &Boss) -> anyhow::Result<Vec<Shown>> {
    boss.typed("list-machines", Vec::new()).await
}

fn as_json(machines: &[Shown]) -> serde_json::Value {
    json!({"machines": machines.iter().map(shown::machine).collect::<Vec<_>>()})
}

pub(super) async fn list(boss: &Boss, json: bool, screen: Screen) -> anyhow::Result<()> {
    let machines = all(boss).await?;
    if json {
        return json::print(as_json(&machines));
    }
    if machines.is_empty() {
        return output::line("no machines: hob fleet create NAME");
    }
    output::line(&shown::table(&machines, SystemTime::now()).render(screen))
}

/// Prints the list whenever it is another one, for ever.
pub(super) async fn watch(boss: &Boss) -> anyhow::Result<()> {
    let mut after = super::events::last(boss).await?;
    let mut said = None;
    loop {
        let machines = as_json(&all(boss).await?);
        if said.as_ref() != Some(&machines) {
            json::print_line(machines.clone())?;
            said = Some(machines);
        }
        let more = boss.ask("wait", vec![after.into()]);
        match tokio::time::timeout(WATCH, more).await {
            Ok(outcome) => drop(outcome?),
            Err(_elapsed) => {}
        }
        after = super::events::last_after(boss, after).await?;
    }
}

pub(super) async fn show(boss: &Boss, name: &str, json: bool) -> anyhow::Result<()> {
    let machine = look(boss, name).await?;
    if json {
        return json::print(json!({"machine": shown::machine(&machine)}));
    }
    output::line(&output::harmless(&shown::words(&machine, SystemTime::now())))
}

pub(super) async fn destroy(
    boss: &Boss,
    name: &str,
    waiting: Waiting,
    quiet: bool,
) -> anyhow::Result<Revoked> {
    let revoked = boss.typed("destroy-machine", vec![name.into()]).await?;
    if waiting.wait {
        wait_until_gone(boss, name, waiting, quiet).await?;
    }
    Ok(revoked)
}

async fn wait_until_gone(
    boss: &Boss,
    name: &str,
    waiting: Waiting,
    quiet: bool,
) -> anyhow::Result<()> {
    let mut progress = Progress::new(name, quiet);
    let deadline = Instant::now() + waiting.wait_for;
    loop {
        let machine = match look(boss, name).await {
            Err(error) if code(&error) == Exit::NoSuchObject => return Ok(()),
            outcome => outcome?,
        };
        progress.step("waiting for its provider to remove it");
        if Instant::now() >= deadline {
            let why = machine.why.map(|why| format!(": {why}")).unwrap_or_default();
            let what = format!("{name} is still being removed{why}");
            let next = format!("hob fleet show {name}");
            return Err(Failure::new(Exit::Pending, what).next(next).into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks whether that is to be done, if it was not said and somebody can be asked.
pub(super) fn consented(consent: Consent, what: &str) -> anyhow::Result<()> {
    if consent.yes {
        return Ok(());
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let refused = |why: &str| {
        let failure = Failure::new(Exit::Usage, format!("{what}: {why}"));
        Err(failure.next("say --yes if that is what you want").into())
    };
    if !terminal {
        return refused("nobody can be asked here");
    }
    let mut stderr = std::io::stderr();
    stderr.write_all(format!("{what}? [y/N] ").as_bytes())?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => refused("not done"),
    }
}

pub(super) async fn quarantine(
    boss: &Boss,
    name: &str,
    why: Option<&str>,
) -> anyhow::Result<Revoked> {
    let mut args = vec![name.into()];
    args.extend(why.map(Value::from));
    boss.typed("quarantine", args).await
}

pub(super) async fn release(boss: &Boss, name: &str) -> anyhow::Result<Revoked> {
    boss.call("release", vec![name.into()]).await?;
    Ok(Revoked::default())
}
