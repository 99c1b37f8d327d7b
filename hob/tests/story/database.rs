//! A real PostgreSQL in a directory of its own, reached by a Unix socket only.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::Killed;

/// That of the role `hob`, which may make others.
pub(crate) const PASSWORD: &str = "not a secret";

/// A server with the database `shop`, which is the role `hob`'s. It ends when it is dropped.
pub(crate) struct Database {
    _server: Killed,
    directory: TempDir,
}

/// Where the server's programs are, if it is installed.
pub(crate) fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    folders.filter(|folder| folder.join("initdb").exists()).max()
}

/// PostgreSQL does not run as root.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "QUIT"]).arg(program).current_dir("/");
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn account(which: &str) -> u32 {
    let output = Command::new("id").args([which, "postgres"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

impl Database {
    pub(crate) fn start(programs: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("hob-pg-").tempdir().unwrap();
        let data = directory.path().join("data");
        if is_root() {
            chown(directory.path(), Some(account("-u")), Some(account("-g"))).unwrap();
        }
        let made = as_postgres(&programs.join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .args(["--username=postgres", "--auth=trust", "--no-sync", "--no-instructions"])
            .args(["--encoding=UTF8", "--locale=C"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Whoever is not the administrator needs a password.
        let rules = "local all postgres trust\nlocal all all scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let mut server = as_postgres(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(directory.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off"]).stderr(Stdio::piped());
        let mut server = Killed(server.spawn().unwrap());
        let mut log = BufReader::new(server.0.stderr.take().unwrap()).lines();
        let ready = log.any(|line| line.unwrap().contains("ready to accept connections"));
        assert!(ready, "PostgreSQL does not start");
        // It stops if nobody reads what it says.
        std::thread::spawn(move || log.for_each(drop));
        let database = Self { _server: server, directory };
        let maker = format!("CREATE ROLE hob LOGIN CREATEROLE PASSWORD '{PASSWORD}'");
        database.query("postgres", &maker);
        database.query("postgres", "CREATE DATABASE shop OWNER hob");
        database.query(
            "shop",
            "SET ROLE hob; CREATE TABLE orders (id int, what text); \
             INSERT INTO orders VALUES (1, 'rope'), (2, 'soap'), (3, 'salt')",
        );
        database
    }

    /// The directory of its socket.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What its administrator gets.
    pub(crate) fn query(&self, database: &str, statement: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"]);
        let done = psql.arg(self.directory()).args(["-c", statement]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}
