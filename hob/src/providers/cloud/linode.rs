//! The provider `linode`: Linodes of Akamai, by the Linode API, version 4.
//!
//! ```toml
//! [providers.linode]
//! token-file = "/etc/hob/linode.token"   # mode 0600
//! region = "nl-ams"
//! type = "g6-nanode-1"
//! image = "linode/debian13"
//! authorized-users = ["me"]
//! install = { download = { url = "https://example.org/hob", sha256 = "…" } }
//! ```
//!
//! An order's spec may have `region`, `type` and `image` of its own. Image and region must
//! be such as have the Metadata service (`cloud-init` and `Metadata` among what they are
//! capable of). The token needs the scope `linodes:read_write`, and its user may not be a
//! restricted one, since those can't set tags: each Linode has the tags `hob-fleet-…` and
//! `hob-key-…`. Linode keeps the user data for as long as there is the machine, and gives
//! it to every program on it that asks; the enrolment in it is good for one registration.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Api, Call, Clock, Complaint, Limits, SystemClock};
use super::{Cloud, Machine, Mark, default_port, name, pages};
use crate::providers::cloud_init::{self, CloudInit, PublicAddress};
use crate::providers::{
    Context, FleetId, Install, Instance, Key, Order, Progress, Provider, ProviderError, Target,
};

/// "Create a Linode": `user_data` can't exceed 65535 bytes when encoded.
const MAX_ENCODED: usize = 65535;
/// "Pagination": a page has 25 to 500 objects.
const PAGE_SIZE: usize = 500;
/// A tag has 3 to 50 characters.
const KEY: &str = "hob-key-";
const FLEET: &str = "hob-fleet-";

/// `[providers.NAME]` with `kind = "linode"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LinodeSettings {
    /// Where the API is, with its version.
    #[serde(default = "default_base")]
    pub base_url: String,
    /// The file that the API token is in, alone. Nobody but its owner may read it.
    pub token_file: PathBuf,
    /// The region's id.
    pub region: String,
    /// The type's id.
    pub r#type: String,
    /// The image's id.
    pub image: String,
    /// Public SSH keys with which root can log in.
    #[serde(default)]
    pub authorized_keys: Vec<String>,
    /// Users of the account whose SSH keys may do so as well. If there are neither keys
    /// nor users, root gets a random password that nobody knows, since Linode wants one
    /// of them.
    #[serde(default)]
    pub authorized_users: Vec<String>,
    /// The firewall that each Linode is attached to, for accounts whose Linodes have legacy
    /// configuration interfaces; others have a default firewall in their settings. It must
    /// let in TCP at the port.
    pub firewall_id: Option<i64>,
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
    "https://api.linode.com/v4".to_owned()
}

/// What can be asked for, for one machine.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Spec {
    region: Option<String>,
    r#type: Option<String>,
    image: Option<String>,
}

/// The provider.
pub struct Linode {
    settings: LinodeSettings,
    options: CloudInit,
    api: Api,
}

impl Linode {
    /// The provider with those settings.
    ///
    /// # Errors
    ///
    /// A lasting one, if no machine could be made with them. That the token can't be read
    /// only shows when it is used.
    pub fn new(settings: LinodeSettings, _: &Context) -> Result<Self, ProviderError> {
        Self::with_clock(settings, Arc::new(SystemClock::default()))
    }

    /// The same, with another clock.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        settings: LinodeSettings,
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
        let api = Api::new("Linode", base, token, &settings.limits, complaint, clock)?;
        Ok(Self { settings, options, api })
    }
}

/// "Errors": a list of objects with `reason` and perhaps `field`. The field of the first
/// stands for a code, which there is none of; but one reason, that of a Linode that
/// something else is done to, is known not to last.
fn complaint(answer: &Value) -> Option<Complaint> {
    let errors = answer.get("errors")?.as_array()?;
    let text = |error: &Value, key: &str| error[key].as_str().unwrap_or_default().to_owned();
    let reasons: Vec<String> = errors.iter().map(|error| text(error, "reason")).collect();
    let message = reasons.join("; ");
    let busy = message == "Linode busy.";
    let code = if busy { "busy".to_owned() } else { text(errors.first()?, "field") };
    Some(Complaint { code, message })
}

fn machine(linode: &Value) -> Option<Machine> {
    let tags = linode["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let (mut key, mut fleet) = (None, None);
    for tag in tags {
        // Two of them would be somebody else's doing: then it is not surely ours.
        if let Some(text) = tag.strip_prefix(KEY) {
            key = if key.is_none() { Some(text.parse::<Key>().ok()) } else { Some(None) };
        } else if let Some(text) = tag.strip_prefix(FLEET) {
            fleet = if fleet.is_none() { Some(text.parse::<FleetId>().ok()) } else { Some(None) };
        }
    }
    Some(Machine {
        id: linode["id"].as_u64()?,
        key: key.flatten(),
        fleet: fleet.flatten(),
        created: linode["created"].as_str().unwrap_or_default().to_owned(),
        address: linode["ipv4"][0].as_str().map(str::to_owned),
    })
}

/// A password of which nothing is kept, with characters of all kinds.
fn password() -> Result<String, ProviderError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| ProviderError::temporary(format!("no randomness: {error}")))?;
    Ok(format!("aZ7-{}", STANDARD.encode(bytes)))
}

impl Cloud for Linode {
    /// Linode refuses a label that there is already, but does not say so in its
    /// documentation.
    const UNIQUE_NAMES: bool = false;

    fn api(&self) -> &Api {
        &self.api
    }

    fn path(&self) -> &'static str {
        "/linode/instances"
    }

    fn request(&self, order: &Order) -> Result<Value, ProviderError> {
        let spec: Spec = order.spec_as()?;
        let data = cloud_init::render(order, &self.options)?;
        // What base64 makes of 3 bytes is 4.
        data.within(MAX_ENCODED / 4 * 3, "Linode")?;
        let settings = &self.settings;
        let mut request = json!({
            "label": name(order),
            "region": spec.region.as_ref().unwrap_or(&settings.region),
            "type": spec.r#type.as_ref().unwrap_or(&settings.r#type),
            "image": spec.image.as_ref().unwrap_or(&settings.image),
            "tags": [format!("{KEY}{}", order.key), format!("{FLEET}{}", order.fleet)],
            "metadata": { "user_data": STANDARD.encode(data.user_data) },
            "booted": true,
        });
        if !settings.authorized_keys.is_empty() {
            request["authorized_keys"] = json!(settings.authorized_keys);
        }
        if !settings.authorized_users.is_empty() {
            request["authorized_users"] = json!(settings.authorized_users);
        }
        if settings.authorized_keys.is_empty() && settings.authorized_users.is_empty() {
            request["root_pass"] = json!(password()?);
        }
        if let Some(firewall) = settings.firewall_id {
            request["firewall_id"] = json!(firewall);
        }
        Ok(request)
    }

    fn made(&self, answer: &Value) -> Option<Machine> {
        machine(answer)
    }

    fn taken(&self, code: &str, why: &str) -> bool {
        code == "label" && why.to_ascii_lowercase().contains("unique")
    }

    fn find(&self, call: &Call<'_>, mark: &Mark<'_>) -> Result<Vec<Machine>, ProviderError> {
        // "Filtering and sorting": one tag of several; what has it is checked for the other.
        let tag = match mark {
            Mark::Fleet(fleet) => format!("{FLEET}{fleet}"),
            Mark::Machine(_, key) => format!("{KEY}{key}"),
        };
        let filter = json!({ "tags": tag }).to_string();
        pages(|page| {
            let path = format!("/linode/instances?page={page}&page_size={PAGE_SIZE}");
            let answer = call.get(&path, Some(("X-Filter", &filter)))?;
            let (linodes, last) = match (answer["data"].as_array(), answer["pages"].as_u64()) {
                (Some(linodes), Some(last)) => (linodes, last),
                _ => return Err(ProviderError::temporary("Linode: the answer has no list")),
            };
            let leaving = |linode: &&Value| linode["status"] == "deleting";
            let found = linodes.iter().filter(|linode| !leaving(linode)).filter_map(machine);
            Ok((found.collect(), (page as u64) < last))
        })
    }
}

impl Provider for Linode {
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
