//! Capabilities to some actions of one service, to be given to others.
//!
//! ```text
//!   ci.cap ── audited ── attenuated (actions, expiry) ── handle of the service ── shepherd
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ocapn::actors::attenuate;
use ocapn::persist::RestoreError;
use ocapn::{
    Args, Behaviour, Durable, Fault, FromValue as _, IntoValue as _, MintError, Node, Passable,
    Ref, Reply, Turn, Value, object,
};

use super::controller::Context;
use super::process::World;
use super::refusal::{self, not_found, refused};
use super::shepherd::ShepherdRef;

/// How many grants there may be.
const MAX_GRANTS: usize = 10_000;

/// A grant, as it is listed.
#[derive(Passable, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) id: u64,
    pub(crate) service: String,
    pub(crate) actions: Vec<String>,
    /// Whom it was given to, as far as the giver has said.
    #[passable(default)]
    pub(crate) to: Option<String>,
    /// In seconds since 1970.
    pub(crate) made: i64,
    #[passable(default)]
    pub(crate) expires: Option<i64>,
    pub(crate) revoked: bool,
}

/// A grant with what controls it.
#[derive(Passable, Clone)]
struct Entry {
    grant: Grant,
    controller: Ref,
}

/// Makes and takes back grants.
#[derive(Clone)]
pub(crate) struct Grants {
    context: Context,
    node: Node,
    shepherd: Option<ShepherdRef>,
    last: u64,
    entries: Arc<BTreeMap<u64, Entry>>,
}

#[derive(Passable)]
#[passable(deny_unknown)]
struct Portrait {
    shepherd: Option<ShepherdRef>,
    last: u64,
    entries: Vec<Entry>,
}

impl Grants {
    pub(crate) fn new(context: Context, node: Node) -> Self {
        Self { context, node, shepherd: None, last: 0, entries: Arc::default() }
    }

    pub(crate) fn portray(&self) -> Value {
        Portrait {
            shepherd: self.shepherd.clone(),
            last: self.last,
            entries: self.entries.values().cloned().collect(),
        }
        .into_value()
    }

    pub(crate) fn restore(
        context: Context,
        node: Node,
        portrait: Value,
    ) -> Result<Self, RestoreError> {
        let portrait = Portrait::from_value(portrait);
        let Portrait { shepherd, last, entries } =
            portrait.map_err(|error| RestoreError::new(error.to_string()))?;
        let entries = entries.into_iter().map(|entry| (entry.grant.id, entry)).collect();
        Ok(Self { context, node, shepherd, last, entries: Arc::new(entries) })
    }
}

#[object(reference = pub(crate) GrantsRef)]
impl Grants {
    /// Says for whom the grants are.
    #[method]
    fn serve(&mut self, shepherd: ShepherdRef) {
        self.shepherd = Some(shepherd);
    }

    /// Makes a capability to those actions of a service and to nothing else, for so many
    /// seconds. Gives its sturdyref, by that transport or that of this machine alone.
    #[method]
    fn grant(
        &mut self,
        turn: &mut Turn<'_>,
        service: String,
        actions: Vec<String>,
        to: Option<String>,
        seconds: Option<u64>,
        over: Option<String>,
    ) -> Result<Value, Fault> {
        if actions.is_empty() {
            return Err("a grant is for one action at least".into());
        }
        if self.entries.len() >= MAX_GRANTS {
            return Err(format!("more than {MAX_GRANTS} grants").into());
        }
        let shepherd = self.shepherd.clone().ok_or("nobody grants anything here")?;
        let status = shepherd.call(turn).brief(service)?;
        let known = |action: &&String| {
            ACTIONS.contains(&action.as_str()) || status.actions.contains(action)
        };
        if let Some(unknown) = actions.iter().find(|action| !known(action)) {
            let what = format!("service {} has no action {unknown}", status.name);
            return Err(not_found(&what));
        }
        let id = self.last + 1;
        let made = self.context.seconds();
        let expires = seconds.map(|seconds| made.saturating_add_unsigned(seconds));
        let handle = Handle { shepherd, only: Some(status.name.clone()) };
        let handle = turn.spawn(handle);
        // Of one service, that of all is the same; and who may ask may be told.
        let summary = actions.iter().any(|action| action == "status");
        let more = ["statuses", "observe"].into_iter().filter(|_| summary).map(str::to_owned);
        let methods = actions.iter().cloned().chain(more);
        let mut attenuation = attenuate(handle).methods(methods);
        if let Some(seconds) = seconds {
            let at = self.context.clock.now().saturating_add(Duration::from_secs(seconds));
            attenuation = attenuation.expires(at, self.context.clock.clone());
        }
        let (proxy, controller) = attenuation.spawn(turn);
        let name = to.clone().map_or_else(|| id.to_string(), |to| format!("{id} ({to})"));
        let front = Audited { world: self.context.world.clone(), proxy, name };
        let front = turn.spawn(front);
        let over = over.as_deref().unwrap_or("unix");
        let sturdyref = self.node.mint_for(&front, over).map_err(|error| match error {
            MintError::NoNetlayer(_) => format!("this shepherd does not listen by {over}"),
            error => error.to_string(),
        })?;
        let grant = Grant { id, service: status.name, actions, to, made, expires, revoked: false };
        self.context.world.audit(format!(
            "granted id={id} service={} actions={} to={:?} expires={expires:?}",
            grant.service,
            grant.actions.join(","),
            grant.to,
        ));
        self.last = id;
        Arc::make_mut(&mut self.entries).insert(id, Entry { grant, controller });
        Ok(sturdyref.into())
    }

    /// Takes a grant back, at once: also from those who are connected.
    #[method]
    fn revoke(&mut self, turn: &mut Turn<'_>, id: u64) -> Result<bool, Fault> {
        let entry = Arc::make_mut(&mut self.entries).get_mut(&id);
        let entry = entry.ok_or_else(|| not_found(&format!("there is no grant {id}")))?;
        if entry.grant.revoked {
            return Ok(false);
        }
        entry.grant.revoked = true;
        turn.call(&entry.controller, vec![Value::symbol("revoke")])?;
        self.context.world.audit(format!("revoked id={id}"));
        Ok(true)
    }

    /// All that were made.
    #[method]
    fn list(&self) -> Vec<Grant> {
        self.entries.values().map(|entry| entry.grant.clone()).collect()
    }

    /// The last lines of the record of what was granted, revoked, used and refused.
    #[method]
    fn audit(&self, turn: &mut Turn<'_>, lines: u64) -> ocapn::Answer<super::process::Lines> {
        let world = self.context.world.clone();
        turn.spawn_async(async move |_here| {
            Ok(world.audited(usize::try_from(lines).unwrap_or(usize::MAX)).await?)
        })
    }
}

/// What can be done with every service, and so granted.
pub(crate) const ACTIONS: [&str; 10] =
    ["status", "start", "stop", "restart", "roll", "enable", "disable", "follow", "doc", "observe"];

/// What the holder of `herd.cap` has, or of a grant: the shepherd's methods, with what
/// a service's own definition says as methods too. If it is of one service only, of
/// nothing but that.
///
/// A method's first argument is the service's name. It may be empty if there is one only.
pub(crate) struct Handle {
    pub(crate) shepherd: ShepherdRef,
    pub(crate) only: Option<String>,
}

/// What concerns no one service.
const WHOLE: [&str; 8] =
    ["statuses", "reload", "spawn", "watch", "events", "grants", "action", "describe"];

impl Behaviour for Handle {
    fn receive(&self, turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        let Some(Value::Symbol(method)) = args.first().cloned() else {
            return Err("a service is told what to do by a method first".into());
        };
        let method = method.as_str();
        // A service may have an action of its own that is called so.
        let own = method == "reload" && args.len() > 1;
        if WHOLE.contains(&method) && !own {
            return match &self.only {
                None => turn.call(self.shepherd.untyped(), args).map(Reply::value),
                // Of what one may see there is one service only.
                Some(name) if method == "statuses" => {
                    let status = self.shepherd.call(turn).brief(name.clone())?;
                    Ok(Reply::value(vec![status].into_value()))
                }
                Some(_) => Err(refused("this is for one service only")),
            };
        }
        let Some(Value::String(name)) = args.get(1).cloned() else {
            return Err(format!("{method}: a service's name, a string, is missing").into());
        };
        if let Some(only) = &self.only {
            // By whatever name, if it has that name; what others there are is not told.
            let status = self.shepherd.call(turn).brief(only.clone())?;
            let named = |provided: &String| *provided == *name;
            if !name.is_empty() && !status.provides.iter().any(named) {
                return Err(refused("this is for another service"));
            }
            if let Some(name) = args.get_mut(1) {
                *name = only.as_str().into();
            }
        }
        if method == "doc" {
            let status = self.shepherd.call(turn).brief(name.as_str())?;
            return Ok(Reply::value(status.doc.into_value()));
        }
        if ACTIONS.contains(&method) {
            return turn.call(self.shepherd.untyped(), args).map(Reply::value);
        }
        let more = args.split_off(2);
        let name = String::from_value(args.swap_remove(1))?;
        let answer = self.shepherd.call(turn).action(name, method.to_owned(), more)?;
        Ok(Reply::value(answer))
    }
}

impl Durable for Handle {
    fn portray(&self) -> Value {
        (self.shepherd.clone(), self.only.clone()).into_value()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let portrait = <(ShepherdRef, Option<String>)>::from_value(portrait);
        let (shepherd, only) = portrait.map_err(|error| RestoreError::new(error.to_string()))?;
        Ok(Self { shepherd, only })
    }
}

/// Writes down who does what by a grant, and what was refused.
pub(crate) struct Audited {
    world: Arc<dyn World>,
    proxy: Ref,
    /// Which grant, and whose.
    name: String,
}

impl Audited {
    pub(crate) fn portray(&self) -> Value {
        (self.proxy.clone(), self.name.clone()).into_value()
    }

    pub(crate) fn restore(world: Arc<dyn World>, portrait: Value) -> Result<Self, RestoreError> {
        let portrait = <(Ref, String)>::from_value(portrait);
        let (proxy, name) = portrait.map_err(|error| RestoreError::new(error.to_string()))?;
        Ok(Self { world, proxy, name })
    }
}

impl Behaviour for Audited {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let text = |value: Option<&Value>| {
            let text = match value {
                Some(Value::Symbol(text) | Value::String(text)) => text.as_str(),
                _ => "-",
            };
            text.escape_debug().take(64).collect::<String>()
        };
        // Who has asked before how things stand, and is to be told of changes.
        let again = text(args.first()) == "observe"
            && !matches!(args.get(2), None | Some(Value::Undefined));
        let what =
            format!("id={} method={} service={}", self.name, text(args.first()), text(args.get(1)));
        let outcome = turn.call(&self.proxy, args);
        match &outcome {
            Ok(_) if again => {}
            Ok(_) => self.world.audit(format!("used {what}")),
            Err(fault) => match refusal::reason(fault) {
                Some(why) => self.world.audit(format!("refused {what}: {why}")),
                None => self.world.audit(format!("failed {what}")),
            },
        }
        outcome.map(Reply::value)
    }
}
