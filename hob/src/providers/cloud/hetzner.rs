//! The provider `hetzner`: servers of Hetzner Cloud, by its API, version 1.
//!
//! ```toml
//! [providers.hetzner]
//! token-file = "/etc/hob/hetzner.token"   # mode 0600
//! location = "nbg1"
//! server-type = "cx22"
//! image = "debian-13"
//! ssh-keys = ["me"]
//! install = { download = { url = "https://example.org/hob", sha256 = "…" } }
//! ```
//!
//! An order's spec may have `location`, `server-type` and `image` of its own. The token
//! needs read and write access to one project, in which each server has the labels
//! `hob-fleet` and `hob-key`. Hetzner keeps the user data for as long as there is the
//! server, and gives it to every program on it that asks; the enrolment in it is good for
//! one registration.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Api, Call, Clock, Complaint, Limits, SystemClock};
use super::{Cloud, Machine, Mark, default_port, name, pages};
use crate::providers::cloud_init::{self, CloudInit, PublicAddress, UserData};
use crate::providers::{
    Context, FleetId, Install, Instance, Order, Progress, Provider, ProviderError, Target,
};

/// "Create a Server": `user_data` is limited to 32 KiB.
const MAX_USER_DATA: usize = 32 * 1024;
/// "Pagination": `per_page` is 50 at most.
const PER_PAGE: usize = 50;
const KEY: &str = "hob-key";
const FLEET: &str = "hob-fleet";

/// `[providers.NAME]` with `kind = "hetzner"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HetznerSettings {
    /// Where the API is, with its version.
    #[serde(default = "default_base")]
    pub base_url: String,
    /// The file that the API token is in, alone. Nobody but its owner may read it.
    pub token_file: PathBuf,
    /// The location's name.
    pub location: String,
    /// The server type's name or id.
    pub server_type: String,
    /// The image's name or id. It has cloud-init, as all of Hetzner's own have.
    pub image: String,
    /// Names or ids of the project's SSH keys that are put on each server. Without any,
    /// Hetzner makes up a password, which this provider does not keep.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// The firewall that is applied to each server. It must let in TCP at the port.
    pub firewall_id: Option<u64>,
    /// The port on which the machine's hob listens.
    #[serde(default = "default_port")]
    pub port: u16,
    /// How machines come to have `hob`.
    pub install: Install,
    /// See [`CloudInit::manage`].
    #[serde(default)]
    pub manage: bool,
    /// How long to wait, and how much to take.
    #[serde(default)]
    pub limits: Limits,
}

fn default_base() -> String {
    "https://api.hetzner.cloud/v1".to_owned()
}

/// What can be asked for, for one machine.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Spec {
    location: Option<String>,
    server_type: Option<String>,
    image: Option<String>,
}

/// The provider.
pub struct Hetzner {
    settings: HetznerSettings,
    options: CloudInit,
    api: Api,
}

impl Hetzner {
    /// The provider with those settings.
    ///
    /// # Errors
    ///
    /// A lasting one, if no machine could be made with them. That the token can't be read
    /// only shows when it is used.
    pub fn new(settings: HetznerSettings, _: &Context) -> Result<Self, ProviderError> {
        Self::with_clock(settings, Arc::new(SystemClock::default()))
    }

    /// The same, with another clock.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        settings: HetznerSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        let options = CloudInit {
            install: settings.install.clone(),
            port: settings.port,
            public_address: PublicAddress::Own,
            manage: settings.manage,
            ssh_authorized_keys: Vec::new(),
        };
        cloud_init::check(&options)?;
        let (base, token) = (&settings.base_url, &settings.token_file);
        let api = Api::new("Hetzner", base, token, &settings.limits, complaint, clock)?;
        Ok(Self { settings, options, api })
    }
}

/// "Errors": an object with `code`, `message` and, of wrong input, `details`.
fn complaint(answer: &Value) -> Option<Complaint> {
    let error = answer.get("error")?;
    let text = |key: &str| Some(error.get(key)?.as_str()?.to_owned());
    let mut message = text("message")?;
    for field in error["details"]["fields"].as_array().into_iter().flatten() {
        let name = field["name"].as_str().unwrap_or_default();
        for said in field["messages"].as_array().into_iter().flatten() {
            message.push_str(&format!("; {name}: {}", said.as_str().unwrap_or_default()));
        }
    }
    Some(Complaint { code: text("code").unwrap_or_default(), message })
}

fn machine(server: &Value) -> Option<Machine> {
    let label = |name: &str| server["labels"][name].as_str();
    Some(Machine {
        id: server["id"].as_u64()?,
        key: label(KEY).and_then(|text| text.parse().ok()),
        fleet: label(FLEET).and_then(|text| text.parse().ok()),
        created: server["created"].as_str().unwrap_or_default().to_owned(),
        address: server["public_net"]["ipv4"]["ip"].as_str().map(str::to_owned),
    })
}

impl Cloud for Hetzner {
    /// "Create a Server": the name must be unique in the project.
    const UNIQUE_NAMES: bool = true;

    fn api(&self) -> &Api {
        &self.api
    }

    fn path(&self) -> &'static str {
        "/servers"
    }

    fn request(&self, order: &Order) -> Result<Value, ProviderError> {
        let spec: Spec = order.spec_as()?;
        let data: UserData = cloud_init::render(order, &self.options)?;
        data.within(MAX_USER_DATA, "Hetzner")?;
        let settings = &self.settings;
        let mut request = json!({
            "name": name(order),
            "location": spec.location.as_ref().unwrap_or(&settings.location),
            "server_type": spec.server_type.as_ref().unwrap_or(&settings.server_type),
            "image": spec.image.as_ref().unwrap_or(&settings.image),
            "labels": { KEY: order.key.as_str(), FLEET: order.fleet.as_str() },
            "user_data": data.user_data,
        });
        if !settings.ssh_keys.is_empty() {
            request["ssh_keys"] = json!(settings.ssh_keys);
        }
        if let Some(firewall) = settings.firewall_id {
            request["firewalls"] = json!([{ "firewall": firewall }]);
        }
        Ok(request)
    }

    fn made(&self, answer: &Value) -> Option<Machine> {
        machine(answer.get("server")?)
    }

    fn taken(&self, code: &str, _why: &str) -> bool {
        code == "uniqueness_error"
    }

    fn find(&self, call: &Call<'_>, mark: &Mark<'_>) -> Result<Vec<Machine>, ProviderError> {
        // "Label Selector": `key=value`, several separated by commas. Ids and keys are
        // hexadecimal, so that nothing but the comma needs escaping in a query.
        let selector = match mark {
            Mark::Fleet(fleet) => format!("{FLEET}={fleet}"),
            Mark::Machine(fleet, key) => format!("{FLEET}={fleet}%2C{KEY}={key}"),
        };
        pages(|page| {
            let path =
                format!("/servers?label_selector={selector}&page={page}&per_page={PER_PAGE}");
            let answer = call.get(&path, None)?;
            let servers = answer["servers"].as_array().ok_or_else(|| {
                ProviderError::temporary("Hetzner: the answer has no list of servers")
            })?;
            let leaving = |server: &&Value| server["status"] == "deleting";
            let found = servers.iter().filter(|server| !leaving(server)).filter_map(machine);
            let more = !answer["meta"]["pagination"]["next_page"].is_null();
            Ok((found.collect(), more))
        })
    }
}

impl Provider for Hetzner {
    fn create(&self, order: &Order, progress: &dyn Progress) -> Result<Instance, ProviderError> {
        super::create(self, order, progress)
    }

    fn destroy(&self, target: &Target) -> Result<(), ProviderError> {
        super::destroy(self, target)
    }

    fn list(&self, fleet: &FleetId) -> Result<Vec<Instance>, ProviderError> {
        super::list(self, fleet)
    }
}
