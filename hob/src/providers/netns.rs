//! `netns`: machines that are processes on this host, each in a network namespace with
//! an address of its own, on a bridge in one more namespace.
//!
//! The names of all of them begin with `hob-` and eight digits that are the provider's
//! own; they are in `network.json`, beside the machines' directories.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use serde::Deserialize;
use serde::de::Error as _;

use super::files::{self, lock};
use super::process::{Home, Processes, Record};
use super::{
    Context, FleetId, Instance, Key, NothingToChoose, Order, Progress, Provider, ProviderError,
    Span, Target,
};
use crate::netns::{self, Switch};

/// The settings of [`Netns`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NetnsSettings {
    /// The addresses of the machines: `10.77.0.0/16`. The first is the host's, if it is to
    /// have one.
    pub subnet: Subnet,
    /// Whether the host has an address on the machines' bridge, the subnet's first. Else
    /// nothing leads from the machines to the host, nor back.
    pub gateway: bool,
    /// The port on which every machine listens: 7000.
    pub port: u16,
    /// How long a machine has to end by itself before it is killed: `10s`.
    pub grace: Span,
}

impl Default for NetnsSettings {
    fn default() -> Self {
        Self {
            subnet: Subnet { first: Ipv4Addr::new(10, 77, 0, 0), prefix: 16 },
            gateway: false,
            port: 7000,
            grace: Span(Duration::from_secs(10)),
        }
    }
}

/// A range of IPv4 addresses, written `10.77.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    first: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// The host's own.
    fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() | 1)
    }

    /// Those that machines may have: all but the network's own, the host's and the last.
    fn of_machines(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = self.first.to_bits();
        let last = first | (u32::MAX >> self.prefix);
        (first + 2..last).map(Ipv4Addr::from_bits)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "expected the first address and the size of a network, as in 10.77.0.0/16, found {text:?}"
            )
        };
        let (first, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let first: Ipv4Addr = first.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        // Room for a machine, and addresses that can be looked through.
        let sound = (8..=29).contains(&prefix) && first.to_bits() & (u32::MAX >> prefix) == 0;
        sound.then_some(Self { first, prefix }).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Machines that are processes in network namespaces of this host.
pub struct Netns {
    settings: NetnsSettings,
    processes: Processes,
    /// The addresses that are taken, once they have been looked up. Who holds this may
    /// change the network.
    taken: Mutex<Option<BTreeSet<Ipv4Addr>>>,
}

impl Netns {
    /// The provider with these settings. If the host is to have an address on the
    /// machines' bridge, it has it then, so that the boss can listen there.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], if that address can't be had.
    pub fn new(settings: NetnsSettings, context: &Context) -> Result<Self, ProviderError> {
        let processes = Processes::new(context, settings.grace.0);
        let netns = Self { settings, processes, taken: Mutex::default() };
        if netns.settings.gateway {
            netns.set_up(&netns.id()?)?;
        }
        Ok(netns)
    }

    /// What the names of this provider's namespaces begin with.
    fn id(&self) -> Result<String, ProviderError> {
        let path = self.processes.root()?.join("network.json");
        if let Some(id) = files::read_json(&path)? {
            return Ok(id);
        }
        let mut random = [0; 4];
        let refused = |_| ProviderError::temporary("no randomness to be had");
        getrandom::fill(&mut random).map_err(refused)?;
        let id = format!("hob-{:08x}", u32::from_ne_bytes(random));
        files::write_json(&path, &id)?;
        Ok(id)
    }

    fn set_up(&self, id: &str) -> Result<Switch, ProviderError> {
        netns::check().map_err(|why| ProviderError::lasting(format!("this provider {why}")))?;
        let switch = Switch::named(format!("{id}-switch"));
        switch.set_up().map_err(broken)?;
        if self.settings.gateway {
            let Subnet { prefix, .. } = self.settings.subnet;
            let gateway = self.settings.subnet.gateway();
            switch.plug_host(id, gateway, prefix).map_err(broken)?;
        }
        Ok(switch)
    }

    /// An address that no machine has.
    fn free_address(&self, taken: &BTreeSet<Ipv4Addr>) -> Result<Ipv4Addr, ProviderError> {
        let mut all = self.settings.subnet.of_machines();
        all.find(|address| !taken.contains(address)).ok_or_else(|| {
            ProviderError::temporary("all addresses of the subnet are taken by machines")
        })
    }

    /// The addresses of the machines that there are.
    fn taken_on_disk(&self) -> Result<BTreeSet<Ipv4Addr>, ProviderError> {
        let mut taken = BTreeSet::new();
        for home in self.processes.homes()? {
            taken.extend(home.record()?.and_then(|record| record.address));
        }
        Ok(taken)
    }

    /// Makes the namespace of a machine that does not run. Whoever calls this may change
    /// the network.
    fn connect(&self, id: &str, namespace: &str, address: Ipv4Addr) -> Result<(), ProviderError> {
        let switch = self.set_up(id)?;
        // One that nothing runs in may be half made.
        netns::remove(namespace).map_err(broken)?;
        let prefix = self.settings.subnet.prefix;
        switch.plug(namespace, address, prefix).map_err(broken)
    }

    fn address(home: &Home, record: &Record) -> Result<Ipv4Addr, ProviderError> {
        record.address.ok_or_else(|| {
            ProviderError::lasting(format!("{} has no address", home.directory.display()))
        })
    }

    fn namespace(id: &str, key: &Key) -> String {
        format!("{id}-{key}")
    }

    fn instance(id: &str, key: &Key, record: &Record) -> Instance {
        Instance {
            key: key.to_string(),
            id: Self::namespace(id, key),
            address: record.address.map(|address| address.to_string()),
        }
    }
}

impl Provider for Netns {
    fn create(&self, order: &Order, progress: &dyn Progress) -> Result<Instance, ProviderError> {
        order.spec_as::<NothingToChoose>()?;
        let home = self.processes.home(&order.key);
        let mut network = lock(&self.taken);
        let id = self.id()?;
        let mut taken = match network.take() {
            Some(taken) => taken,
            None => self.taken_on_disk()?,
        };
        let record = home.begin(order, || {
            let address = self.free_address(&taken)?;
            Ok(Record {
                name: order.name.clone(),
                fleet: order.fleet.to_string(),
                listen: format!("tcp-tls:{address}:{}", self.settings.port),
                address: Some(address),
            })
        })?;
        let address = Self::address(&home, &record)?;
        taken.insert(address);
        *network = Some(taken);
        let namespace = Self::namespace(&id, &order.key);
        if !home.runs()? {
            progress.step("network");
            self.connect(&id, &namespace, address)?;
        }
        drop(network);
        progress.step("start");
        let before = netns::enter(&namespace);
        self.processes.start(&home, &record, &before, Some(&order.enrolment))?;
        Ok(Self::instance(&id, &order.key, &record))
    }

    fn destroy(&self, target: &Target) -> Result<(), ProviderError> {
        let home = self.processes.home(&target.key);
        let record = home.record()?;
        if let Some(record) = &record {
            home.claim(record, &target.fleet)?;
        }
        self.processes.stop(&target.key)?;
        let mut network = lock(&self.taken);
        let id = self.id()?;
        let namespace = Self::namespace(&id, &target.key);
        netns::end_processes(&namespace).map_err(broken)?;
        netns::remove(&namespace).map_err(broken)?;
        self.processes.remove(&target.key)?;
        if let (Some(taken), Some(address)) = (&mut *network, record.and_then(|r| r.address)) {
            taken.remove(&address);
        }
        if self.processes.homes()?.is_empty() {
            Switch::named(format!("{id}-switch")).tear_down().map_err(broken)?;
        }
        Ok(())
    }

    fn list(&self, fleet: &FleetId) -> Result<Vec<Instance>, ProviderError> {
        let id = self.id()?;
        self.processes.each(fleet, |home, record| Self::instance(&id, &home.key, record))
    }

    fn revive(&self, target: &Target) -> Result<bool, ProviderError> {
        let home = self.processes.home(&target.key);
        let record = home.known(&target.fleet)?;
        let network = lock(&self.taken);
        let id = self.id()?;
        let namespace = Self::namespace(&id, &target.key);
        if home.runs()? {
            return Ok(false);
        }
        self.connect(&id, &namespace, Self::address(&home, &record)?)?;
        drop(network);
        self.processes.start(&home, &record, &netns::enter(&namespace), None)
    }
}

/// What `ip` says may be for lack of something that comes by itself.
fn broken(error: anyhow::Error) -> ProviderError {
    ProviderError::temporary(format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets() {
        let subnet: Subnet = "10.77.0.0/16".parse().unwrap();
        assert_eq!(subnet.gateway(), Ipv4Addr::new(10, 77, 0, 1));
        assert_eq!(subnet.of_machines().next(), Some(Ipv4Addr::new(10, 77, 0, 2)));
        assert_eq!(subnet.of_machines().count(), 65_533);
        let small: Subnet = "192.168.9.248/29".parse().unwrap();
        assert_eq!(small.of_machines().last(), Some(Ipv4Addr::new(192, 168, 9, 254)));
        for bad in ["", "10.0.0.0", "10.0.0.1/16", "10.0.0.0/30", "10.0.0.0/7", "a/16", "::/16"] {
            assert!(bad.parse::<Subnet>().unwrap_err().contains(bad), "{bad}");
        }
    }
}
