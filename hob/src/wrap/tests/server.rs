//! A real PostgreSQL in a directory of its own, reached by a Unix socket only.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, getuid, kill_process};
use tokio_postgres::{Client, NoTls};

use crate::wrap::PostgresSettings;

/// A server that ends when it is dropped. Tests that run at the same time share one.
pub(super) struct Server {
    pid: Pid,
    waits: Option<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The server, or none, which is said, if there is no PostgreSQL on this machine.
    pub(super) fn get() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = shared.upgrade() {
            return Some(there);
        }
        let Some(programs) = programs() else {
            println!("skipped: there is no PostgreSQL server (postgresql-15)");
            return None;
        };
        let server = Arc::new(Self::start(&programs));
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    fn start(programs: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("hob-pg-").tempdir().unwrap();
        let data = directory.path().join("data");
        if getuid().is_root() {
            chown(directory.path(), Some(account("-u")), Some(account("-g"))).unwrap();
        }
        let output = as_postgres(&programs.join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .args(["--username=postgres", "--auth=trust", "--no-sync", "--no-instructions"])
            .args(["--encoding=UTF8", "--locale=C"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rules = "local all postgres trust\nlocal all all scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let mut server = as_postgres(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(directory.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "log_statement=all"]);
        server.args(["-c", "max_connections=60"]).stderr(Stdio::piped());
        // It ends with the thread that starts it, and so with this process in any case.
        let (tell, started) = std::sync::mpsc::channel::<(Pid, ChildStderr)>();
        let waits = std::thread::spawn(move || {
            let mut child: Child = server.spawn().unwrap();
            let stderr = child.stderr.take().unwrap();
            tell.send((Pid::from_child(&child), stderr)).unwrap();
            child.wait().unwrap();
        });
        let (pid, log) = started.recv().unwrap();
        let log = BufReader::new(log);
        let mut log = log.lines().map_while(Result::ok);
        let written = directory.path().join("log");
        let mut all = String::new();
        let ready = log.find(|line| {
            all.push_str(line);
            line.contains("ready to accept connections")
        });
        assert!(ready.is_some(), "{all}");
        std::thread::spawn(move || {
            let mut file = std::fs::File::create(written).unwrap();
            log.for_each(|line| {
                // The directory may be gone already.
                let _written = std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes());
            });
        });
        Self { pid, waits: Some(waits), directory }
    }

    /// A new database, as its administrator has it.
    pub(super) async fn database(&self, name: &str) -> (PostgresSettings, Client) {
        let client = self.client("postgres").await;
        let quoted = postgres_protocol::escape::escape_identifier(name);
        client.batch_execute(&format!("CREATE DATABASE {quoted}")).await.unwrap();
        let mut settings = PostgresSettings::new(name);
        settings.host = self.directory.path().to_str().unwrap().to_owned();
        (settings, self.client(name).await)
    }

    /// A connection as the superuser.
    pub(super) async fn client(&self, database: &str) -> Client {
        superuser(self.directory.path(), database).await
    }

    /// What the server has logged: all statements.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// A connection as the superuser, to the server whose socket is in the directory.
pub(super) async fn superuser(directory: &Path, database: &str) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.host_path(directory).user("postgres").dbname(database);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Drop for Server {
    fn drop(&mut self) {
        // At once: nothing of it is to be kept.
        let _gone = kill_process(self.pid, Signal::QUIT);
        if let Some(waits) = self.waits.take() {
            let _gone = waits.join();
        }
    }
}

fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    folders.filter(|folder| folder.join("initdb").exists()).max()
}

/// PostgreSQL does not run as root.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if getuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "QUIT"]).arg(program).current_dir("/");
    command
}

/// A number of the account of PostgreSQL.
fn account(which: &str) -> u32 {
    let output = Command::new("id").args([which, "postgres"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
