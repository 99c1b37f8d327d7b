//! Running OpenSSH's `ssh`: what it is told, and what becomes of it.

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use zeroize::Zeroizing;

use super::SshSettings;
use super::host::Host;
use crate::providers::ProviderError;
use crate::providers::process::Pause;
use crate::providers::provisioner::TEMPORARY;

/// How much of what a host says is kept.
const OUTPUT_BYTES: u64 = 1024 * 1024;

/// What `ssh` ends with if it is its own error and not the command's.
const OWN_ERROR: i32 = 255;

/// What the command there reads.
pub(super) enum Input {
    Text(Zeroizing<String>),
    File(File),
}

/// Runs a command on a host, and gives what it has printed.
pub(super) fn run(
    settings: &SshSettings,
    host: &Host,
    command: &str,
    input: Input,
) -> Result<String, ProviderError> {
    let mut ssh = Command::new("ssh");
    ssh.args(options(settings, host)).arg("--").arg(host.name()).arg(command);
    ssh.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let text = match input {
        Input::File(file) => {
            ssh.stdin(file);
            None
        }
        Input::Text(text) => {
            ssh.stdin(Stdio::piped());
            Some(text)
        }
    };
    let mut child = ssh.spawn().map_err(|error| {
        ProviderError::lasting(format!("can't start ssh, OpenSSH's client: {error}"))
    })?;
    if let (Some(mut stdin), Some(text)) = (child.stdin.take(), text) {
        // That it is not read to its end, the exit status tells as well.
        std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    }
    let out = child.stdout.take().map(collect);
    let err = child.stderr.take().map(collect);
    let Some(status) = wait(&mut child, settings.timeout.0) else {
        let seconds = settings.timeout.0.as_secs_f64();
        return Err(ProviderError::temporary(format!("{host}: no end after {seconds} s")));
    };
    let (out, err) = (text_of(out), text_of(err));
    if status.success() { Ok(out) } else { Err(failure(host, status, &err)) }
}

/// What is set for every connection. The first word on a setting is the one that counts,
/// so no configuration file weakens what is said here.
fn options(settings: &SshSettings, host: &Host) -> Vec<String> {
    let seconds = settings.connect_timeout.0.as_secs().max(1);
    let known_hosts = settings.known_hosts.display().to_string().replace('%', "%%");
    let mut options: Vec<String> = [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        "KnownHostsCommand=none",
        "VerifyHostKeyDNS=no",
        "NoHostAuthenticationForLocalhost=no",
        "UpdateHostKeys=no",
        "CheckHostIP=no",
        // A connection that is there already may be anybody's.
        "ControlMaster=no",
        "ControlPath=none",
        "ForwardAgent=no",
        "ForwardX11=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "RequestTTY=no",
        "EscapeChar=none",
        "LogLevel=ERROR",
        "ServerAliveInterval=10",
        "ServerAliveCountMax=3",
    ]
    .map(str::to_owned)
    .into();
    options.push(format!("UserKnownHostsFile=\"{known_hosts}\""));
    options.push(format!("ConnectTimeout={seconds}"));
    if let Some(file) = &settings.identity_file {
        options.push("IdentitiesOnly=yes".to_owned());
        options.push(format!("IdentityFile=\"{}\"", file.display().to_string().replace('%', "%%")));
    }
    if let Some(port) = host.port().or(settings.port) {
        options.push(format!("Port={port}"));
    }
    if let Some(user) = host.user().or(settings.user.as_deref()) {
        options.push(format!("User={user}"));
    }
    options
        .into_iter()
        .chain(settings.options.iter().cloned())
        .flat_map(|o| ["-o".into(), o])
        .collect()
}

/// Waits for the end; kills what does not come to it.
fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let mut pause = Pause::until(patience);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if !pause.rest() {
            // The number is its own until it has been waited for.
            let _gone = kill_process_group(Pid::from_child(child), Signal::KILL);
            let _reaped = child.wait();
            return None;
        }
    }
}

fn collect(from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut from = from;
        let mut bytes = Vec::new();
        let _what_came = from.by_ref().take(OUTPUT_BYTES).read_to_end(&mut bytes);
        // What is too much is read all the same: else the other side would wait for ever.
        let _drained = std::io::copy(&mut from, &mut std::io::sink());
        bytes
    })
}

fn text_of(collected: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = collected.and_then(|thread| thread.join().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What went wrong, by what `ssh` says of it. Its messages are in English always.
fn failure(host: &Host, status: ExitStatus, said: &str) -> ProviderError {
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.last().copied().unwrap_or("no word of why");
    if status.code() != Some(OWN_ERROR) {
        let why = format!("{host}: {last}");
        return match status.code() {
            Some(TEMPORARY) | None => ProviderError::temporary(why),
            _ => ProviderError::lasting(why),
        };
    }
    if ["HOST IDENTIFICATION HAS CHANGED", "REVOKED HOST KEY"].iter().any(|w| said.contains(w)) {
        let why = format!("{host} has not the host key that known_hosts has for it");
        return ProviderError::identity_mismatch(why);
    }
    if said.contains("Host key verification failed") {
        let why = "known_hosts has no key for it; add the one that you have from a sure source";
        return ProviderError::lasting(format!("{host}: {why}"));
    }
    let lasting = ["Permission denied", "Too many authentication failures", "Bad configuration"];
    if lasting.iter().any(|words| said.contains(words)) {
        return ProviderError::lasting(format!("{host}: {last}"));
    }
    ProviderError::temporary(format!("{host}: {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn failures_by_what_ssh_says() {
        let host: Host = "root@db.example:2222".parse().unwrap();
        // Status, what was said, temporary, mismatch.
        let table = [
            (
                255,
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                false,
                true,
            ),
            (
                255,
                "No ED25519 host key is known for x and …\nHost key verification failed.",
                false,
                false,
            ),
            (255, "root@db.example: Permission denied (publickey).", false, false),
            (255, "ssh: connect to host x port 22: Connection refused", true, false),
            (255, "", true, false),
            (75, "somebody else is at work", true, false),
            (3, "is of another fleet", false, false),
            (1, "HOST IDENTIFICATION HAS CHANGED, says the command", false, false),
        ];
        for (code, said, temporary, mismatch) in table {
            let error = failure(&host, ExitStatus::from_raw(code << 8), said);
            assert_eq!(
                (error.temporary, error.identity_mismatch),
                (temporary, mismatch),
                "{error}"
            );
            assert!(error.why.contains("db.example"), "{error}");
        }
    }
}
