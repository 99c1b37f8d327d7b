//! Network namespaces: one for each of some processes, and one more that holds the
//! bridge between them, so that the host's own network is not touched, unless the host
//! is to have an address on the bridge as well.
//!
//! Whatever is made has a name that begins with `hob-`.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Where namespaces have their names.
const NAMES: &str = "/run/netns";

/// A namespace that holds a bridge, and thereby all namespaces that are plugged in.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    namespace: String,
}

impl Switch {
    /// The switch whose namespace has that name, whether it is there or not.
    pub(crate) fn named(namespace: String) -> Self {
        Self { namespace }
    }

    /// Makes it, if it is not there.
    pub(crate) fn set_up(&self) -> anyhow::Result<()> {
        let name = &self.namespace;
        if !exists(name) {
            ip(&["netns", "add", name])?;
        }
        let mut missing = Vec::new();
        let bridge = link(name, "bridge")?;
        if bridge.is_none() {
            missing.push("link add bridge type bridge".to_owned());
        }
        if bridge.is_none_or(|bridge| !bridge.contains(",UP")) {
            missing.push("link set bridge up".to_owned());
        }
        if missing.is_empty() { Ok(()) } else { batch(name, &missing) }
    }

    /// Makes a namespace, and plugs it in by an interface `eth0` with that address.
    pub(crate) fn plug(
        &self,
        namespace: &str,
        address: Ipv4Addr,
        prefix: u8,
    ) -> anyhow::Result<()> {
        // One of the same name that was removed just now may still have its port for a
        // while: the kernel takes its time.
        let mut random = [0; 6];
        getrandom::fill(&mut random).context("no randomness to be had")?;
        let port: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        // Always the same for an address, so that others who know it go on knowing it.
        let [a, b, c, d] = address.octets();
        let mac = format!("02:68:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
        ip(&["netns", "add", namespace])?;
        let outside = [
            format!("link add p{port} type veth peer name eth0 address {mac} netns {namespace}"),
            format!("link set p{port} master bridge up"),
        ];
        batch(&self.namespace, &outside)?;
        let inside = [
            "link set lo up".to_owned(),
            format!("addr add {address}/{prefix} dev eth0"),
            "link set eth0 up".to_owned(),
        ];
        batch(namespace, &inside)
    }

    /// Gives the host itself an address on the bridge, by an interface of that name,
    /// unless it has it.
    pub(crate) fn plug_host(
        &self,
        interface: &str,
        address: Ipv4Addr,
        prefix: u8,
    ) -> anyhow::Result<()> {
        let there = Path::new("/sys/class/net").join(interface);
        let state = std::fs::read_to_string(there.join("operstate")).unwrap_or_default();
        if state.trim() == "up" {
            // Which is done last.
            return Ok(());
        }
        if !there.exists() {
            let pair = ["link", "add", interface, "type", "veth", "peer", "name", "host"];
            ip(&[&pair[..], &["netns", &self.namespace]].concat())?;
        }
        batch(&self.namespace, &["link set host master bridge up".to_owned()])?;
        let address = format!("{address}/{prefix}");
        ip(&["addr", "replace", &address, "dev", interface])?;
        ip(&["link", "set", interface, "up"])
    }

    /// Removes it, and so the host's end as well.
    pub(crate) fn tear_down(&self) -> anyhow::Result<()> {
        remove(&self.namespace)
    }
}

/// Whether there is a namespace of that name.
pub(crate) fn exists(namespace: &str) -> bool {
    Path::new(NAMES).join(namespace).symlink_metadata().is_ok()
}

/// Removes a namespace and its interfaces, if it is there.
pub(crate) fn remove(namespace: &str) -> anyhow::Result<()> {
    if exists(namespace) { ip(&["netns", "del", namespace]) } else { Ok(()) }
}

/// Kills the processes in a namespace, if it is there.
pub(crate) fn end_processes(namespace: &str) -> anyhow::Result<()> {
    let Ok(inside) = Path::new(NAMES).join(namespace).metadata() else { return Ok(()) };
    for process in Path::new("/proc").read_dir().context("/proc")?.flatten() {
        let id = process.file_name().to_str().and_then(|id| id.parse().ok());
        // Fixed before it is looked at, so that no other can have its number meanwhile.
        let pidfd = id.and_then(Pid::from_raw).map(|id| pidfd_open(id, PidfdFlags::empty()));
        let (Some(Ok(pidfd)), Ok(its)) = (pidfd, process.path().join("ns/net").metadata()) else {
            continue;
        };
        if (its.dev(), its.ino()) == (inside.dev(), inside.ino()) {
            // It may just have ended.
            let _gone = pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
    Ok(())
}

/// What to start a process in a namespace by. The process is then its own.
pub(crate) fn enter(namespace: &str) -> [&str; 4] {
    ["ip", "netns", "exec", namespace]
}

/// Whether namespaces can be made here at all; if not, why.
pub(crate) fn check() -> Result<(), &'static str> {
    if Command::new("ip").arg("-V").output().is_err() {
        return Err("needs iproute2: there is no ip command here");
    }
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if root { Ok(()) } else { Err("needs root, to make network namespaces") }
}

/// What `ip` says of an interface, if it is there.
fn link(namespace: &str, name: &str) -> anyhow::Result<Option<String>> {
    let mut command = Command::new("ip");
    command.args(["-n", namespace, "-o", "link", "show", "dev", name]);
    let output = command.output().context("ip link show")?;
    let said = || String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(output.status.success().then(said))
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

/// Runs `ip` once for many commands in a namespace, up to the first that fails.
fn batch(namespace: &str, commands: &[String]) -> anyhow::Result<()> {
    let what = || format!("ip -n {namespace}: {}", commands.join("; "));
    let mut child = Command::new("ip")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(what)?;
    if let Some(mut stdin) = child.stdin.take() {
        let text = commands.iter().map(|command| format!("{command}\n"));
        stdin.write_all(text.collect::<String>().as_bytes()).with_context(what)?;
    }
    let output = child.wait_with_output().with_context(what)?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", what(), why.trim());
    }
    Ok(())
}
