//! User data for machines that run cloud-init at their first boot: what enrols them.
//!
//! The user data is a `#cloud-config` document written as JSON, which is YAML too, and of
//! printable ASCII alone, on which all versions of YAML agree. It has the machine
//!
//! - keep its enrolment in `/etc/hob/enrol.cap`: root's, 0600, in a directory of mode 0700,
//! - fetch `hob` and check it, if the image has none ([`Install::Download`]),
//! - run `hob join` as a systemd unit, from now on and after each boot,
//! - remove `/etc/hob/enrol.cap` as soon as the unit is ready: that is, has registered.
//!
//! **What remains where.** cloud-init keeps the user data below `/var/lib/cloud`, for root
//! only; a cloud keeps it as well and gives it to every program on the machine that asks
//! for it, and takes no change of it while the machine exists; the `cloud-init` provider
//! keeps it in its directory, for its owner only, until the machine is destroyed. The one
//! secret in it, the enrolment, is good for one registration and means nothing after it.

pub mod nocloud;

use std::fmt;
use std::net::Ipv6Addr;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Install, Order, ProviderError};

/// Where the machine keeps its enrolment until it has registered.
pub const ENROLMENT_FILE: &str = "/etc/hob/enrol.cap";
/// The machine's state directory.
pub const STATE_DIR: &str = "/var/lib/hob";
/// The port on which a machine listens if nothing else is said.
pub const DEFAULT_PORT: u16 = 7000;

/// Where `hob` is put that is downloaded.
const PROGRAM: &str = "/usr/local/bin/hob";
const INSTALL: &str = "/usr/local/lib/hob/install";
const START: &str = "/usr/local/lib/hob/start";
const UNIT: &str = "/etc/systemd/system/hob.service";

/// What a machine does at its first boot, besides enrolling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudInit {
    /// How it comes to have `hob`. It can't be copied to it.
    pub install: Install,
    /// The TCP port on which its hob listens, at all of its IPv4 addresses.
    pub port: u16,
    /// Where others reach that port.
    pub public_address: PublicAddress,
    /// Whether hob may do to the machine all that root may, as it must if it is to install
    /// packages there. Else the unit is root's, but without capabilities and in a
    /// read-only system.
    pub manage: bool,
    /// Public keys, as in `authorized_keys`, with which the image's user can log in.
    pub ssh_authorized_keys: Vec<String>,
}

impl CloudInit {
    /// What is usual, with that way of installing.
    pub fn new(install: Install) -> Self {
        Self {
            install,
            port: DEFAULT_PORT,
            public_address: PublicAddress::Own,
            manage: false,
            ssh_authorized_keys: Vec::new(),
        }
    }
}

/// Where others reach a machine. In settings `own`, or `HOST:PORT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum PublicAddress {
    /// At the IPv4 address that the machine itself has on its way out, whatever it is at
    /// the time; so not behind NAT.
    #[default]
    Own,
    /// At this host (or address) and port.
    At(String),
}

impl From<String> for PublicAddress {
    fn from(text: String) -> Self {
        if text == "own" { Self::Own } else { Self::At(text) }
    }
}

/// The two documents that cloud-init reads from a NoCloud source. A cloud is given the
/// first alone, and makes up the second.
#[derive(Clone, PartialEq, Eq)]
pub struct UserData {
    /// The `#cloud-config`. It holds the enrolment, and so is a secret.
    pub user_data: String,
    /// The `meta-data`: the instance's id, made of the order's key, and its host name.
    pub meta_data: String,
}

impl UserData {
    /// That the user data is no larger than a cloud takes.
    ///
    /// # Errors
    ///
    /// If it is, a lasting one with both sizes.
    pub fn within(&self, limit: usize, whose: &str) -> Result<(), ProviderError> {
        let bytes = self.user_data.len();
        if bytes > limit {
            let why = format!("the user data has {bytes} bytes, and {whose} takes {limit}");
            return Err(ProviderError::lasting(why));
        }
        Ok(())
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserData(…)")
    }
}

/// The user data for the machine that is ordered.
///
/// # Errors
///
/// A lasting [`ProviderError`] that says what can't be written down safely: a name that is
/// no host name, an enrolment, address, path or key with characters that have no place
/// there, or a way of installing that is not possible here.
pub fn render(order: &Order, options: &CloudInit) -> Result<UserData, ProviderError> {
    check_host_name(&order.name)?;
    let enrolment = order.enrolment.reveal();
    if !enrolment.starts_with("ocapn://") || !enrolment.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(ProviderError::lasting("the enrolment is no ocapn:// URI"));
    }
    let mut files = vec![file(ENROLMENT_FILE, "0600", &format!("{enrolment}\n"))];
    files.extend(service(options)?);
    let mut config = json!({
        "hostname": order.name,
        "preserve_hostname": false,
        // Before the files are written, so that nobody can open one before it has its mode.
        "bootcmd": [["install", "-d", "-m", "0700", "/etc/hob"]],
        "write_files": files,
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", "--now", "--no-block", "hob.service"],
        ],
    });
    if !options.ssh_authorized_keys.is_empty() {
        config["ssh_authorized_keys"] = json!(options.ssh_authorized_keys);
    }
    let meta = json!({
        "instance-id": format!("hob-{}", order.key),
        "local-hostname": order.name,
    });
    Ok(UserData {
        user_data: format!("#cloud-config\n{config:#}\n"),
        meta_data: format!("{meta:#}\n"),
    })
}

/// That machines can be made with those options.
pub(crate) fn check(options: &CloudInit) -> Result<(), ProviderError> {
    service(options).map(|_files| ())
}

/// The files that install hob and run it as a service: all that depends on the options.
fn service(options: &CloudInit) -> Result<Vec<Value>, ProviderError> {
    if options.port == 0 {
        return Err(ProviderError::lasting("port 0 is none that others could reach"));
    }
    for key in &options.ssh_authorized_keys {
        if key.is_empty() || !key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            let why = format!("{key:?} is no public key on one line of ASCII");
            return Err(ProviderError::lasting(why));
        }
    }
    let mut files = Vec::new();
    let program = match &options.install {
        Install::Present(path) => plain_path(path)?,
        Install::Download { url, sha256 } => {
            files.push(file(INSTALL, "0755", &install_script(PROGRAM, url, sha256)?));
            PROGRAM
        }
        Install::Copy(_) => {
            let why = "cloud-init can't copy hob to a machine: install it by present or download";
            return Err(ProviderError::lasting(why));
        }
    };
    let command = match &options.public_address {
        PublicAddress::Own => {
            files.push(file(START, "0755", &start_script(program, options.port)));
            START.to_owned()
        }
        PublicAddress::At(address) => {
            check_address(address)?;
            format!(
                "{program} join --state {STATE_DIR} --enrol {ENROLMENT_FILE} \
                 --listen tcp-tls:0.0.0.0:{} --public-address {address}",
                options.port
            )
        }
    };
    files.push(file(UNIT, "0644", &unit(&command, options)));
    Ok(files)
}

fn file(path: &str, mode: &str, content: &str) -> Value {
    json!({ "path": path, "owner": "root:root", "permissions": mode, "content": content })
}

/// That a machine's name is one for a host, by RFC 1123.
///
/// # Errors
///
/// A lasting one, if it is not.
pub(crate) fn check_host_name(name: &str) -> Result<(), ProviderError> {
    let good = (1..=63).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-')
        && !name.ends_with('-');
    if good {
        return Ok(());
    }
    Err(ProviderError::lasting(format!(
        "{name:?} is no host name: 1 to 63 of a-z, 0-9 and -, the first and last no -"
    )))
}

/// A path that means itself to systemd and to a shell.
fn plain_path(path: &Path) -> Result<&str, ProviderError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte);
    path.to_str().filter(|text| text.starts_with('/') && text.bytes().all(plain)).ok_or_else(|| {
        let path = path.display().to_string();
        let why =
            format!("{path:?}: an absolute path of letters, digits and any of /._+- is wanted");
        ProviderError::lasting(why)
    })
}

/// That it is `HOST:PORT`, with brackets about an IPv6 address.
fn check_address(address: &str) -> Result<(), ProviderError> {
    let good = address.rsplit_once(':').is_some_and(|(host, port)| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_good = match inner {
            Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
            None => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
                (1..=253).contains(&host.len()) && host.bytes().all(plain)
            }
        };
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        host_good && digits && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if good {
        return Ok(());
    }
    Err(ProviderError::lasting(format!("{address:?} is no public address: write HOST:PORT")))
}

/// The script that fetches hob, for `/bin/sh`.
fn install_script(program: &str, url: &str, sha256: &str) -> Result<String, ProviderError> {
    let scheme = url.starts_with("https://") || url.starts_with("http://");
    if !scheme || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ProviderError::lasting(format!("{url:?} is no URL of http or https")));
    }
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ProviderError::lasting(format!("{sha256:?} is no SHA-256 in hexadecimal")));
    }
    Ok(script(
        &[("program", program), ("url", url), ("sha256", &sha256.to_ascii_lowercase())],
        include_str!("cloud_init/install.sh"),
    ))
}

/// The script that starts hob with the address that the machine has at the time.
fn start_script(program: &str, port: u16) -> String {
    let port = port.to_string();
    script(
        &[
            ("program", program),
            ("state", STATE_DIR),
            ("enrolment", ENROLMENT_FILE),
            ("port", &port),
        ],
        include_str!("cloud_init/start.sh"),
    )
}

fn script(variables: &[(&str, &str)], body: &str) -> String {
    let mut text = String::from("#!/bin/sh\nset -eu\n");
    for (name, value) in variables {
        text.push_str(&format!("{name}={}\n", quoted(value)));
    }
    text + body
}

/// A word for a shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The systemd unit. Exit codes 4 and 7 are an enrolment that has been used or is refused,
/// and another boss than the enrolment's: to try again would only fill the boss's audit
/// log.
fn unit(command: &str, options: &CloudInit) -> String {
    let install = match options.install {
        Install::Download { .. } => format!("ExecStartPre=+{INSTALL}\n"),
        _ => String::new(),
    };
    let rights = if options.manage { MANAGING.to_owned() } else { confined(options.port) };
    format!(
        "[Unit]\n\
         Description=Hobgoblin: this machine's part in its fleet\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=notify\n\
         {install}\
         ExecStart={command}\n\
         ExecStartPost=+/bin/rm -f {ENROLMENT_FILE}\n\
         KillMode=process\n\
         Restart=always\n\
         RestartSec=5\n\
         RestartPreventExitStatus=4 7\n\
         TimeoutStartSec=30min\n\
         StateDirectory=hob\n\
         StateDirectoryMode=0700\n\
         RuntimeDirectory=hob\n\
         UMask=0077\n\
         ProtectClock=yes\n\
         LockPersonality=yes\n\
         RestrictRealtime=yes\n\
         {rights}\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// What may install packages can't be kept from much; this at least is none of its
/// business.
const MANAGING: &str = "ProtectKernelLogs=yes\n";

fn confined(port: u16) -> String {
    let capabilities = if port < 1024 { "CAP_NET_BIND_SERVICE" } else { "" };
    format!(
        "CapabilityBoundingSet={capabilities}\n\
         NoNewPrivileges=yes\n\
         ProtectSystem=strict\n\
         ReadWritePaths=-/etc/hob\n\
         ProtectHome=yes\n\
         PrivateTmp=yes\n\
         PrivateDevices=yes\n\
         ProtectControlGroups=yes\n\
         ProtectHostname=yes\n\
         ProtectKernelLogs=yes\n\
         ProtectKernelModules=yes\n\
         ProtectKernelTunables=yes\n\
         MemoryDenyWriteExecute=yes\n\
         RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK\n\
         RestrictNamespaces=yes\n\
         RestrictSUIDSGID=yes\n\
         SystemCallArchitectures=native\n\
         SystemCallFilter=@system-service\n"
    )
}

#[cfg(test)]
mod tests;
