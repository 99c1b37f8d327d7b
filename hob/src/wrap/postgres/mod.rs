//! A PostgreSQL database as a capability: each grant has a role of its own, and no human
//! handles a password.
//!
//! **What a program sees.** A server that lets everybody in: whatever user, database and
//! password it says, and whether or not it asks for encryption first, it is connected to
//! the one database as the grant's role. It can cancel its own queries and nobody else's.
//!
//! **What a role may do.** Read-only: `SELECT` from what is in the schema `public` and from
//! what comes to be there, in transactions that are read-only unless the program says
//! otherwise, which gains it nothing. Else also change it, and make tables and the like,
//! which become the administrator's when the grant is taken back. In both cases what the
//! database allows to `PUBLIC`.
//!
//! **Passwords.** A role's password is made when it is first used in a process, is in that
//! process's memory and nowhere else, and the server is told no more than what it needs to
//! check one. It need not be told by TLS: the server is to be on the same machine, or on a
//! network that is as good as one.
//!
//! **Crashes.** A grant is written down as pending before its role is made, and as active
//! when it is, together with the answer. `start` forgets what is pending, drops the roles of
//! the service that no active grant has, and makes those that are missing.

mod database;
mod roles;
mod session;
mod settings;
mod startup;

use std::collections::BTreeMap;
use std::sync::Arc;

use ocapn::actors::Kv;
use ocapn::persist::RestoreError;
use ocapn::{Args, Behaviour, Fault, Ref, Reply, Turn, Value};

use super::granted::Granted;
use super::live::REVOKED;
use super::{LOG, Wrap, after_turn, lock, new_id, parts};
use crate::fleet::fields;
use crate::kinds::{Call, Name, unknown};
use database::Change;
pub(crate) use database::Database;
pub(crate) use roles::Access;
use session::Session;
pub(crate) use settings::PostgresSettings;

const METHODS: &str = "grant id rules, ungrant id, ungrant-all, start, grants, describe";

/// The longest id of a grant, in bytes: with the prefix as long as a name may be in
/// PostgreSQL.
const LONGEST_ID: usize = 59;

/// A database that makes a role for each grant.
///
/// - `grant id rules`: an object with `connect`, when there is a role for it. The only rule
///   it keeps is `read-only`.
/// - `ungrant id`: done, when the role is gone. If it breaks, the grant is over all the same,
///   and the role is dropped as soon as that can be done.
/// - `ungrant-all`: the same for all of them.
/// - `start`: what is to be done when a process begins. If it breaks, it is
///   done as soon as it can be.
/// - `grants`: id, role and access of each that is active.
/// - `describe`: which database it is, and how many connections there are.
pub(crate) struct PostgresService {
    wrap: Wrap,
    id: String,
    settings: PostgresSettings,
    /// A near [`Kv`]: by grant its access and whether it is active.
    ledger: Ref,
}

/// A grant in the ledger.
#[derive(Clone, Copy, PartialEq)]
struct Entry {
    access: Access,
    active: bool,
}

impl PostgresService {
    /// A service for that database. Whether it can be reached shows when it is used.
    pub(crate) fn spawn(
        turn: &mut Turn<'_>,
        wrap: &Wrap,
        settings: PostgresSettings,
    ) -> Result<Ref, Fault> {
        let ledger = turn.spawn(Kv::new().limit(settings.grants as usize));
        Ok(turn.spawn(Self { wrap: wrap.clone(), id: new_id()?, settings, ledger }))
    }

    pub(super) fn portray(&self) -> Value {
        let ledger = (&self.ledger).into();
        Value::List(vec![self.id.as_str().into(), self.settings.portray(), ledger])
    }

    pub(super) fn restore(wrap: Wrap, portrait: Value) -> Result<Self, RestoreError> {
        let [Value::String(id), settings, Value::Ref(ledger)] = parts("database", portrait)? else {
            return Err(RestoreError::new("a database has an id, settings and a ledger"));
        };
        let settings = PostgresSettings::restore(settings)?;
        Ok(Self { wrap, id: id.into(), settings, ledger })
    }

    /// What there is of the service in this process.
    fn database(&self) -> Arc<Database> {
        let mut databases = lock(&self.wrap.0.databases);
        let there = databases.entry(self.id.clone());
        let make = || Database::new(&self.wrap.0.runtime, self.settings.clone(), self.id.clone());
        there.or_insert_with(make).clone()
    }

    fn live(&self) -> Arc<super::live::Live> {
        self.wrap.live(&self.id, self.settings.connections_in_all as usize)
    }

    fn entry(&self, turn: &mut Turn<'_>, id: &str) -> Option<Entry> {
        entry(turn, &self.ledger, id)
    }

    fn entries(&self, turn: &mut Turn<'_>) -> Result<BTreeMap<String, Entry>, Fault> {
        let ids = turn.call(&self.ledger, vec![Value::symbol("keys")])?;
        let Value::List(ids) = ids else { return Err("the ledger is lost".into()) };
        let ids = ids.iter().filter_map(Value::as_str);
        Ok(ids.filter_map(|id| Some((id.to_owned(), self.entry(turn, id)?))).collect())
    }

    /// The roles of active grants, but for one.
    fn roles(&self, turn: &mut Turn<'_>, but: &str) -> Result<BTreeMap<String, Access>, Fault> {
        let entries = self.entries(turn)?.into_iter();
        let others = entries.filter(|(id, entry)| entry.active && id != but);
        Ok(others.map(|(id, entry)| (role(&id), entry.access)).collect())
    }

    fn grant(&self, turn: &mut Turn<'_>, id: String, access: Access) -> Result<Reply, Fault> {
        let (me, ledger) = (turn.me(), self.ledger.clone());
        if let Some(there) = self.entry(turn, &id) {
            if there.access != access {
                return Err(format!("{id:?} is granted otherwise: ungrant it first").into());
            }
            if there.active {
                return Ok(turn.spawn(Granted::new(me, id)).into());
            }
        }
        let pending = Entry { access, active: false };
        set(turn, &ledger, &id, pending)?;
        let others = self.roles(turn, &id)?;
        let (made, resolver) = turn.promise();
        let (database, role) = (self.database(), role(&id));
        after_turn(turn, move || {
            database.change(Change::Make { role, access, others }, resolver);
        });
        let granted = turn.on_promise(made, move |turn, made| {
            made?;
            // It may have been taken back meanwhile, and the role is dropped then.
            match entry(turn, &ledger, &id) {
                Some(there) if there.access == access => {
                    set(turn, &ledger, &id, Entry { access, active: true })?;
                    Ok(turn.spawn(Granted::new(me, id)).into())
                }
                _ => Err(REVOKED.into()),
            }
        });
        Ok(granted.into())
    }

    fn ungrant(&self, turn: &mut Turn<'_>, id: String) -> Result<Reply, Fault> {
        turn.call(&self.ledger, vec![Value::symbol("delete"), id.as_str().into()])?;
        let (dropped, resolver) = turn.promise();
        let (database, live, role) = (self.database(), self.live(), role(&id));
        let runtime = self.wrap.0.runtime.clone();
        after_turn(turn, move || {
            live.cut(&id);
            database.change(Change::Drop { role: role.clone() }, resolver);
            runtime.spawn(async move { database.forget(Some(&role)).await });
        });
        Ok(dropped.into())
    }

    fn ungrant_all(&self, turn: &mut Turn<'_>) -> Result<Reply, Fault> {
        for id in self.entries(turn)?.into_keys() {
            turn.call(&self.ledger, vec![Value::symbol("delete"), id.into()])?;
        }
        let (dropped, resolver) = turn.promise();
        let (database, live) = (self.database(), self.live());
        let runtime = self.wrap.0.runtime.clone();
        after_turn(turn, move || {
            live.cut_all();
            database.change(Change::Reconcile { wanted: BTreeMap::new() }, resolver);
            runtime.spawn(async move { database.forget(None).await });
        });
        Ok(dropped.into())
    }

    fn start(&self, turn: &mut Turn<'_>) -> Result<Reply, Fault> {
        for (id, entry) in self.entries(turn)? {
            if !entry.active {
                turn.call(&self.ledger, vec![Value::symbol("delete"), id.into()])?;
            }
        }
        let wanted = self.roles(turn, "")?;
        let (done, resolver) = turn.promise();
        let database = self.database();
        after_turn(turn, move || database.change(Change::Reconcile { wanted }, resolver));
        Ok(done.into())
    }

    fn connect(&self, turn: &mut Turn<'_>, id: &str, far: Ref) -> Result<Reply, Fault> {
        if !self.entry(turn, id).is_some_and(|entry| entry.active) {
            return Err(REVOKED.into());
        }
        let admission = self.live().admit(Some(id))?;
        let (answer, resolver) = turn.promise();
        let runtime = self.wrap.0.runtime.clone();
        let session = Session {
            wrap: self.wrap.clone(),
            database: self.database(),
            role: role(id),
            admission,
        };
        after_turn(turn, move || {
            runtime.spawn(session.serve(far, resolver));
        });
        Ok(answer.into())
    }

    fn grants(&self, turn: &mut Turn<'_>) -> Result<Value, Fault> {
        let entries = self.entries(turn)?.into_iter().filter(|(_, entry)| entry.active);
        let describe = |(id, entry): (String, Entry)| {
            fields([
                ("role", role(&id).into()),
                ("id", id.into()),
                ("access", Value::symbol(entry.access.name())),
            ])
        };
        Ok(Value::List(entries.map(describe).collect()))
    }
}

impl Behaviour for PostgresService {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("postgres", args)?;
        match method.as_str() {
            "grant" => {
                let id = grant_id(&mut call)?;
                let rules: Value = call.required("rules")?;
                let access = access(&rules).map_err(|fault| call.fault(fault))?;
                call.end()?;
                self.grant(turn, id, access)
            }
            "ungrant" => {
                let id = grant_id(&mut call)?;
                call.end()?;
                self.ungrant(turn, id)
            }
            "ungrant-all" => {
                call.end()?;
                self.ungrant_all(turn)
            }
            "connect-as" => {
                let id = grant_id(&mut call)?;
                let sink: Ref = call.required("sink")?;
                call.end()?;
                self.connect(turn, &id, sink)
            }
            "start" => {
                call.end()?;
                self.start(turn)
            }
            "grants" => {
                call.end()?;
                Ok(self.grants(turn)?.into())
            }
            "describe" => {
                call.end()?;
                Ok(fields([
                    ("kind", "postgres".into()),
                    ("database", self.settings.database.as_str().into()),
                    ("host", self.settings.host.as_str().into()),
                    ("port", u64::from(self.settings.port).into()),
                    ("open", (self.live().open() as u64).into()),
                ])
                .into())
            }
            _ => Err(unknown("postgres", &method, METHODS)),
        }
    }
}

/// What the rules of a grant allow.
///
/// # Errors
///
/// If there is a rule that a database does not keep: whoever grants is to see to it
/// otherwise, and not to believe that it is kept.
pub(crate) fn access(rules: &Value) -> Result<Access, Fault> {
    let Value::List(rules) = rules else {
        return Err(format!("rules are a list, and not a {}", rules.kind()).into());
    };
    let mut access = Access::ReadWrite;
    for rule in rules {
        let name = match rule {
            Value::Struct(rule) => {
                let named = rule.iter().find(|(name, _)| name.as_str() == "rule");
                named.and_then(|(_, name)| name.as_symbol())
            }
            _ => None,
        };
        match name {
            Some("read-only") => access = Access::ReadOnly,
            Some(other) => return Err(format!("a database does not keep the rule {other}").into()),
            None => return Err("a rule is a struct with the symbol `rule`".into()),
        }
    }
    Ok(access)
}

/// The name of a grant's role.
fn role(id: &str) -> String {
    format!("hob_{id}")
}

fn grant_id(call: &mut Call) -> Result<String, Fault> {
    let Name(id) = call.required("id")?;
    if id.is_empty() || id.len() > LONGEST_ID || id.chars().any(char::is_control) {
        return Err(call.fault(format_args!("an id has 1 to {LONGEST_ID} bytes, and no controls")));
    }
    Ok(id)
}

fn entry(turn: &mut Turn<'_>, ledger: &Ref, id: &str) -> Option<Entry> {
    let entry = turn.call(ledger, vec![Value::symbol("get"), id.into()]).ok()?;
    let Value::List(parts) = entry else { return None };
    let [Value::Symbol(access), Value::Bool(active)] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    Some(Entry { access: Access::named(&access)?, active })
}

fn set(turn: &mut Turn<'_>, ledger: &Ref, id: &str, entry: Entry) -> Result<(), Fault> {
    let value = Value::List(vec![Value::symbol(entry.access.name()), entry.active.into()]);
    turn.call(ledger, vec![Value::symbol("set"), id.into(), value]).map(drop)
}
