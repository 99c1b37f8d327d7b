//! The roles that grants get: made, given a password, and dropped with all that is theirs.
//!
//! A role that a service has made bears the service's mark, its comment, from the moment
//! that it is there. None without it is ever touched.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::{Client, Config, NoTls};

use super::settings::PostgresSettings;

/// How long the server may take for a change of roles.
const STATEMENTS: &str = "30s";
/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection of a role that is dropped may take to end, in milliseconds.
const LEAVE: i64 = 10_000;

/// What a grant allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// To read what is in the schema `public`.
    ReadOnly,
    /// To read and change what is in there, and to make things in it.
    ReadWrite,
}

impl Access {
    /// What it is called where it is stored.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
        }
    }

    /// The access of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::ReadOnly, Self::ReadWrite].into_iter().find(|access| access.name() == name)
    }

    const fn on_tables(self) -> &'static str {
        match self {
            Self::ReadOnly => "SELECT",
            // No TRIGGER: by one, others could be made to run what this role wants.
            Self::ReadWrite => "SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES",
        }
    }

    const fn on_sequences(self) -> &'static str {
        match self {
            Self::ReadOnly => "SELECT",
            Self::ReadWrite => "SELECT, USAGE, UPDATE",
        }
    }

    const fn on_schema(self) -> &'static str {
        match self {
            Self::ReadOnly => "USAGE",
            Self::ReadWrite => "USAGE, CREATE",
        }
    }
}

/// What goes wrong with roles.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoleError {
    #[error("the database: {0}")]
    Database(#[from] tokio_postgres::Error),
    #[error("the password file: {0}")]
    Password(#[from] std::io::Error),
    #[error("there is a role {0:?} that this service has not made")]
    NotOurs(String),
}

impl RoleError {
    /// The same for those who are not told about the machine.
    pub(super) fn public(&self) -> String {
        match self {
            Self::Database(error) => match error.as_db_error() {
                Some(error) => format!("the database refuses: {}", error.message()),
                None => "the database can't be reached".to_owned(),
            },
            Self::Password(_) => "the database's administrator can't log in".to_owned(),
            Self::NotOurs(_) => self.to_string(),
        }
    }
}

/// A connection of the administrator, for changes of the roles of one service.
pub(super) struct Roles {
    client: Client,
    mark: String,
    database: String,
    connections: u32,
}

impl Roles {
    /// Logs in as the administrator.
    pub(super) async fn connect(
        settings: &PostgresSettings,
        service: &str,
    ) -> Result<Self, RoleError> {
        let mut config = Config::new();
        if settings.host.starts_with('/') {
            config.host_path(Path::new(&settings.host));
        } else {
            config.host(&settings.host);
        }
        config.port(settings.port).user(&settings.admin).dbname(&settings.database);
        config.application_name("hob").connect_timeout(CONNECT);
        // What a role has made in its schema must not be run as the administrator.
        config.options(format!("-c search_path=pg_catalog -c statement_timeout={STATEMENTS}"));
        if let Some(file) = &settings.password_file {
            let password = std::fs::read(file).map(zeroize::Zeroizing::new)?;
            config.password(password.trim_ascii_end());
        }
        let (client, connection) = config.connect(NoTls).await?;
        // It ends with the client.
        tokio::spawn(connection);
        Ok(Self {
            client,
            mark: format!("a grant of the hob service {service}"),
            database: settings.database.clone(),
            connections: settings.connections,
        })
    }

    /// The number of the role of that name, if there is one and it is ours.
    async fn find(&self, role: &str) -> Result<Option<u32>, RoleError> {
        let query = "SELECT oid, shobj_description(oid, 'pg_authid') FROM pg_roles \
                     WHERE rolname = $1::text";
        let Some(row) = self.client.query_opt(query, &[&role]).await? else { return Ok(None) };
        match row.try_get::<_, Option<String>>(1)? {
            Some(mark) if mark == self.mark => Ok(Some(row.try_get(0)?)),
            _ => Err(RoleError::NotOurs(role.to_owned())),
        }
    }

    /// All roles of the service.
    async fn all(&self) -> Result<Vec<String>, RoleError> {
        let query = "SELECT rolname::text FROM pg_roles \
                     WHERE shobj_description(oid, 'pg_authid') = $1::text";
        let rows = self.client.query(query, &[&self.mark]).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Makes a role anew, whose connections may do that much. `others` are the other
    /// grants: each is to see what the others make.
    pub(super) async fn make(
        &self,
        role: &str,
        access: Access,
        others: &BTreeMap<String, Access>,
    ) -> Result<(), RoleError> {
        self.drop(role).await?;
        let me = self.client.query_one("SELECT session_user::text", &[]).await?;
        let me: String = me.try_get(0)?;
        let is_super = "SELECT rolsuper FROM pg_roles WHERE rolname = session_user";
        let is_super: bool = self.client.query_one(is_super, &[]).await?.try_get(0)?;
        let name = escape_identifier(role);
        let mut script = format!(
            "BEGIN;
             CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION
                 NOBYPASSRLS CONNECTION LIMIT {};
             COMMENT ON ROLE {name} IS {};
             GRANT CONNECT ON DATABASE {} TO {name};
             GRANT {} ON SCHEMA public TO {name};
             GRANT {} ON ALL TABLES IN SCHEMA public TO {name};
             GRANT {} ON ALL SEQUENCES IN SCHEMA public TO {name};",
            self.connections,
            escape_literal(&self.mark),
            escape_identifier(&self.database),
            access.on_schema(),
            access.on_tables(),
            access.on_sequences(),
        );
        if !is_super {
            // Else it could not drop what is the role's.
            script.push_str(&format!("GRANT {name} TO {};", escape_identifier(&me)));
        }
        if access == Access::ReadOnly {
            script.push_str(&format!("ALTER ROLE {name} SET default_transaction_read_only = on;"));
        }
        for owner in self.owners(others).await? {
            script.push_str(&defaults(&owner, role, access));
        }
        if access == Access::ReadWrite {
            for (other, access) in others {
                script.push_str(&defaults(role, other, *access));
            }
        }
        script.push_str("COMMIT;");
        Ok(self.client.batch_execute(&script).await?)
    }

    /// Who may come to own something that a role is to see, and that we may speak for.
    async fn owners(&self, others: &BTreeMap<String, Access>) -> Result<Vec<String>, RoleError> {
        let others: Vec<&str> = others.keys().map(String::as_str).collect();
        let query = "SELECT rolname::text FROM pg_roles WHERE \
                     pg_has_role(session_user, oid, 'MEMBER') AND ( \
                       rolname = session_user OR rolname = ANY($1) OR oid IN ( \
                         SELECT relowner FROM pg_class c JOIN pg_namespace n \
                         ON n.oid = c.relnamespace WHERE n.nspname = 'public') \
                       OR oid = (SELECT datdba FROM pg_database \
                         WHERE datname = current_database()))";
        let rows = self.client.query(query, &[&others]).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Gives a role a password, which the server is not told.
    pub(super) async fn set_password(&self, role: &str, password: &str) -> Result<(), RoleError> {
        let Some(_) = self.find(role).await? else {
            return Err(RoleError::NotOurs(role.to_owned()));
        };
        let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
        let verifier = escape_literal(&verifier);
        let set = format!("ALTER ROLE {} PASSWORD {verifier}", escape_identifier(role));
        Ok(self.client.batch_execute(&set).await?)
    }

    /// Ends what a role does, gives what it owns to the administrator, and drops it. That
    /// there is no such role is no error.
    pub(super) async fn drop(&self, role: &str) -> Result<(), RoleError> {
        let Some(oid) = self.find(role).await? else { return Ok(()) };
        let name = escape_identifier(role);
        self.client.batch_execute(&format!("ALTER ROLE {name} NOLOGIN")).await?;
        self.terminate(oid).await?;
        let script = format!(
            "BEGIN;
             REASSIGN OWNED BY {name} TO SESSION_USER;
             DROP OWNED BY {name};
             DROP ROLE {name};
             COMMIT;"
        );
        self.client.batch_execute(&script).await?;
        // Who was being let in at that moment.
        self.terminate(oid).await
    }

    async fn terminate(&self, oid: u32) -> Result<(), RoleError> {
        let query = "SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity \
                     WHERE usesysid = $1";
        self.client.query(query, &[&oid, &LEAVE]).await?;
        Ok(())
    }

    /// Drops the roles of the service that are for nothing, and makes those that are
    /// missing.
    pub(super) async fn reconcile(
        &self,
        wanted: &BTreeMap<String, Access>,
    ) -> Result<(), RoleError> {
        let there = self.all().await?;
        for role in there.iter().filter(|role| !wanted.contains_key(*role)) {
            self.drop(role).await?;
            tracing::info!(target: super::LOG, "dropped the role {role}, which was for nothing");
        }
        for (role, access) in wanted.iter().filter(|(role, _)| !there.contains(role)) {
            let others = wanted.iter().filter(|(other, _)| there.contains(other));
            let others = others.map(|(other, access)| (other.clone(), *access)).collect();
            self.make(role, *access, &others).await?;
            tracing::info!(target: super::LOG, "made the role {role}, which was missing");
        }
        Ok(())
    }
}

/// What one role makes in `public`, another may use.
fn defaults(owner: &str, role: &str, access: Access) -> String {
    let (owner, role) = (escape_identifier(owner), escape_identifier(role));
    format!(
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public
             GRANT {} ON TABLES TO {role};
         ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public
             GRANT {} ON SEQUENCES TO {role};",
        access.on_tables(),
        access.on_sequences(),
    )
}
