//! An OpenSSH server of our own on loopback, and a client for each machine.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::Failed;

/// How many clients run at once: as many as the boss lets its providers.
const AT_ONCE: usize = 16;

/// The server, until it is dropped.
pub(crate) struct Server {
    child: Child,
    directory: PathBuf,
    port: u16,
}

impl Server {
    /// `None` if there is no OpenSSH.
    pub(crate) fn start(directory: &Path) -> Result<Option<Self>, Failed> {
        let sshd = Path::new("/usr/sbin/sshd");
        if !sshd.exists() {
            return Ok(None);
        }
        let directory = directory.join("ssh");
        std::fs::create_dir(&directory)?;
        for name in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(directory.join(name))
                .status()?;
            if !made.success() {
                return Err("ssh-keygen failed".into());
            }
        }
        std::fs::copy(directory.join("user.pub"), directory.join("authorized"))?;
        // Free a moment ago; sshd can't choose one itself.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let here = directory.display();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {here}/host\nPidFile none\n\
             AuthorizedKeysFile {here}/authorized\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 1000\n"
        );
        std::fs::write(directory.join("config"), config)?;
        let key = std::fs::read_to_string(directory.join("host.pub"))?;
        std::fs::write(directory.join("known"), format!("[127.0.0.1]:{port} {key}"))?;
        std::fs::create_dir_all("/run/sshd")?;
        let child = Command::new(sshd)
            .arg("-D")
            .arg("-f")
            .arg(directory.join("config"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { child, directory, port };
        while !server.client(&["true"]).status()?.success() {}
        Ok(Some(server))
    }

    fn client(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", self.directory.join("known").display()))
            .arg("-i")
            .arg(self.directory.join("user"))
            .args(["-p", &self.port.to_string(), "127.0.0.1"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs `true` that many times, some at once.
    pub(crate) async fn fan_out(&self, machines: usize) -> Result<Duration, Failed> {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let begun = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..machines {
            let permit = permits.clone().acquire_owned().await?;
            let mut command: tokio::process::Command = self.client(&["true"]).into();
            tasks.spawn(async move {
                let status = command.status().await;
                drop(permit);
                status
            });
        }
        while let Some(status) = tasks.join_next().await {
            if !status??.success() {
                return Err("an ssh failed".into());
            }
        }
        Ok(begun.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
