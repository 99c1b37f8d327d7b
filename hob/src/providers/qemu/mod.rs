//! The provider `qemu`: machines are virtual ones on the boss's own host.
//!
//! A machine is a QEMU process and a directory, named by the order's key, see
//! `machine.rs`. It boots a copy of a disk image, or a kernel, and reads its enrolment
//! from a volume that cloud-init knows how to find (NoCloud). Its network is QEMU's own:
//! it needs no rights on the host, sees the host at 10.0.2.2, and is reached itself at one
//! port of the host.
//!
//! The process is in the background and goes on without the boss. When it has ended,
//! because the machine was switched off or the host was, [`Provider::revive`] starts it
//! again, with the disk and the port that it had, and so does [`Provider::create`].

mod machine;
mod process;
mod qmp;
mod seed;
mod settings;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub use settings::{Accelerator, QemuSettings};

use super::cloud_init::{self, CloudInit, PublicAddress};
use super::{FleetId, Instance, Key, Order, Progress, Provider, ProviderError, Target};
use machine::{DiskFormat, Machine, Record, free_port};
use qmp::SocketDirectory;
use settings::{Boot, Spec};

/// How much of what a machine writes to its console is kept, in bytes.
const CONSOLE_BYTES: u64 = 64 * 1024;
const MIB: u64 = 1024 * 1024;

/// The provider.
pub struct Qemu {
    settings: QemuSettings,
    boot: Boot,
    accelerator: Accelerator,
    directory: PathBuf,
}

impl Qemu {
    /// The provider with those settings, whose machines are in that directory; it is made
    /// when it is needed.
    ///
    /// # Errors
    ///
    /// A lasting one, if no machine could be made with the settings.
    pub fn new(settings: QemuSettings, directory: &Path) -> Result<Self, ProviderError> {
        let boot = settings.check()?;
        let directory = std::path::absolute(directory);
        let directory = directory.map_err(|error| ProviderError::lasting(error.to_string()))?;
        let accelerator = settings.accelerator.unwrap_or_else(Accelerator::of_this_host);
        let provider = Self { settings, boot, accelerator, directory };
        cloud_init::check(&provider.cloud_init("127.0.0.1:7000".to_owned()))?;
        Ok(provider)
    }

    /// What the machine has written to its console (its serial line) since this was last
    /// asked: the last 64 KiB at most.
    ///
    /// # Errors
    ///
    /// A temporary one, if it does not run.
    pub fn console(&self, key: &Key) -> Result<String, ProviderError> {
        let arguments = json!({ "device": "console", "size": CONSOLE_BYTES, "format": "base64" });
        let text = self.order(key, "ringbuf-read", arguments)?;
        let text = text.as_str().unwrap_or_default();
        let text = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text);
        let text = text.map_err(|error| ProviderError::temporary(error.to_string()))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Presses the machine's reset button: it boots anew, with all that is on its disk.
    ///
    /// # Errors
    ///
    /// A temporary one, if it does not run.
    pub fn reset(&self, key: &Key) -> Result<(), ProviderError> {
        self.order(key, "system_reset", json!({})).map(drop)
    }

    /// The id of the process in which the machine runs, if it runs.
    ///
    /// # Errors
    ///
    /// A temporary one, if that can't be found out.
    pub fn process(&self, key: &Key) -> Result<Option<u32>, ProviderError> {
        let machine = self.machine(key);
        let process = machine.process().and_then(|file| file.map(|mut file| file.id()).transpose());
        process.map_err(|error| failed(machine.path(), &error))
    }

    fn order(&self, key: &Key, command: &str, arguments: Value) -> Result<Value, ProviderError> {
        let machine = self.machine(key);
        let returned = machine.qmp().and_then(|mut qmp| qmp.execute(command, arguments));
        returned.map_err(|error| failed(machine.path(), &error))
    }

    fn machine(&self, key: &Key) -> Machine {
        Machine::new(&self.directory, key)
    }

    fn instance(&self, key: &Key, record: &Record) -> Instance {
        Instance {
            key: key.to_string(),
            id: self.machine(key).path().display().to_string(),
            address: Some(self.address(record)),
        }
    }

    fn cloud_init(&self, address: String) -> CloudInit {
        CloudInit {
            install: self.settings.install.clone(),
            port: self.settings.port,
            public_address: PublicAddress::At(address),
            manage: self.settings.manage,
            ssh_authorized_keys: self.settings.ssh_authorized_keys.clone(),
        }
    }

    fn address(&self, record: &Record) -> String {
        format!("{}:{}", self.settings.address, record.host_port)
    }

    /// The record of a machine that is new.
    fn new_record(&self, order: &Order, spec: &Spec) -> Result<Record, ProviderError> {
        let port = free_port(self.settings.address, spec.host_port).map_err(|error| {
            let port = spec.host_port.map_or_else(|| "a port".to_owned(), |port| port.to_string());
            ProviderError::temporary(format!("{port} at {}: {error}", self.settings.address))
        })?;
        let disk = match &self.boot {
            Boot::Image(image) => DiskFormat::of(image).map_err(|error| missing(image, &error))?,
            Boot::Kernel { .. } => DiskFormat::Raw,
        };
        Ok(Record {
            fleet: order.fleet.to_string(),
            name: order.name.clone(),
            host_port: port,
            disk,
            ran: false,
        })
    }

    /// Makes what the machine needs to be started.
    fn prepare(&self, order: &Order, record: &Record) -> Result<(), ProviderError> {
        let machine = self.machine(&order.key);
        let data = cloud_init::render(order, &self.cloud_init(self.address(record)))?;
        let files = [("user-data", &*data.user_data), ("meta-data", &*data.meta_data)];
        let volume =
            seed::volume(&files).map_err(|error| ProviderError::lasting(error.to_string()))?;
        let disk = match &self.boot {
            Boot::Image(image) => machine.copy_disk(image),
            Boot::Kernel { .. } => machine.make_disk(self.settings.state_disk * MIB),
        };
        let made = disk.and_then(|()| machine.write_seed(&volume));
        made.map_err(|error| failed(machine.path(), &error))
    }

    fn start(&self, key: &Key, spec: &Spec, record: &Record) -> Result<(), ProviderError> {
        let machine = self.machine(key);
        let sockets = SocketDirectory::open(machine.path());
        let sockets = sockets.map_err(|error| failed(machine.path(), &error))?;
        let arguments = self.arguments(key, spec, record, &sockets.socket());
        process::start(&self.settings.program, &arguments).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                missing(&self.settings.program, &error)
            }
            _ => failed(&self.settings.program, &error),
        })
    }

    /// QEMU's arguments for a machine. None of them is a secret.
    fn arguments(&self, key: &Key, spec: &Spec, record: &Record, socket: &Path) -> Vec<OsString> {
        let settings = &self.settings;
        let machine = self.machine(key);
        let text = |text: &str| OsString::from(text);
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: OsString| arguments.extend([text(name), value]);
        add("-name", format!("guest=hob-{0},process=hob-{0}", record.name).into());
        add("-uuid", uuid(key).into());
        add("-machine", settings.machine.clone().into());
        add("-accel", self.accelerator.option().into());
        add("-cpu", settings.cpu.clone().into());
        add("-smp", spec.cpus.unwrap_or(settings.cpus).to_string().into());
        add("-m", spec.memory.as_ref().unwrap_or(&settings.memory).into());
        add("-display", "none".into());
        add("-pidfile", machine.pid_file().into());
        add("-chardev", option("socket,id=qmp,server=on,wait=off,path=", socket));
        add("-mon", "chardev=qmp,mode=control".into());
        add("-chardev", format!("ringbuf,id=console,size={CONSOLE_BYTES}").into());
        add("-serial", "chardev:console".into());
        let forward = format!("tcp:{}-:{}", self.address(record), settings.port);
        add("-netdev", format!("user,id=net,hostfwd={forward}").into());
        // Without the ROM from which it could boot by network.
        add("-device", "virtio-net-pci,netdev=net,romfile=".into());
        add("-device", "virtio-rng-pci".into());
        let disk = format!("if=none,id=disk,format={},file=", record.disk.name());
        add("-drive", option(&disk, &machine.disk()));
        let seed = "if=none,id=seed,format=raw,readonly=on,file=";
        add("-drive", option(seed, &machine.seed()));
        match &self.boot {
            Boot::Image(_) => add("-device", "virtio-blk-pci,drive=disk,bootindex=0".into()),
            Boot::Kernel { kernel, initrd } => {
                add("-device", "virtio-blk-pci,drive=disk,serial=hob-state".into());
                add("-kernel", kernel.into());
                add("-append", settings.append.clone().into());
                if let Some(initrd) = initrd {
                    add("-initrd", initrd.into());
                }
            }
        }
        add("-device", "virtio-blk-pci,drive=seed,serial=hob-seed".into());
        arguments.extend(["-daemonize", "-nodefaults", "-no-user-config"].map(text));
        arguments.extend(settings.args.iter().map(OsString::from));
        arguments
    }
}

impl Provider for Qemu {
    fn create(&self, order: &Order, progress: &dyn Progress) -> Result<Instance, ProviderError> {
        let spec = Spec::of(&order.spec)?;
        let machine = self.machine(&order.key);
        let here = |error| failed(machine.path(), &error);
        let known = machine.record().map_err(here)?;
        if let Some(record) = &known
            && machine.process().map_err(here)?.is_some()
        {
            return Ok(self.instance(&order.key, record));
        }
        progress.step("prepare");
        let is_new = known.as_ref().is_none_or(|record| !record.ran);
        let mut record = match known {
            Some(record) if record.ran => record,
            _ => self.new_record(order, &spec)?,
        };
        machine.keep(&record).map_err(here)?;
        let started = self.prepare(order, &record).and_then(|()| {
            progress.step("boot");
            record.ran = true;
            machine.keep(&record).map_err(here)?;
            self.start(&order.key, &spec, &record)
        });
        match started {
            Ok(()) => Ok(self.instance(&order.key, &record)),
            Err(error) => {
                // The machine has never run, so there is nothing to lose: and the next
                // time it may have another port.
                if is_new {
                    machine.remove().map_err(here)?;
                }
                Err(error)
            }
        }
    }

    fn destroy(&self, target: &Target) -> Result<(), ProviderError> {
        let machine = self.machine(&target.key);
        machine.remove().map_err(|error| failed(machine.path(), &error))
    }

    fn revive(&self, target: &Target) -> Result<bool, ProviderError> {
        let spec = Spec::of(&target.spec)?;
        let machine = self.machine(&target.key);
        let here = |error| failed(machine.path(), &error);
        let known = machine.record().map_err(here)?;
        let known = known.filter(|record| record.fleet == target.fleet.as_str() && record.ran);
        let record = known.ok_or_else(|| {
            let why = format!("no machine of this fleet is left: {}", machine.path().display());
            ProviderError::lasting(why)
        })?;
        if machine.process().map_err(here)?.is_some() {
            return Ok(false);
        }
        // Its seed is as it was: the enrolment in it has been used, and the machine's own
        // disk knows the fleet.
        self.start(&target.key, &spec, &record)?;
        Ok(true)
    }

    fn list(&self, fleet: &FleetId) -> Result<Vec<Instance>, ProviderError> {
        let all = Machine::all(&self.directory);
        let all = all.map_err(|error| failed(&self.directory, &error))?;
        let mut instances = Vec::new();
        for (key, machine) in all {
            let record = machine.record().map_err(|error| failed(machine.path(), &error))?;
            // A directory without a record is one that is made or removed just now.
            if let Some(record) = record.filter(|record| record.fleet == fleet.as_str()) {
                instances.push(self.instance(&key, &record));
            }
        }
        Ok(instances)
    }
}

/// A list of options with a path at its end, in which each comma is to be doubled.
fn option(options: &str, path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut bytes = options.as_bytes().to_vec();
    for byte in path.as_os_str().as_bytes() {
        bytes.push(*byte);
        if *byte == b',' {
            bytes.push(b',');
        }
    }
    OsString::from_vec(bytes)
}

/// A key as a UUID is written.
fn uuid(key: &Key) -> String {
    let mut text = key.to_string();
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

fn failed(path: &Path, error: &io::Error) -> ProviderError {
    ProviderError::temporary(format!("{}: {error}", path.display()))
}

fn missing(path: &Path, error: &io::Error) -> ProviderError {
    ProviderError::lasting(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
