//! `hob get-binding`, `hob list-bindings`, `hob offer` and `hob forward`: what programs and people on a
//! machine of a fleet ask of its hob.

use std::time::Duration;

use anyhow::Context as _;
use ocapn::{FromValue as _, IntoValue as _, Ref, Value};
use serde_json::json;

use super::fleet::shown;
use crate::capfile;
use crate::cli::fleet::{Forward, GetBinding, MachineCommon, Offer, Offered};
use crate::client::{Client, within};
use crate::exit::{BadUsage, Exit, Failure};
use crate::fleet::{Service, ShownBinding};
use crate::kinds::Name;
use crate::notation::{self, json::to_json};
use crate::output::screen::Screen;
use crate::output::{self, json};
use crate::state::StateDir;

/// The machine's hob, and a node to ask it with.
struct Hob {
    client: Client,
    object: Ref,
}

impl Hob {
    /// Asks the machine that was chosen. `others` are dialled as well.
    async fn ask<T>(
        common: &MachineCommon,
        others: &[ocapn::Sturdyref],
        work: impl AsyncFnOnce(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let patience: Duration = common.patience.timeout;
        within(patience, async {
            let sturdyref = Self::sturdyref(common)?;
            let client = Client::start(others.iter().chain([&sturdyref])).await?;
            let asked = match client.resolve(&sturdyref).await {
                Ok(object) => {
                    let hob = Self { client, object };
                    let outcome = work(&hob).await;
                    (hob.client, outcome)
                }
                Err(error) => (client, Err(error.context("the machine's hob"))),
            };
            asked.0.end().await;
            asked.1
        })
        .await
    }

    /// That of the machine that was chosen.
    fn sturdyref(common: &MachineCommon) -> anyhow::Result<ocapn::Sturdyref> {
        match &common.hob {
            Some(path) => Ok(capfile::read(path)?),
            None => Self::here(&StateDir::named(common.state.clone())?),
        }
    }

    /// That of the machine that runs in a state directory.
    fn here(state: &StateDir) -> anyhow::Result<ocapn::Sturdyref> {
        match capfile::read(&state.path().join("hob.cap")) {
            Err(error) if error.is_missing() => {
                let directory = state.path().display();
                let what = format!("no machine of a fleet runs in {directory}");
                let next = format!("hob join --state {directory} --enrol FILE, or name another");
                Err(Failure::new(Exit::Unreachable, what).next(next).into())
            }
            outcome => Ok(outcome?),
        }
    }

    async fn call(&self, args: Vec<Value>) -> anyhow::Result<Value> {
        self.client.call(&self.object, args).await
    }

    async fn bindings(&self) -> anyhow::Result<Vec<ShownBinding>> {
        let answer = self.call(vec![Value::symbol("bindings")]).await?;
        Vec::from_value(answer).context("the hob's answer to bindings")
    }
}

pub(crate) async fn list_bindings(common: &MachineCommon, screen: Screen) -> anyhow::Result<()> {
    let bindings = Hob::ask(common, &[], async |hob| hob.bindings().await).await?;
    if common.form.json {
        let bindings: Vec<_> = bindings.iter().map(shown::name).collect();
        return json::print(json!({"bindings": bindings}));
    }
    if bindings.is_empty() {
        return output::line("nothing is bound here");
    }
    output::line(&shown::names(&bindings).render(screen))
}

/// Says what is bound to a name; or calls it, if there is something to be sent.
pub(crate) async fn get_binding(options: &GetBinding) -> anyhow::Result<()> {
    let GetBinding { name, words, watch: watched, common } = options;
    if *watched {
        return watch(name, common).await;
    }
    let no_references = |_: &str| Err("name no files here: use hob call".to_owned());
    let args: Result<Vec<Value>, _> =
        words.iter().map(|word| notation::parse(word, &mut { no_references })).collect();
    let args = args?;
    let shown = Hob::ask(common, &[], async |hob| {
        let get = vec![Value::symbol("get-binding"), name.as_str().into()];
        if words.is_empty() {
            // What there is to know is asked first: it is there even if the object is not.
            let all = hob.bindings().await?;
            let found = all.into_iter().find(|bound| bound.name == *name);
            hob.call(get).await?;
            return Ok(found.map(|bound| Shown::Binding(Box::new(bound))));
        }
        let object = match hob.call(get).await? {
            Value::Ref(object) => object,
            other => {
                let what = format!("what is bound as {name} is no object, but {}", other.kind());
                return Err(BadUsage(what).into());
            }
        };
        let answer = hob.client.call(&object, args).await?;
        Ok(Some(match common.form.json {
            true => Shown::Json(json!({"fulfilled": to_json(&answer, false)})),
            false if matches!(answer, Value::Undefined) => Shown::Text(String::new()),
            false => Shown::Text(notation::print(&answer, false)),
        }))
    });
    match shown.await? {
        Some(Shown::Binding(bound)) if common.form.json => {
            json::print(json!({"binding": shown::name(&bound)}))
        }
        Some(Shown::Binding(bound)) => {
            let from = bound.from.map(|from| format!(", from {from}")).unwrap_or_default();
            let bar = if bound.rules.is_empty() { "" } else { " | " };
            let requires = shown::requires(bound.requires.as_deref());
            let now = bound.unavailable.map(|why| format!("; {why}")).unwrap_or_default();
            output::line(&output::harmless(&format!(
                "{name} is {}{from}{requires}{bar}{}{now}",
                bound.what, bound.rules
            )))
        }
        Some(Shown::Json(value)) => json::print(value),
        Some(Shown::Text(text)) if !text.is_empty() => output::line(&text),
        Some(Shown::Text(_)) | None => Ok(()),
    }
}

/// What is to be printed. Made while there is a session that references live on.
enum Shown {
    Binding(Box<ShownBinding>),
    Json(serde_json::Value),
    Text(String),
}

pub(crate) async fn offer(options: &Offer) -> anyhow::Result<()> {
    let Offer { name, what, reads, grants, common } = options;
    let target = what.file.as_deref().map(capfile::read).transpose()?;
    let others: Vec<_> = target.iter().cloned().collect();
    Hob::ask(common, &others, async |hob| {
        let Some(target) = &target else {
            let service = service(what)?.into_value();
            let args = vec![Value::symbol("offer-service"), name.as_str().into(), service];
            return hob.call(args).await;
        };
        let object = hob.client.resolve(target).await?;
        let mut how = Vec::new();
        if !reads.is_empty() {
            let reads = reads.iter().map(|method| method.as_str().into()).collect();
            how.push(("reads".into(), Value::List(reads)));
        }
        how.push(("grants".into(), (*grants).into()));
        let args =
            vec![Value::symbol("offer"), name.as_str().into(), object.into(), Value::Struct(how)];
        hob.call(args).await
    })
    .await?;
    if common.form.json {
        return json::print(json!({"offered": name}));
    }
    output::line(&format!("offered {name}"))
}

/// What the machine is to make.
fn service(what: &Offered) -> anyhow::Result<Service> {
    Ok(match what {
        Offered { tcp: Some(address), .. } => Service::Tcp(address.clone()),
        Offered { unix: Some(path), .. } => Service::Unix(path.clone()),
        Offered { kind: Some(kind), .. } => Service::Kind(Name(kind.name().to_owned())),
        Offered { postgres: Some(database), .. } if database.starts_with('{') => {
            Service::Postgres(database.clone())
        }
        Offered { postgres: Some(database), .. } => {
            Service::Postgres(json!({ "database": database }).to_string())
        }
        _ => return Err(BadUsage("nothing is offered".to_owned()).into()),
    })
}

pub(crate) async fn forward(options: &Forward) -> anyhow::Result<()> {
    let Forward { name, listen, end: _, common } = options;
    let message = match listen {
        Some(at) => vec![Value::symbol("forward"), name.as_str().into(), at.as_str().into()],
        None => vec![Value::symbol("unforward"), name.as_str().into()],
    };
    let answer = Hob::ask(common, &[], async |hob| hob.call(message).await).await?;
    match (listen, answer) {
        (Some(_), at) => {
            let at = at.as_str().unwrap_or_default().to_owned();
            if common.form.json {
                return json::print(json!({"forward": name, "at": at}));
            }
            output::line(&format!("{name} is at {at}"))
        }
        (None, Value::Bool(false)) => {
            Err(Failure::new(Exit::NoSuchObject, format!("{name} is not forwarded")).into())
        }
        (None, _) if common.form.json => json::print(json!({"ended": name})),
        (None, _) => output::line(&format!("{name} is no longer forwarded")),
    }
}

/// Says what is bound to a name, now and whenever that changes, until it is interrupted.
async fn watch(name: &str, common: &MachineCommon) -> anyhow::Result<()> {
    // Nothing may happen for long: only the first answer is waited for in a time.
    let sturdyref = Hob::sturdyref(common)?;
    let client = Client::start([&sturdyref].into_iter()).await?;
    let object = within(common.patience.timeout, client.resolve(&sturdyref)).await?;
    let hob = Hob { client, object };
    loop {
        let changed = hob.object.send(vec![Value::symbol("watch"), name.into()]);
        let all = hob.bindings().await?;
        let bound = all.iter().find(|bound| bound.name == name).map(shown::name);
        json::print_line(json!({"name": name, "binding": bound}))?;
        hob.client.outcome(&hob.object, changed).await?;
    }
}
