//! An sshd of the test's own: on loopback, with keys of its own, for this user.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::support::Place;

/// It listens as long as this lives.
pub(crate) struct Sshd {
    pub(crate) port: u16,
    /// The host's public key, as it is written in a file of known hosts.
    pub(crate) host_key: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Makes a pair of keys, and gives the public one.
pub(crate) fn key(place: &Place, name: &str) -> String {
    let path = place.path(name);
    if !path.exists() {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
            .arg(&path)
            .status();
        assert!(made.unwrap().success());
    }
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    public.trim().to_owned()
}

impl Sshd {
    /// Starts one whose files are in the place, and to which the key `client_key` opens.
    pub(crate) fn start(place: &Place, name: &str) -> Self {
        let client = key(place, "client_key");
        place.write("authorized_keys", 0o600, &format!("{client}\n"));
        let host_key = key(place, &format!("{name}_host_key"));
        let config = format!(
            "HostKey {host}\nAuthorizedKeysFile {keys}\nPidFile none\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nLogLevel ERROR\nSetEnv PATH={path}\n",
            host = place.path(&format!("{name}_host_key")).display(),
            keys = place.path("authorized_keys").display(),
            path = format_args!("{}:/usr/bin:/bin:/usr/sbin:/sbin", place.path("bin").display()),
        );
        place.write(&format!("{name}_config"), 0o600, &config);
        let separation = Path::new("/run/sshd");
        if !separation.exists() {
            // Where it is missing only root can make it, and only root's sshd needs it.
            let _needless = std::fs::create_dir(separation);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, config) = (stop.clone(), place.path(&format!("{name}_config")));
        let log = place.path(&format!("{name}_log"));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                serve(stream.unwrap(), &config, &log);
            }
        });
        Self { port, host_key, stop, thread: Some(thread) }
    }

    /// What it is called in settings.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its line in a file of known hosts, with that key.
    pub(crate) fn known_as(&self, key: &str) -> String {
        format!("[127.0.0.1]:{} {key}\n", self.port)
    }
}

/// Has an sshd answer one connection, until it ends.
fn serve(stream: TcpStream, config: &Path, log: &Path) {
    let out: OwnedFd = stream.try_clone().unwrap().into();
    let log = File::options().create(true).append(true).open(log).unwrap();
    let child = Command::new("/usr/sbin/sshd")
        .args(["-i", "-e", "-f"])
        .arg(config)
        .stdin(Stdio::from(OwnedFd::from(stream)))
        .stdout(out)
        .stderr(log)
        .spawn();
    let mut child = child.unwrap();
    std::thread::spawn(move || child.wait());
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}
