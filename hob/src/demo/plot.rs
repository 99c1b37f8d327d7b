//! What happens in the demo, step by step.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use ocapn::{PeerLocator, Ref, Sturdyref, Value};

use super::cast::Cast;
use super::table::{Row, Sums, show};
use crate::capfile;
use crate::exit::Broke;
use crate::fleet::short;
use crate::notation::print;

const MACHINES: [&str; 2] = ["db-machine", "app-machine"];

/// What the application writes, and must read again.
const TEXT: &str = "hello from app-machine";

/// Plays it all.
pub(super) async fn play(cast: &mut Cast<'_>) -> anyhow::Result<()> {
    let story = cast.story;
    story.plain("Three hob processes, each with a state directory and an identity of its own.");

    story.heading("1. A boss.");
    let locator = cast.start("boss", "boss", None).await?;
    introduce(cast, "boss", &locator)?;
    let boss = cast.holds("boss", "boss.cap").await?;

    story.heading("2. The boss expects two machines.");
    let mut enrolments = Vec::new();
    for name in MACHINES {
        enrolments.push(expect(cast, &boss, name).await?);
    }

    story.heading("3. The machines come up, knowing nothing but their enrolment.");
    for (name, enrolment) in MACHINES.into_iter().zip(&enrolments) {
        enrol(cast, name, enrolment).await?;
    }

    story.heading("4. db-machine has a database, and binds it as db.");
    bind_database(cast).await?;

    story.heading("5. The boss gives app-machine the database of db-machine.");
    let words = ["bind", "app-machine", "db", "db-machine"];
    cast.call(&boss, message(words)).await?;
    cast.says("boss", "asked db-machine to grant its db").await?;
    cast.says("app-machine", "db-machine:db is granted for good by ").await?;
    cast.says("app-machine", "bound db to an object elsewhere").await?;

    story.heading("6. An application on app-machine uses what is bound as db there.");
    use_database(cast).await?;
    tell_the_way(cast).await?;

    story.heading("7. What there is now.");
    let mut rows = Vec::new();
    let machines = cast.call(&boss, message(["list-machines"])).await?;
    for name in ["boss", "db-machine", "app-machine"] {
        rows.push(row(cast, &boss, &machines, name).await?);
    }
    story.plain(&show(&rows));
    Ok(())
}

/// A method and names.
fn message<const N: usize>(words: [&'static str; N]) -> Vec<Value> {
    let mut words = words.into_iter();
    let method = words.next().map(Value::symbol);
    method.into_iter().chain(words.map(Value::from)).collect()
}

fn introduce(cast: &Cast<'_>, name: &str, locator: &str) -> anyhow::Result<PeerLocator> {
    let locator: PeerLocator = locator.parse()?;
    cast.story.tell(
        name,
        &format!(
            "runs as {} at {}, {}",
            short(&locator.designator),
            address(&locator),
            locator.transport
        ),
    );
    Ok(locator)
}

fn address(locator: &PeerLocator) -> String {
    let hint = |name| locator.hints.get(name).map_or("?", String::as_str);
    format!("{}:{}", hint("host"), hint("port"))
}

/// An enrolment that has been written down.
struct Written {
    sturdyref: Sturdyref,
    path: PathBuf,
}

/// Has the boss expect a machine, and writes its enrolment to a file.
async fn expect(cast: &mut Cast<'_>, boss: &Ref, name: &'static str) -> anyhow::Result<Written> {
    cast.call(boss, message(["create-machine", name])).await?;
    cast.says("boss", &format!("created {name}: ")).await?;
    let Value::Sturdyref(sturdyref) = cast.call(boss, message(["token", name])).await? else {
        bail!("the boss gave no enrolment for {name}");
    };
    cast.says("boss", &format!("enrolment {name}: minted ")).await?;
    let file = format!("{name}.enrol.cap");
    let path = cast.file(&file);
    capfile::write(&path, &sturdyref)?;
    cast.story.tell("demo", &format!("wrote it to {file}, mode 0600"));
    Ok(Written { sturdyref: *sturdyref, path })
}

/// Starts a machine with its enrolment, and checks that that is then worth nothing.
async fn enrol(cast: &mut Cast<'_>, name: &'static str, enrolment: &Written) -> anyhow::Result<()> {
    let locator = cast.start(name, "join", Some(&enrolment.path)).await?;
    cast.says("boss", &format!("registered {name}: ")).await?;
    introduce(cast, name, &locator)?;
    // The boss by a way that the operator has, the secret the machine's.
    let by_socket = capfile::read(&cast.file("boss").join("boss.cap"))?;
    let again = Sturdyref::new(by_socket.peer, enrolment.sturdyref.swiss.clone());
    let used = cast.resolve(&again).await?;
    let register = vec![Value::symbol("register"), (&used).into(), again.into()];
    match cast.call(&used, register).await {
        Err(error) if error.downcast_ref::<Broke>().is_some() => {
            cast.says("boss", &format!("refused {name}: ")).await?;
            cast.story.tell("demo", &format!("tried {name}.enrol.cap again: refused"));
            Ok(())
        }
        Err(error) => Err(error),
        Ok(_) => bail!("{name}'s enrolment can be used a second time"),
    }
}

/// Makes a database on db-machine, and binds it there.
async fn bind_database(cast: &mut Cast<'_>) -> anyhow::Result<()> {
    let admin = cast.holds("db-machine", "admin.cap").await?;
    let hob = cast.holds("db-machine", "hob.cap").await?;
    let mut export = message(["export", "db"]);
    export.push(Value::symbol("kv"));
    cast.call(&admin, export).await?;
    let database = cast.call(&admin, message(["object", "db"])).await?;
    let mut register = message(["register-binding", "db"]);
    register.push(database);
    cast.call(&hob, register).await?;
    cast.says("db-machine", "bound db to ").await?;
    Ok(())
}

/// Has a program on app-machine write to and read from what is bound as `db` there.
async fn use_database(cast: &mut Cast<'_>) -> anyhow::Result<()> {
    let admin = cast.holds("app-machine", "admin.cap").await?;
    let mut export = message(["export", "guests"]);
    export.push(Value::symbol("guestbook"));
    cast.call(&admin, export).await?;
    let guests = cast.call(&admin, message(["object", "guests"])).await?;
    let Value::Ref(guests) = guests else {
        bail!("app-machine gave no guestbook");
    };
    let read = cast.call(&guests, message(["sign", TEXT])).await?;
    cast.says("app-machine", "read from db: ").await?;
    ensure!(
        read.as_str() == Some(TEXT),
        "app-machine wrote {TEXT:?} and read {}",
        print(&read, false)
    );
    Ok(())
}

/// Says by which way app-machine reaches the database: it may or may not have been
/// handed over, and a story is to be true.
async fn tell_the_way(cast: &mut Cast<'_>) -> anyhow::Result<()> {
    let admin = cast.holds("db-machine", "admin.cap").await?;
    let db = first_locator(&cast.call(&admin, message(["where"])).await?)?.designator;
    let admin = cast.holds("app-machine", "admin.cap").await?;
    let sessions = cast.call(&admin, message(["sessions"])).await?;
    let direct = match &sessions {
        Value::List(sessions) => sessions.iter().any(|session| {
            let verified = field(session, "verified") == Some(&Value::Bool(true));
            verified && field(session, "peer").and_then(Value::as_str) == Some(&db)
        }),
        _ => false,
    };
    let way = if direct {
        "db was handed over: app-machine has a session of its own with db-machine"
    } else {
        "these messages went by way of the boss"
    };
    cast.story.tell("demo", way);
    Ok(())
}

/// The first of the locators that an admin object gives.
fn first_locator(locators: &Value) -> anyhow::Result<PeerLocator> {
    let first = match locators {
        Value::List(uris) => uris.first().and_then(Value::as_str),
        _ => None,
    };
    Ok(first.unwrap_or_default().parse()?)
}

/// What is to be said of a process at the end.
async fn row(
    cast: &mut Cast<'_>,
    boss: &Ref,
    machines: &Value,
    name: &'static str,
) -> anyhow::Result<Row> {
    let admin = cast.holds(name, "admin.cap").await?;
    let locator = first_locator(&cast.call(&admin, message(["where"])).await?)?;
    let traffic = Sums::of(&cast.call(&admin, message(["sessions"])).await?);
    let (state, bindings) = if name == "boss" {
        ("-".to_owned(), "-".to_owned())
    } else {
        let record = record_of(machines, name);
        let known = record.and_then(|record| field(record, "identity")?.as_str());
        ensure!(known == Some(&locator.designator), "the boss takes {name} for somebody else");
        let state = record.and_then(|record| field(record, "state")?.as_symbol());
        let server = cast.call(boss, message(["get-machine", name])).await?;
        let Value::Ref(server) = server else {
            bail!("the boss does not know {name}");
        };
        let bindings = cast.call(&server, message(["list-bindings"])).await?;
        (state.unwrap_or("?").to_owned(), names(&bindings))
    };
    Ok(Row {
        machine: name,
        identity: short(&locator.designator),
        address: address(&locator),
        state,
        bindings,
        traffic,
    })
}

fn record_of<'v>(machines: &'v Value, name: &str) -> Option<&'v Value> {
    let Value::List(machines) = machines else {
        return None;
    };
    let is_it = |record: &&Value| field(record, "name").and_then(Value::as_str) == Some(name);
    machines.iter().find(is_it)
}

/// A field of a struct.
pub(super) fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let Value::Struct(fields) = value else {
        return None;
    };
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn names(bindings: &Value) -> String {
    let Value::List(bindings) = bindings else {
        return "?".to_owned();
    };
    let names: Vec<&str> = bindings.iter().filter_map(Value::as_str).collect();
    names.join(" ")
}
