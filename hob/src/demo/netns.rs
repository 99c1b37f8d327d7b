//! `hob demo --netns`: a network namespace for each process.

use std::net::Ipv4Addr;

use anyhow::{Context as _, anyhow};

use crate::netns::{self, Switch};

/// The namespaces of one demo. Removed when dropped, however the demo ends.
pub(super) struct Network {
    suffix: String,
    switch: Switch,
    places: Vec<Place>,
}

struct Place {
    name: &'static str,
    namespace: String,
    address: Ipv4Addr,
}

impl Network {
    /// Makes a namespace for each name, with an address on a common bridge.
    pub(super) fn set_up(names: &[&'static str]) -> anyhow::Result<Self> {
        let needed = |why| anyhow!("--netns {why}; run hob demo without it");
        netns::check().map_err(needed)?;
        let mut random = [0; 4];
        getrandom::fill(&mut random).context("no randomness to be had")?;
        let suffix: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let switch = Switch::named(format!("hob-{suffix}-switch"));
        let mut network = Self { suffix, switch, places: Vec::new() };
        // From here on dropping cleans up.
        network.build(names).context("setting up network namespaces")?;
        Ok(network)
    }

    fn build(&mut self, names: &[&'static str]) -> anyhow::Result<()> {
        self.switch.set_up()?;
        for (index, &name) in (1_u8..).zip(names) {
            let namespace = format!("hob-{}-{name}", self.suffix);
            let address = Ipv4Addr::new(10, 77, 0, index);
            self.places.push(Place { name, namespace: namespace.clone(), address });
            self.switch.plug(&namespace, address, 24)?;
        }
        Ok(())
    }

    /// What to start a process with, and the address that it then has.
    pub(super) fn place(&self, name: &str) -> anyhow::Result<(Vec<String>, String)> {
        let place = self.places.iter().find(|place| place.name == name);
        let place = place.with_context(|| format!("no namespace for {name}"))?;
        let words = netns::enter(&place.namespace);
        Ok((words.map(str::to_owned).to_vec(), place.address.to_string()))
    }

    /// Removes the namespaces, and says what can't be removed.
    pub(super) fn tear_down(mut self) -> anyhow::Result<()> {
        self.remove().context("removing network namespaces")
    }

    fn remove(&mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for place in self.places.drain(..) {
            outcome = outcome.and(netns::remove(&place.namespace));
        }
        outcome.and(self.switch.tear_down())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!("network namespaces are left behind: {error:#}");
        }
    }
}
