//! What can be set for the provider, and asked for with an order.

use std::fs::{self, OpenOptions};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::providers::{Install, ProviderError};

/// `[providers.NAME]` with `kind = "qemu"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct QemuSettings {
    /// The program.
    #[serde(default = "program")]
    pub program: PathBuf,
    /// What runs the machine's processor. Left out, it is KVM where the host's processor
    /// has what KVM needs and the boss may use it, else TCG.
    #[serde(default)]
    pub accelerator: Option<Accelerator>,
    /// The model of processor, as for QEMU's `-cpu`.
    #[serde(default = "cpu")]
    pub cpu: String,
    /// How many processors; an order may say otherwise.
    #[serde(default = "cpus")]
    pub cpus: u32,
    /// How much memory, as for `-m`; an order may say otherwise.
    #[serde(default = "memory")]
    pub memory: String,
    /// The machine's hardware, as for `-machine`.
    #[serde(default = "machine")]
    pub machine: String,
    /// The disk image to boot, raw or qcow2: each machine has a copy of its own.
    #[serde(default)]
    pub image: Option<PathBuf>,
    /// The Linux kernel to boot, if there is no image.
    #[serde(default)]
    pub kernel: Option<PathBuf>,
    /// The kernel's first file system.
    #[serde(default)]
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    #[serde(default = "append")]
    pub append: String,
    /// With a kernel: how many MiB the machine's disk has. It is empty at first, and
    /// known by its serial number `hob-state`.
    #[serde(default = "state_disk")]
    pub state_disk: u64,
    /// The port on which hob listens in the machine.
    #[serde(default = "port")]
    pub port: u16,
    /// The address of the host at which that port is reached, at a port that is chosen
    /// once for each machine.
    #[serde(default = "address")]
    pub address: Ipv4Addr,
    /// How the machine comes to have `hob`.
    #[serde(default = "install")]
    pub install: Install,
    /// Whether hob may install packages in the machine.
    #[serde(default)]
    pub manage: bool,
    /// Public keys with which the image's user can log in.
    #[serde(default)]
    pub ssh_authorized_keys: Vec<String>,
    /// Further arguments for the program.
    #[serde(default)]
    pub args: Vec<String>,
}

/// What runs a machine's processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// The host's processor, by Linux's KVM.
    Kvm,
    /// QEMU itself: slower, everywhere.
    Tcg,
}

impl Accelerator {
    /// Its name for QEMU.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// KVM if it can be had. A `/dev/kvm` on a processor without virtualization is made
    /// by software for guests of its own, and others don't get far on it.
    pub(super) fn of_this_host() -> Self {
        let opens = OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        if opens && virtualizes(&processors) { Self::Kvm } else { Self::Tcg }
    }
}

fn virtualizes(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().filter_map(|line| line.strip_prefix("flags"));
    flags.flat_map(str::split_whitespace).any(|flag| flag == "vmx" || flag == "svm")
}

fn program() -> PathBuf {
    PathBuf::from("qemu-system-x86_64")
}

fn cpu() -> String {
    "max".to_owned()
}

fn cpus() -> u32 {
    1
}

fn memory() -> String {
    "512M".to_owned()
}

fn machine() -> String {
    "q35".to_owned()
}

fn append() -> String {
    "console=ttyS0".to_owned()
}

fn state_disk() -> u64 {
    1024
}

fn port() -> u16 {
    7000
}

fn address() -> Ipv4Addr {
    Ipv4Addr::LOCALHOST
}

fn install() -> Install {
    Install::Present(PathBuf::from("/usr/bin/hob"))
}

/// What the machine boots from.
pub(super) enum Boot {
    /// A copy of that disk image.
    Image(PathBuf),
    /// That kernel.
    Kernel { kernel: PathBuf, initrd: Option<PathBuf> },
}

impl QemuSettings {
    /// What is booted, by absolute paths.
    ///
    /// # Errors
    ///
    /// If that is not just one thing, or another setting is out of its range.
    pub(super) fn check(&self) -> Result<Boot, ProviderError> {
        let lasting = |why: &str| ProviderError::lasting(why);
        if self.cpus == 0 || self.state_disk == 0 || self.port == 0 {
            return Err(lasting("cpus, state-disk and port can't be 0"));
        }
        if self.address.is_multicast() || self.address.is_broadcast() {
            return Err(lasting(&format!("{} is the address of no host", self.address)));
        }
        let absolute = |path: &PathBuf| {
            let path = std::path::absolute(path);
            path.map_err(|error| lasting(&error.to_string()))
        };
        match (&self.image, &self.kernel, &self.initrd) {
            (Some(image), None, None) => Ok(Boot::Image(absolute(image)?)),
            (None, Some(kernel), initrd) => Ok(Boot::Kernel {
                kernel: absolute(kernel)?,
                initrd: initrd.as_ref().map(absolute).transpose()?,
            }),
            _ => Err(lasting("either image, or kernel with or without initrd, has to be set")),
        }
    }
}

/// What an order can ask for.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Spec {
    pub(super) cpus: Option<u32>,
    pub(super) memory: Option<String>,
    /// The host's port, if not any that is free.
    pub(super) host_port: Option<u16>,
}

impl Spec {
    pub(super) fn of(spec: &Map<String, Value>) -> Result<Self, ProviderError> {
        let spec: Self = serde_json::from_value(Value::Object(spec.clone()))
            .map_err(|error| ProviderError::lasting(format!("the spec: {error}")))?;
        if spec.cpus == Some(0) || spec.host_port == Some(0) {
            return Err(ProviderError::lasting("the spec: cpus and host-port can't be 0"));
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> QemuSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn just_one_thing_is_booted() {
        assert!(
            matches!(settings("image = \"a.qcow2\"").check(), Ok(Boot::Image(path)) if path.is_absolute())
        );
        let kernel = settings("kernel = \"vmlinuz\"\ninitrd = \"/initrd\"");
        assert!(matches!(kernel.check(), Ok(Boot::Kernel { initrd: Some(_), .. })));
        for bad in [
            "",
            "initrd = \"i\"",
            "image = \"a\"\nkernel = \"b\"",
            "image = \"a\"\ncpus = 0",
            "image = \"a\"\nport = 0",
            "image = \"a\"\naddress = \"224.0.0.1\"",
        ] {
            let error = settings(bad).check().map(|_| bad).unwrap_err();
            assert!(!error.temporary, "{error}");
        }
        assert!(toml::from_str::<QemuSettings>("kernle = \"a\"").is_err());
    }

    #[test]
    fn a_spec_has_nothing_unknown() {
        let spec = |text: &str| Spec::of(&serde_json::from_str(text).unwrap());
        assert_eq!(spec("{}"), Ok(Spec::default()));
        assert_eq!(spec("{\"memory\": \"1G\"}").unwrap().memory.as_deref(), Some("1G"));
        for bad in ["{\"size\": 1}", "{\"cpus\": 0}", "{\"host-port\": 70000}"] {
            assert!(!spec(bad).unwrap_err().temporary, "{bad}");
        }
    }

    #[test]
    fn a_processor_virtualizes_if_it_says_so() {
        assert!(virtualizes("processor : 0\nflags\t\t: fpu vmx sse\n"));
        assert!(virtualizes("flags : svm"));
        assert!(!virtualizes("model name : svm vmx\nflags : fpu kvm_pvm"));
        assert!(!virtualizes(""));
    }
}
