//! `ssh`: machines that are there already, and are reached by OpenSSH's `ssh`.
//!
//! The settings name a pool of hosts. Each machine takes one of them for itself, which is
//! written down before anything is done there, so that the same order always goes to the
//! same host. What is done there is the [provisioner](super::provisioner)'s.

mod host;
mod run;

pub use host::Host;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use super::provisioner::Init;

use super::files::{self, absent_is_fine, failed, lock};
use super::provisioner::{Action, Facts, Script, Unit, machines, quote, same_processor};
use super::{
    Context, FleetId, Install, Instance, Key, Order, Progress, Provider, ProviderError, Span,
    Target,
};
use run::{Input, run};

/// How many hosts are asked at once.
const AT_ONCE: usize = 8;

/// The settings of [`Ssh`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SshSettings {
    /// The hosts, `user@name:port` each, one for each machine. The spec may name another:
    /// `host`.
    #[serde(default)]
    pub hosts: Vec<Host>,
    /// The file with the hosts' keys. A host whose key is not in it, or another one, is
    /// never spoken to.
    pub known_hosts: PathBuf,
    /// Who to be, where `hosts` does not say.
    #[serde(default)]
    pub user: Option<String>,
    /// The port of sshd, where `hosts` does not say.
    #[serde(default)]
    pub port: Option<u16>,
    /// The private key to log in with, else what `ssh` finds.
    #[serde(default)]
    pub identity_file: Option<PathBuf>,
    /// More of `ssh`'s own settings, as `ProxyJump=bastion`. They do not overrule those
    /// that make a connection safe.
    #[serde(default)]
    pub options: Vec<String>,
    /// Where the machine's node listens: `tcp-tls:0.0.0.0:7000`. The spec may say another:
    /// `listen`.
    #[serde(default = "everywhere")]
    pub listen: String,
    /// How the machine gets hob: `{ copy = "/path" }`, `{ present = "/path" }` or
    /// `{ download = { url = …, sha256 = … } }`. Unless set, the boss's own is copied.
    #[serde(default)]
    pub install: Option<Install>,
    /// The directory there for all that is hob's: `/opt/hob`, or `~/.local/lib/hob` if it is
    /// not root's to log in.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// What starts hob there: `auto`, `systemd` or `process`.
    #[serde(default)]
    pub init: Init,
    /// Whether the machine's hob may change the host: install packages, write files, start
    /// services, as a desired state asks for. If not, its systemd unit lets it do nothing
    /// but talk.
    #[serde(default = "yes")]
    pub manages_host: bool,
    /// How long to wait for a connection: `10s`.
    #[serde(default = "ten_seconds")]
    pub connect_timeout: Span,
    /// How long each step may take, the copying of hob among them: `5m`.
    #[serde(default = "five_minutes")]
    pub timeout: Span,
    /// How long a machine has to end by itself before it is killed: `10s`.
    #[serde(default = "ten_seconds")]
    pub grace: Span,
}

fn everywhere() -> String {
    "tcp-tls:0.0.0.0:7000".to_owned()
}

fn yes() -> bool {
    true
}

fn ten_seconds() -> Span {
    Span(Duration::from_secs(10))
}

fn five_minutes() -> Span {
    Span(Duration::from_secs(300))
}

/// What may be asked for of one machine.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Spec {
    /// On which host it is to be: any that is in the file of known hosts.
    host: Option<Host>,
    /// Where its node is to listen.
    listen: Option<String>,
    /// Where others reach its node.
    #[serde(alias = "public_address")]
    public_address: Option<String>,
}

/// What is written down about a machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    name: String,
    fleet: String,
    host: Host,
    /// Whether anything may have been done there.
    touched: bool,
}

/// Machines that are hosts which can be logged in to.
pub struct Ssh {
    settings: SshSettings,
    context: Context,
    /// Held while a host is chosen.
    pool: Mutex<()>,
    /// The SHA-256 of the program that is copied, and of which version of the file.
    sum: Mutex<Option<(SystemTime, u64, String)>>,
}

impl Ssh {
    /// The provider with these settings.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], if there is no file of known hosts, or a path that can't be told
    /// to `ssh`.
    pub fn new(settings: SshSettings, context: &Context) -> Result<Self, ProviderError> {
        let lasting = |why: String| Err(ProviderError::lasting(why));
        let paths = settings.identity_file.iter().chain([&settings.known_hosts]);
        for path in paths {
            if path.to_str().is_none_or(|path| path.contains(['"', '\n', '$'])) {
                return lasting(format!("{}: not a path that ssh can be told", path.display()));
            }
            if let Err(error) = File::open(path) {
                return lasting(format!("{}: {error}", path.display()));
            }
        }
        if settings.directory.as_ref().is_some_and(|path| !path.is_absolute()) {
            return lasting("directory: expected an absolute path".to_owned());
        }
        let user = settings.user.as_deref().map(|user| format!("{user}@x").parse::<Host>());
        if let Some(Err(why)) = user {
            return lasting(format!("user: {why}"));
        }
        public_address(&settings.listen, None)?;
        let context = context.clone();
        Ok(Self { settings, context, pool: Mutex::default(), sum: Mutex::default() })
    }

    fn record_path(&self, key: &Key) -> PathBuf {
        self.context.state.join(format!("{key}.json"))
    }

    fn record(&self, key: &Key) -> Result<Option<Record>, ProviderError> {
        files::read_json(&self.record_path(key))
    }

    /// All that is written down.
    fn records(&self) -> Result<BTreeMap<Key, Record>, ProviderError> {
        let entries = match self.context.state.read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(BTreeMap::new());
            }
            Err(error) => return Err(failed(&self.context.state, &error)),
        };
        let mut records = BTreeMap::new();
        for entry in entries {
            let name = entry.map_err(|error| failed(&self.context.state, &error))?.file_name();
            let key = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok());
            if let Some(key) = key {
                records.extend(self.record(&key)?.map(|record| (key, record)));
            }
        }
        Ok(records)
    }

    /// The host of a machine: the one that it has, or else one that is chosen now.
    fn host_for(&self, order: &Order, wanted: Option<Host>) -> Result<Record, ProviderError> {
        let _chosen_one_by_one = lock(&self.pool);
        if let Some(record) = self.record(&order.key)? {
            claim(&record, &order.fleet)?;
            return Ok(record);
        }
        let host = match wanted {
            Some(host) => host,
            None => self.free_host()?,
        };
        let record = Record {
            name: order.name.clone(),
            fleet: order.fleet.to_string(),
            host,
            touched: false,
        };
        let state = &self.context.state;
        std::fs::create_dir_all(state).map_err(|error| failed(state, &error))?;
        files::write_json(&self.record_path(&order.key), &record)?;
        Ok(record)
    }

    fn free_host(&self) -> Result<Host, ProviderError> {
        let taken: BTreeSet<_> = self.records()?.into_values().map(|record| record.host).collect();
        let free = self.settings.hosts.iter().find(|host| !taken.contains(host));
        free.cloned().ok_or_else(|| match self.settings.hosts.len() {
            0 => ProviderError::lasting("`hosts` names no host, nor does the spec: {\"host\": …}"),
            all => ProviderError::temporary(format!("all hosts, {all}, are taken")),
        })
    }

    /// Runs the provisioner's script on a host.
    fn script(&self, host: &Host, script: Script) -> Result<String, ProviderError> {
        let base = self.settings.directory.as_deref().map(Path::to_string_lossy);
        let script = script.with("base", base.unwrap_or_default()).with_init(self.settings.init);
        run(&self.settings, host, "/bin/sh", Input::Text(script.text()))
    }

    fn install(&self) -> Install {
        self.settings.install.clone().unwrap_or(Install::Copy(None))
    }

    /// The program to be copied.
    fn program(&self) -> PathBuf {
        match self.install() {
            Install::Copy(Some(path)) => path,
            _ => self.context.program.clone(),
        }
    }

    /// The SHA-256 of the program to be copied; nothing if none is.
    fn sum(&self) -> Result<String, ProviderError> {
        if !matches!(self.install(), Install::Copy(_)) {
            return Ok(String::new());
        }
        let path = self.program();
        let unread = |error| failed(&path, &error);
        let mut file = File::open(&path).map_err(unread)?;
        let metadata = file.metadata().map_err(unread)?;
        let version = (metadata.modified().map_err(unread)?, metadata.len());
        let mut known = lock(&self.sum);
        if let Some((time, length, sum)) = &*known
            && (*time, *length) == version
        {
            return Ok(sum.clone());
        }
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let length = file.read(&mut buffer).map_err(unread)?;
            match buffer.get(..length) {
                None | Some([]) => break,
                Some(bytes) => digest.update(bytes),
            }
        }
        let sum: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        *known = Some((version.0, version.1, sum.clone()));
        Ok(sum)
    }

    /// Copies hob to where the installation finds it.
    fn copy(&self, host: &Host, key: &Key, facts: &Facts, sum: &str) -> Result<(), ProviderError> {
        let program = self.program();
        same_processor(facts, &program)?;
        let file = File::open(&program).map_err(|error| failed(&program, &error))?;
        let (draft, home) = facts.draft(key, sum);
        let bin = quote(&format!("{}/bin", facts.base));
        let (draft, home) = (quote(&draft), quote(&home));
        let command = format!("mkdir -p {bin} {home} && cat >{draft}");
        run(&self.settings, host, &command, Input::File(file)).map(drop)
    }

    fn instance(record: &Record, key: &Key) -> Instance {
        Instance {
            key: key.to_string(),
            id: format!("{}/{key}", record.host),
            address: Some(record.host.name().to_owned()),
        }
    }
}

fn claim(record: &Record, fleet: &FleetId) -> Result<(), ProviderError> {
    if record.fleet == fleet.as_str() {
        return Ok(());
    }
    Err(ProviderError::lasting(format!("the machine on {} is of another fleet", record.host)))
}

/// Where others reach a node that listens there: at its host's name, if it listens at all
/// of its addresses.
fn public_address(listen: &str, host: Option<&Host>) -> Result<Option<String>, ProviderError> {
    let wrong = |why: &str| ProviderError::lasting(format!("listen: {why}, found {listen:?}"));
    listen.parse::<ocapn::netlayers::ListenSpec>().map_err(|error| wrong(&error))?;
    let address = listen.split('?').next().and_then(|listen| listen.split_once(':'));
    let (address, port) = address
        .and_then(|(_, address)| address.rsplit_once(':'))
        .ok_or_else(|| wrong("expected tcp-tls:ADDRESS:PORT"))?;
    let port: u16 = port.parse().map_err(|_| wrong("expected a port"))?;
    if !["0.0.0.0", "[::]"].contains(&address) {
        return Ok(None);
    }
    if port == 0 {
        return Err(wrong("expected a port that others can know"));
    }
    Ok(host.map(|host| host.with_port(port)))
}

impl Provider for Ssh {
    fn create(&self, order: &Order, progress: &dyn Progress) -> Result<Instance, ProviderError> {
        let spec: Spec = order.spec_as()?;
        let listen = spec.listen.as_ref().unwrap_or(&self.settings.listen);
        let mut record = self.host_for(order, spec.host)?;
        let public = match spec.public_address {
            None => public_address(listen, Some(&record.host))?,
            given => given,
        };
        let host = &record.host;
        let (install, sum) = (self.install(), self.sum()?);
        progress.step("connect");
        let key = order.key.as_str();
        let probe = Script::new(Action::Probe).with("key", key).with_hob(&install, &sum);
        let facts = Facts::from_output(&self.script(host, probe)?)?;
        if !record.touched {
            record.touched = true;
            files::write_json(&self.record_path(&order.key), &record)?;
        }
        let host = &record.host;
        if !facts.running && !facts.has_hob && matches!(install, Install::Copy(_)) {
            progress.step("copy hob");
            self.copy(host, &order.key, &facts, &sum)?;
        }
        progress.step("install");
        let program = match &install {
            Install::Present(path) => path.display().to_string(),
            Install::Download { sha256, .. } => format!("{}/bin/hob-{sha256}", facts.base),
            Install::Copy(_) => format!("{}/bin/hob-{sum}", facts.base),
        };
        let unit = Unit {
            name: &order.name,
            key: &order.key,
            facts: &facts,
            program: &program,
            listen,
            public: public.as_deref(),
            manages_host: self.settings.manages_host,
        };
        let script = Script::new(Action::Install)
            .with("key", key)
            .with("name", &order.name)
            .with("fleet", order.fleet.as_str())
            .with("enrolment", order.enrolment.reveal())
            .with("unit", unit.text())
            .with("listen", listen)
            .with("public", public.as_deref().unwrap_or_default())
            .with_hob(&install, &sum);
        self.script(host, script)?;
        Ok(Self::instance(&record, &order.key))
    }

    fn destroy(&self, target: &Target) -> Result<(), ProviderError> {
        let record = self.record(&target.key)?;
        let host = match &record {
            Some(record) => {
                claim(record, &target.fleet)?;
                record.touched.then(|| record.host.clone())
            }
            // Nothing is done anywhere before it is written down here; but what is written
            // here may have been lost, and the boss know all the same.
            None => target.id.as_ref().and_then(|id| id.rsplit_once('/')?.0.parse().ok()),
        };
        if let Some(host) = host {
            let script = Script::new(Action::Remove)
                .with("key", target.key.as_str())
                .with("fleet", target.fleet.as_str())
                .with("grace", self.settings.grace.0.as_secs().to_string());
            self.script(&host, script)?;
        }
        let path = self.record_path(&target.key);
        let removed = absent_is_fine(std::fs::remove_file(&path));
        removed.map_err(|error| failed(&path, &error))
    }

    fn list(&self, fleet: &FleetId) -> Result<Vec<Instance>, ProviderError> {
        let records = self.records()?;
        let elsewhere = records.values().filter(|record| record.touched);
        let hosts = elsewhere.map(|record| &record.host).chain(&self.settings.hosts).cloned();
        let hosts: Vec<_> = hosts.collect::<BTreeSet<_>>().into_iter().collect();
        let ask = |host: &Host| {
            let script = Script::new(Action::List).with("fleet", fleet.as_str());
            let output = self.script(host, script)?;
            let found = machines(&output).map(|key| Instance {
                key: key.to_string(),
                id: format!("{host}/{key}"),
                address: Some(host.name().to_owned()),
            });
            Ok(found.collect::<Vec<_>>())
        };
        // One machine may be found twice, where two names lead to one host.
        let mut instances = BTreeMap::new();
        for some in hosts.chunks(AT_ONCE) {
            let answers: Vec<_> = std::thread::scope(|scope| {
                let asked: Vec<_> =
                    some.iter().map(|host| scope.spawn(move || ask(host))).collect();
                asked.into_iter().map(|asked| asked.join()).collect()
            });
            for answer in answers {
                let failed = |_| ProviderError::temporary("a host could not be asked");
                let found = answer.map_err(failed)??.into_iter();
                instances.extend(found.map(|instance| (instance.key.clone(), instance)));
            }
        }
        for (key, record) in records {
            let there = instances.get_mut(key.as_str());
            there.into_iter().for_each(|instance| *instance = Self::instance(&record, &key));
        }
        Ok(instances.into_values().collect())
    }
}
