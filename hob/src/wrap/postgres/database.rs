//! A database while this process runs: the changes of its roles, one after the other, and
//! their passwords, which nobody else ever has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ocapn::{Fault, Resolver};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::super::lock;
use super::LOG;
use super::roles::{Access, RoleError, Roles};
use super::settings::PostgresSettings;

/// How many changes may wait.
const QUEUE: usize = 1024;

/// How long a role that could not be dropped is left before that is tried again; twice as
/// long each time.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// A password of a role.
pub(super) type Password = Arc<Zeroizing<String>>;

/// What the service's actor and its connections share.
pub(crate) struct Database {
    pub(super) settings: PostgresSettings,
    service: String,
    changes: mpsc::Sender<(Change, Resolver)>,
    passwords: tokio::sync::Mutex<HashMap<String, Password>>,
    /// The keys by which connections are cancelled, by role.
    keys: Mutex<HashMap<String, HashSet<Bytes>>>,
}

/// A change of the roles.
pub(super) enum Change {
    Make { role: String, access: Access, others: BTreeMap<String, Access> },
    Drop { role: String },
    Reconcile { wanted: BTreeMap<String, Access> },
}

impl Database {
    /// What there is of a service, whose changes are made by a task on the runtime that
    /// ends with it.
    pub(super) fn new(runtime: &Handle, settings: PostgresSettings, service: String) -> Arc<Self> {
        let (changes, queue) = mpsc::channel(QUEUE);
        let worker = Worker {
            settings: settings.clone(),
            service: service.clone(),
            made: HashSet::new(),
            undropped: Vec::new(),
            unreconciled: None,
            again: AGAIN,
        };
        runtime.spawn(worker.run(queue));
        let (passwords, keys) = (tokio::sync::Mutex::default(), Mutex::default());
        Arc::new(Self { settings, service, changes, passwords, keys })
    }

    /// Makes a change, after those that were asked for before, and tells when it is made.
    pub(super) fn change(&self, change: Change, done: Resolver) {
        if let Err(full) = self.changes.try_send((change, done)) {
            let (_, done) = full.into_inner();
            done.break_with("too many changes of the database's roles wait already");
        }
    }

    /// The password of a role, a new one if it has none yet in this process, or if it is
    /// none but that one.
    pub(super) async fn password(
        &self,
        role: &str,
        but: Option<&Password>,
    ) -> Result<Password, RoleError> {
        let mut passwords = self.passwords.lock().await;
        if let Some(there) = passwords.get(role)
            && but.is_none_or(|but| !Arc::ptr_eq(but, there))
        {
            return Ok(there.clone());
        }
        let mut entropy = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *entropy).map_err(std::io::Error::other)?;
        let password = Arc::new(Zeroizing::new(STANDARD.encode(*entropy)));
        let roles = Roles::connect(&self.settings, &self.service).await?;
        roles.set_password(role, &password).await?;
        passwords.insert(role.to_owned(), password.clone());
        Ok(password)
    }

    /// Forgets the password of a role that is to be dropped; or of all.
    pub(super) async fn forget(&self, role: Option<&str>) {
        let mut passwords = self.passwords.lock().await;
        passwords.retain(|there, _| role.is_some_and(|role| role != there));
    }

    /// Notes by what a connection of the role is cancelled, for as long as it is there.
    pub(super) fn cancellable(self: &Arc<Self>, role: &str, key: Bytes) -> Cancellable {
        lock(&self.keys).entry(role.to_owned()).or_default().insert(key.clone());
        Cancellable { database: self.clone(), role: role.to_owned(), key }
    }

    /// Whether a connection of the role is cancelled by this.
    pub(super) fn is_key_of(&self, role: &str, key: &Bytes) -> bool {
        lock(&self.keys).get(role).is_some_and(|keys| keys.contains(key))
    }
}

/// A connection that can be cancelled.
pub(super) struct Cancellable {
    database: Arc<Database>,
    role: String,
    key: Bytes,
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        let mut keys = lock(&self.database.keys);
        if let Some(of_role) = keys.get_mut(&self.role) {
            of_role.remove(&self.key);
            if of_role.is_empty() {
                keys.remove(&self.role);
            }
        }
    }
}

/// What makes the changes.
struct Worker {
    settings: PostgresSettings,
    service: String,
    /// Roles that this process has made: one that was asked for twice is in use.
    made: HashSet<String>,
    /// Roles that are to be dropped and could not be.
    undropped: Vec<String>,
    /// What there should be, if it could not be seen to.
    unreconciled: Option<BTreeMap<String, Access>>,
    again: Duration,
}

impl Worker {
    async fn run(mut self, mut queue: mpsc::Receiver<(Change, Resolver)>) {
        loop {
            let next = if self.undropped.is_empty() && self.unreconciled.is_none() {
                queue.recv().await
            } else {
                match tokio::time::timeout(self.again, queue.recv()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.make_up().await;
                        continue;
                    }
                }
            };
            let Some((change, done)) = next else { return };
            let outcome = self.perform(change).await;
            done.resolve(outcome.map(Into::into).map_err(|error| {
                tracing::warn!(target: LOG, "{}: {error}", self.settings.database);
                Fault::from(error.public())
            }));
        }
    }

    async fn perform(&mut self, change: Change) -> Result<(), RoleError> {
        let roles = Roles::connect(&self.settings, &self.service).await;
        self.again = AGAIN;
        match change {
            Change::Make { role, .. } if self.made.contains(&role) => {}
            Change::Make { role, access, others } => {
                roles?.make(&role, access, &others).await?;
                tracing::info!(target: LOG, "made the role {role}, {}", access.name());
                self.undropped.retain(|undropped| *undropped != role);
                if let Some(wanted) = &mut self.unreconciled {
                    wanted.insert(role.clone(), access);
                }
                self.made.insert(role);
            }
            Change::Drop { role } => {
                self.made.remove(&role);
                self.undropped.retain(|undropped| *undropped != role);
                if let Some(wanted) = &mut self.unreconciled {
                    wanted.remove(&role);
                }
                let dropped = match roles {
                    Ok(roles) => roles.drop(&role).await,
                    Err(error) => Err(error),
                };
                match dropped {
                    Ok(()) => tracing::info!(target: LOG, "dropped the role {role}"),
                    Err(error) => {
                        if !matches!(error, RoleError::NotOurs(_)) {
                            self.undropped.push(role);
                        }
                        return Err(error);
                    }
                }
            }
            Change::Reconcile { wanted } => {
                self.made.retain(|role| wanted.contains_key(role));
                self.undropped.clear();
                self.unreconciled = Some(wanted);
                self.reconcile(&roles?).await?;
            }
        }
        Ok(())
    }

    async fn reconcile(&mut self, roles: &Roles) -> Result<(), RoleError> {
        if let Some(wanted) = &self.unreconciled {
            roles.reconcile(wanted).await?;
            self.unreconciled = None;
        }
        Ok(())
    }

    /// Tries again what could not be done.
    async fn make_up(&mut self) {
        self.again = (self.again * 2).min(AGAIN_AT_MOST);
        let Ok(roles) = Roles::connect(&self.settings, &self.service).await else { return };
        if let Err(error) = self.reconcile(&roles).await {
            return tracing::warn!(target: LOG, "{}: {error}", self.settings.database);
        }
        for role in std::mem::take(&mut self.undropped) {
            match roles.drop(&role).await {
                Ok(()) => tracing::info!(target: LOG, "dropped the role {role}, at last"),
                Err(error) => {
                    tracing::warn!(target: LOG, "can't drop the role {role}: {error}");
                    self.undropped.push(role);
                }
            }
        }
    }
}
