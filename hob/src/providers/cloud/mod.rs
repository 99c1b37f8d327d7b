//! Clouds: machines that are made by somebody's HTTP API.
//!
//! **One machine for each order**, whatever is lost on the way. A machine is made with the
//! marks of its order, its key and its fleet, and with a name that holds the key. Before
//! one is made it is looked for. When nobody knows whether a request has made one, since
//! its answer was lost, nothing is asked for until the cloud has had time to act on it and
//! to list what it has made ([`Limits::settle`](http::Limits::settle)), and then it is looked for again.
//! Where the cloud documents that names are unique, a second one can't be made at all;
//! elsewhere it is looked for once more after that time, also when nothing was lost,
//! because the boss before this one may have asked, just before it was killed. If there is
//! more than one, the oldest stays.
//!
//! What a cloud does later than that, the boss finds with [`list`](super::Provider::list).
//!
//! **No machine of anybody else's.** What a cloud lists is not believed to be what was
//! asked for: only what carries the marks is counted, and removed.

pub mod hetzner;
pub mod http;
pub mod linode;

use std::collections::BTreeSet;

use serde_json::Value;

use self::http::{Api, Call, Failed};
use super::cloud_init::DEFAULT_PORT;
use super::{FleetId, Instance, Key, Order, Progress, ProviderError, Target};

/// What distinguishes one cloud from another.
trait Cloud {
    /// Whether it says that no two machines have the same name.
    const UNIQUE_NAMES: bool;

    fn api(&self) -> &Api;

    /// The path below which machines are made and removed.
    fn path(&self) -> &'static str;

    /// What is sent to make the machine.
    fn request(&self, order: &Order) -> Result<Value, ProviderError>;

    /// The machine that is described in an answer.
    fn made(&self, answer: &Value) -> Option<Machine>;

    /// Whether a refusal says that there is a machine of that name.
    fn taken(&self, code: &str, why: &str) -> bool;

    /// The machines that the cloud says have the marks. Those that are being removed may
    /// be left out.
    fn find(&self, call: &Call<'_>, mark: &Mark<'_>) -> Result<Vec<Machine>, ProviderError>;
}

/// What machines are looked for by.
enum Mark<'a> {
    Fleet(&'a FleetId),
    Machine(&'a FleetId, &'a Key),
}

/// A machine, as a cloud describes it.
#[derive(Clone, Debug)]
struct Machine {
    id: u64,
    /// Its marks, if they are some.
    key: Option<Key>,
    fleet: Option<FleetId>,
    /// When it was made: text that can be compared.
    created: String,
    address: Option<String>,
}

impl Machine {
    fn has(&self, mark: &Mark<'_>) -> bool {
        match mark {
            Mark::Fleet(fleet) => self.fleet.as_ref() == Some(*fleet) && self.key.is_some(),
            Mark::Machine(fleet, key) => {
                self.fleet.as_ref() == Some(*fleet) && self.key.as_ref() == Some(*key)
            }
        }
    }

    fn into_instance(self) -> Option<Instance> {
        let key = self.key?.to_string();
        Some(Instance { key, id: self.id.to_string(), address: self.address })
    }
}

/// The name of an order's machine in the cloud. It begins and ends with a letter or digit,
/// has no two hyphens in a row, and at most 63 characters, which all clouds take; and
/// enough of the key for there to be no other such.
fn name(order: &Order) -> String {
    const NAME: usize = 40;
    const KEY: usize = 16;
    let mut name = String::from("hob-");
    for c in order.name.chars().take(NAME) {
        if c != '-' || !name.ends_with('-') {
            name.push(c);
        }
    }
    if !name.ends_with('-') {
        name.push('-');
    }
    name.extend(order.key.as_str().chars().take(KEY));
    name
}

/// The machines that have the mark, whatever else the cloud lists.
fn look<C: Cloud>(
    cloud: &C,
    call: &Call<'_>,
    mark: &Mark<'_>,
) -> Result<Vec<Machine>, ProviderError> {
    let mut found = cloud.find(call, mark)?;
    found.retain(|machine| machine.has(mark));
    in_order(&mut found);
    Ok(found)
}

/// Looks until a machine other than those is listed, or the cloud has had its time.
fn look_until_settled<C: Cloud>(
    cloud: &C,
    call: &Call<'_>,
    mark: &Mark<'_>,
    gone: &BTreeSet<u64>,
) -> Result<Vec<Machine>, ProviderError> {
    let settle = cloud.api().settle;
    let end = call.now() + settle;
    loop {
        let mut found = look(cloud, call, mark)?;
        found.retain(|machine| !gone.contains(&machine.id));
        let now = call.now();
        if !found.is_empty() || now >= end {
            return Ok(found);
        }
        call.wait((settle / 4).min(end - now));
    }
}

/// See [`Provider::create`](super::Provider::create).
fn create<C: Cloud>(
    cloud: &C,
    order: &Order,
    progress: &dyn Progress,
) -> Result<Instance, ProviderError> {
    let request = cloud.request(order)?;
    // Should an API's message quote what was sent to it, perhaps with other escapes.
    let parts = order.enrolment.reveal().split(|c: char| "/?#&=:.%".contains(c));
    let mut secrets: Vec<&str> = parts.filter(|part| part.len() >= 8).collect();
    for place in ["/user_data", "/metadata/user_data", "/root_pass"] {
        secrets.extend(request.pointer(place).and_then(Value::as_str));
    }
    let call = cloud.api().begin(secrets)?;
    make(cloud, &call, order, &request, progress)
}

fn make<C: Cloud>(
    cloud: &C,
    call: &Call<'_>,
    order: &Order,
    request: &Value,
    progress: &dyn Progress,
) -> Result<Instance, ProviderError> {
    let vendor = cloud.api().vendor;
    let mark = Mark::Machine(&order.fleet, &order.key);
    progress.step("look");
    let mut found = look(cloud, call, &mark)?;
    let mut turn = 0;
    while found.is_empty() {
        progress.step("allocate");
        match call.post(cloud.path(), request) {
            Ok(answer) => match cloud.made(&answer).filter(|machine| machine.has(&mark)) {
                Some(machine) => found.push(machine),
                // Asked for all the same, so it is there, or will be.
                None => found = look_until_settled(cloud, call, &mark, &BTreeSet::new())?,
            },
            Err(Failed::Refused { code, why, .. }) if cloud.taken(&code, &why) => {
                found = look_until_settled(cloud, call, &mark, &BTreeSet::new())?;
                if found.is_empty() {
                    let why = format!("{vendor}: {why}; but no machine with our marks is listed");
                    return Err(ProviderError::temporary(why));
                }
            }
            Err(failed) => {
                if !failed.passes() || !call.pause(turn, &failed) {
                    return Err(failed.error(vendor));
                }
                if !matches!(failed, Failed::Busy { .. }) {
                    found = look_until_settled(cloud, call, &mark, &BTreeSet::new())?;
                }
            }
        }
        turn += 1;
    }
    if !C::UNIQUE_NAMES {
        progress.step("settle");
        call.wait(cloud.api().settle);
        found.extend(look(cloud, call, &mark)?);
    }
    keep_oldest(cloud, call, found)
}

/// Removes all of an order's machines but one.
fn keep_oldest<C: Cloud>(
    cloud: &C,
    call: &Call<'_>,
    mut found: Vec<Machine>,
) -> Result<Instance, ProviderError> {
    in_order(&mut found);
    let mut found = found.into_iter();
    let instance = found.next().and_then(Machine::into_instance);
    for other in found {
        call.delete(&format!("{}/{}", cloud.path(), other.id))?;
    }
    instance.ok_or_else(|| ProviderError::temporary("the machine has gone again"))
}

/// Sorts machines by their age, the oldest first, each once.
fn in_order(machines: &mut Vec<Machine>) {
    machines.sort_by(|a, b| (&a.created, a.id).cmp(&(&b.created, b.id)));
    machines.dedup_by_key(|machine| machine.id);
}

/// See [`Provider::destroy`](super::Provider::destroy).
fn destroy<C: Cloud>(cloud: &C, target: &Target) -> Result<(), ProviderError> {
    let call = cloud.api().begin(Vec::new())?;
    let mark = Mark::Machine(&target.fleet, &target.key);
    let mut gone = BTreeSet::new();
    loop {
        // What has gone may still be listed for a while; what was made just now may not be
        // listed yet, so this ends when there was nothing new for long enough.
        let left = look_until_settled(cloud, &call, &mark, &gone)?;
        if left.is_empty() {
            return Ok(());
        }
        for machine in left {
            call.delete(&format!("{}/{}", cloud.path(), machine.id))?;
            gone.insert(machine.id);
        }
    }
}

/// See [`Provider::list`](super::Provider::list).
fn list<C: Cloud>(cloud: &C, fleet: &FleetId) -> Result<Vec<Instance>, ProviderError> {
    let call = cloud.api().begin(Vec::new())?;
    let found = look(cloud, &call, &Mark::Fleet(fleet))?;
    Ok(found.into_iter().filter_map(Machine::into_instance).collect())
}

/// Reads all pages of a list. `read` is given the number of a page, and says what is on it
/// and whether there is another.
fn pages<T>(
    mut read: impl FnMut(usize) -> Result<(Vec<T>, bool), ProviderError>,
) -> Result<Vec<T>, ProviderError> {
    /// More than anybody has machines for; an API that counts wrongly ends here too.
    const MAX_PAGES: usize = 1000;
    let mut all = Vec::new();
    for page in 1..=MAX_PAGES {
        let (items, more) = read(page)?;
        all.extend(items);
        if !more {
            return Ok(all);
        }
    }
    Err(ProviderError::temporary(format!("a list of more than {MAX_PAGES} pages")))
}

fn default_port() -> u16 {
    DEFAULT_PORT
}
