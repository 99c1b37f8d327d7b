//! systemd units: a node, a boss, a machine.
//!
//! A unit counts as started when the service can be reached (`Type=notify`). What a unit
//! may do is what its service needs: a node and a boss have no privileges and a user of
//! their own; a machine is changed by its hob, which therefore is root.

use std::path::Path;

/// For whom the units are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The whole machine: run by its first process.
    System,
    /// One user: run by that user's own systemd.
    User,
}

/// What all units have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Units<'a> {
    /// For whom.
    pub(crate) scope: Scope,
    /// The program.
    pub(crate) program: &'a Path,
    /// The file with the key that systemd passes on, if any.
    pub(crate) identity: Option<&'a Path>,
}

/// A path that a unit can't name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} can't stand in a unit: an absolute path without control characters is wanted")]
pub(crate) struct BadPath(String);

/// Who a service is.
struct Service {
    name: &'static str,
    description: &'static str,
    arguments: &'static str,
    /// Whether it changes the machine that it runs on.
    changes_the_machine: bool,
    /// Whether processes that it has started go on without it.
    leaves_processes: bool,
}

const SERVICES: [Service; 3] = [
    Service {
        name: "hob-node.service",
        description: "Hobgoblin node",
        arguments: "node",
        changes_the_machine: false,
        leaves_processes: false,
    },
    Service {
        name: "hob-boss.service",
        description: "Hobgoblin boss of a fleet",
        arguments: "boss",
        changes_the_machine: false,
        leaves_processes: true,
    },
    Service {
        name: "hob-join.service",
        description: "Hobgoblin machine of a fleet",
        arguments: "join --enrol",
        changes_the_machine: true,
        leaves_processes: true,
    },
];

/// Where nobody else may read, write or look.
const CONFINED: &str = "\
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictNamespaces=yes
CapabilityBoundingSet=
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
";

/// What takes nothing away from a service that needs the rest.
const CAREFUL: &str = "\
NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
KeyringMode=private
UMask=0077
";

/// The same for one that installs packages, whose programs may do as they like.
const CAREFUL_MACHINE: &str = "\
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
KeyringMode=private
UMask=0077
";

impl Units<'_> {
    /// The name and the text of each unit.
    ///
    /// # Errors
    ///
    /// [`BadPath`].
    pub(crate) fn render(&self) -> Result<Vec<(&'static str, String)>, BadPath> {
        let unit = |service| Ok((Service::name(service), self.unit(service)?));
        SERVICES.iter().map(unit).collect()
    }

    fn unit(&self, service: &Service) -> Result<String, BadPath> {
        let program = quoted(self.program)?;
        let system = self.scope == Scope::System;
        let others = SERVICES.iter().map(Service::name).filter(|name| *name != service.name);
        let others: Vec<&str> = others.collect();
        let mut arguments = service.arguments.to_owned();
        if service.changes_the_machine {
            arguments.push_str(if system { " /etc/hob/enrol.cap" } else { " %E/hob/enrol.cap" });
        }
        let (after, target) = match self.scope {
            Scope::System => {
                ("Wants=network-online.target\nAfter=network-online.target\n", "multi-user")
            }
            Scope::User => ("", "default"),
        };
        let mut text = format!(
            "[Unit]\nDescription={}\nDocumentation=man:hob(1)\n{after}Conflicts={}\n\
             StartLimitIntervalSec=0\n\n[Service]\nType=notify\nExecStart={program} {arguments}\n\
             Restart=on-failure\nRestartSec=2\nRestartPreventExitStatus=2 4 7\nWatchdogSec=60\n\
             TimeoutStopSec=20\nStateDirectory=hob\nStateDirectoryMode=0700\n\
             RuntimeDirectory=hob\nRuntimeDirectoryMode=0700\n",
            service.description,
            others.join(" "),
        );
        if service.leaves_processes {
            text.push_str("KillMode=process\n");
        }
        if let Some(identity) = self.identity {
            text.push_str(&format!("LoadCredential=identity.pem:{}\n", escaped(identity)?));
        }
        text.push('\n');
        match (system, service.changes_the_machine) {
            (true, true) => text.push_str(CAREFUL_MACHINE),
            // A user's systemd has no privileges to take away.
            (false, _) => text.push_str(CAREFUL),
            (true, false) => {
                text.push_str("DynamicUser=yes\nConfigurationDirectory=hob\n");
                text.push_str(CAREFUL);
                text.push_str(CONFINED);
            }
        }
        text.push_str(&format!("\n[Install]\nWantedBy={target}.target\n"));
        Ok(text)
    }
}

impl Service {
    const fn name(&self) -> &'static str {
        self.name
    }
}

/// A path in which systemd finds no specifiers.
fn escaped(path: &Path) -> Result<String, BadPath> {
    let bad = || BadPath(path.to_string_lossy().into_owned());
    let text = path.to_str().filter(|_| path.is_absolute()).ok_or_else(bad)?;
    if text.chars().any(char::is_control) { Err(bad()) } else { Ok(text.replace('%', "%%")) }
}

/// The same as one word of a command.
fn quoted(path: &Path) -> Result<String, BadPath> {
    let text = escaped(path)?.replace('$', "$$");
    if text.contains([' ', '"', '\'', '\\', ';']) {
        return Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(scope: Scope, program: &str, identity: Option<&str>) -> Vec<(&'static str, String)> {
        let identity = identity.map(Path::new);
        Units { scope, program: Path::new(program), identity }.render().unwrap()
    }

    #[test]
    fn a_users_node() {
        let units = render(Scope::User, "/usr/bin/hob", None);
        let expected = "\
[Unit]
Description=Hobgoblin node
Documentation=man:hob(1)
Conflicts=hob-boss.service hob-join.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=/usr/bin/hob node
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2 4 7
WatchdogSec=60
TimeoutStopSec=20
StateDirectory=hob
StateDirectoryMode=0700
RuntimeDirectory=hob
RuntimeDirectoryMode=0700

NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
KeyringMode=private
UMask=0077

[Install]
WantedBy=default.target
";
        assert_eq!(units[0], ("hob-node.service", expected.to_owned()));
    }

    #[test]
    fn the_systems_units_give_up_what_they_do_not_need() {
        let units = render(Scope::System, "/opt/my hob/100%", Some("/etc/hob/key"));
        for (name, text) in &units {
            assert!(text.contains("ExecStart=\"/opt/my hob/100%%\" "), "{text}");
            assert!(text.contains("\nLoadCredential=identity.pem:/etc/hob/key\n"), "{text}");
            // A machine's hob installs packages, which confinement would forbid.
            let confined = *name != "hob-join.service";
            for line in ["DynamicUser=yes", "ProtectSystem=strict", "CapabilityBoundingSet="] {
                assert_eq!(text.contains(&format!("\n{line}\n")), confined, "{name} {line}");
            }
        }
        // Machines may be processes that their boss has started, and machines have services.
        let leaves = units.iter().map(|(_, text)| text.contains("\nKillMode=process\n"));
        assert_eq!(leaves.collect::<Vec<_>>(), [false, true, true]);
        assert!(units[2].1.contains("join --enrol /etc/hob/enrol.cap\n"), "{}", units[2].1);
        for bad in ["hob", "/a\nb"] {
            let units = Units { scope: Scope::User, program: Path::new(bad), identity: None };
            assert!(units.render().is_err());
        }
    }

    /// systemd's own opinion, where it is installed.
    #[test]
    fn systemd_has_nothing_to_say_against_them() {
        use std::process::Command;
        if Command::new("systemd-analyze").arg("--version").output().is_err() {
            println!("skipped: systemd-analyze is not installed");
            return;
        }
        for scope in [Scope::System, Scope::User] {
            let directory = tempfile::Builder::new().prefix("hob-units-").tempdir().unwrap();
            let mut command = Command::new("systemd-analyze");
            if scope == Scope::User {
                command.arg("--user").env("XDG_RUNTIME_DIR", directory.path());
            }
            // Manual pages are looked for by a program that may not be there.
            command.args(["verify", "--man=no", "--recursive-errors=no"]);
            for (name, text) in render(scope, "/bin/true", Some("/etc/hob/key")) {
                std::fs::write(directory.path().join(name), text).unwrap();
                command.arg(directory.path().join(name));
            }
            let said = command.output().unwrap();
            let text = String::from_utf8_lossy(&said.stderr);
            let ours: Vec<&str> = text.lines().filter(|line| line.contains("hob-")).collect();
            assert!(said.status.success() && ours.is_empty(), "{scope:?}: {text}");
        }
    }
}
