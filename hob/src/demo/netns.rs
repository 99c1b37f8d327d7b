//! `hob demo --netns`: a network namespace for each process, and one more that holds
//! the bridge between them, so that the machine's own network is never touched.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use anyhow::{Context as _, bail};

/// The namespaces of one demo. Removed when dropped, however the demo ends.
pub(super) struct Network {
    suffix: String,
    places: Vec<Place>,
}

struct Place {
    name: &'static str,
    namespace: String,
    address: String,
}

impl Network {
    /// Makes a namespace for each name, with an address on a common bridge.
    pub(super) fn set_up(names: &[&'static str]) -> anyhow::Result<Self> {
        check()?;
        let mut random = [0; 4];
        getrandom::fill(&mut random).context("no randomness to be had")?;
        let suffix: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut network = Self { suffix, places: Vec::new() };
        // From here on dropping cleans up.
        network.build(names).context("setting up network namespaces")?;
        Ok(network)
    }

    fn switch(&self) -> String {
        format!("hob-{}-switch", self.suffix)
    }

    fn build(&mut self, names: &[&'static str]) -> anyhow::Result<()> {
        let switch = self.switch();
        ip(&["netns", "add", &switch])?;
        ip(&["-n", &switch, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "bridge", "up"])?;
        for (index, &name) in names.iter().enumerate() {
            let namespace = format!("hob-{}-{name}", self.suffix);
            let address = format!("10.77.0.{}", index + 1);
            let port = format!("port{index}");
            self.places.push(Place {
                name,
                namespace: namespace.clone(),
                address: address.clone(),
            });
            let inside = ["-n", namespace.as_str()];
            ip(&["netns", "add", &namespace])?;
            ip(&[&inside[..], &["link", "set", "lo", "up"]].concat())?;
            let pair =
                ["link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", &switch];
            ip(&[&inside[..], &pair].concat())?;
            ip(&["-n", &switch, "link", "set", &port, "master", "bridge", "up"])?;
            let address = format!("{address}/24");
            ip(&[&inside[..], &["addr", "add", &address, "dev", "eth0"]].concat())?;
            ip(&[&inside[..], &["link", "set", "eth0", "up"]].concat())?;
        }
        Ok(())
    }

    /// What to start a process with, and the address that it then has.
    pub(super) fn place(&self, name: &str) -> anyhow::Result<(Vec<String>, String)> {
        let place = self.places.iter().find(|place| place.name == name);
        let place = place.with_context(|| format!("no namespace for {name}"))?;
        let words = ["ip", "netns", "exec", &place.namespace];
        Ok((words.map(str::to_owned).to_vec(), place.address.clone()))
    }

    /// Removes the namespaces, and says what can't be removed.
    pub(super) fn tear_down(mut self) -> anyhow::Result<()> {
        self.remove().context("removing network namespaces")
    }

    fn remove(&mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        let places = self.places.drain(..).map(|place| place.namespace);
        let switch = format!("hob-{}-switch", self.suffix);
        let all: Vec<String> = places.chain([switch]).collect();
        let there = std::fs::read_dir("/run/netns").into_iter().flatten();
        let there: Vec<_> = there.flatten().map(|entry| entry.file_name()).collect();
        for namespace in all {
            if there.iter().any(|name| *name == *namespace) {
                outcome = outcome.and(ip(&["netns", "del", &namespace]));
            }
        }
        outcome
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!("network namespaces are left behind: {error:#}");
        }
    }
}

/// Whether namespaces can be made here at all.
fn check() -> anyhow::Result<()> {
    if Command::new("ip").arg("-V").output().is_err() {
        bail!("--netns needs iproute2: there is no ip command here; run hob demo without it");
    }
    let own = std::fs::metadata("/proc/self").context("whether this is root")?;
    if own.uid() != 0 {
        bail!("--netns needs root, to make network namespaces; run hob demo without it");
    }
    Ok(())
}

/// Runs `ip`.
fn ip(args: &[&str]) -> anyhow::Result<()> {
    let what = || format!("ip {}", args.join(" "));
    let output = Command::new("ip").args(args).output().with_context(what)?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", what(), why.trim());
    }
    Ok(())
}
