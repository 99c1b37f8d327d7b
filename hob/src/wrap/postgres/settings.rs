//! Where a database is, and who may make roles there.

use std::path::PathBuf;

use ocapn::Value;
use ocapn::persist::RestoreError;
use serde::{Deserialize, Serialize};

use super::super::parts;
use super::super::socket::Address;

/// A database that roles are made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PostgresSettings {
    /// The database.
    pub(crate) database: String,
    /// The directory of the server's Unix socket, or a host. Default
    /// `/var/run/postgresql`.
    #[serde(default = "host")]
    pub(crate) host: String,
    /// The server's port, which is part of the socket's name as well. Default 5432.
    #[serde(default = "port")]
    pub(crate) port: u16,
    /// Who makes the roles: a superuser, or a role with CREATEROLE that owns the database.
    /// Default `postgres`.
    #[serde(default = "admin")]
    pub(crate) admin: String,
    /// A file with the password of that role, if the server wants one.
    #[serde(default)]
    pub(crate) password_file: Option<PathBuf>,
    /// Where the roles log in, by a password (`scram-sha-256` in `pg_hba.conf`), if that is
    /// not where the administrator does: on Debian, Unix sockets are for those who have an
    /// account of the same name, and this is to be `127.0.0.1`.
    #[serde(default)]
    pub(crate) login_host: Option<String>,
    /// How many connections each grant may have. Default 32.
    #[serde(default = "connections")]
    pub(crate) connections: u32,
    /// How many connections all of them together may have. Default 256.
    #[serde(default = "connections_in_all")]
    pub(crate) connections_in_all: u32,
    /// How many grants there may be. Default 256.
    #[serde(default = "grants")]
    pub(crate) grants: u32,
}

fn host() -> String {
    "/var/run/postgresql".to_owned()
}

const fn port() -> u16 {
    5432
}

fn admin() -> String {
    "postgres".to_owned()
}

const fn connections() -> u32 {
    32
}

const fn connections_in_all() -> u32 {
    256
}

const fn grants() -> u32 {
    256
}

impl PostgresSettings {
    /// The settings of a database by default.
    #[cfg(test)]
    pub(crate) fn new(database: &str) -> Self {
        Self {
            database: database.to_owned(),
            host: host(),
            port: port(),
            admin: admin(),
            password_file: None,
            login_host: None,
            connections: connections(),
            connections_in_all: connections_in_all(),
            grants: grants(),
        }
    }

    /// Where the roles log in.
    pub(super) fn login(&self) -> Address {
        let host = self.login_host.as_ref().unwrap_or(&self.host);
        let port = self.port;
        if host.starts_with('/') {
            Address::Unix(format!("{host}/.s.PGSQL.{port}").into())
        } else if host.contains(':') {
            Address::Tcp(format!("[{host}]:{port}"))
        } else {
            Address::Tcp(format!("{host}:{port}"))
        }
    }

    pub(super) fn portray(&self) -> Value {
        let or_null = |text: Option<&str>| text.map_or(Value::Null, Value::from);
        let file = self.password_file.as_ref().and_then(|file| file.to_str());
        Value::List(vec![
            self.database.as_str().into(),
            self.host.as_str().into(),
            u64::from(self.port).into(),
            self.admin.as_str().into(),
            or_null(file),
            or_null(self.login_host.as_deref()),
            u64::from(self.connections).into(),
            u64::from(self.connections_in_all).into(),
            u64::from(self.grants).into(),
        ])
    }

    pub(super) fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let [database, host, port, admin, file, login, connections, in_all, grants] =
            parts("database", portrait)?;
        Ok(Self {
            database: text(database)?,
            host: text(host)?,
            port: number(&port)?,
            admin: text(admin)?,
            password_file: or_none(file)?.map(Into::into),
            login_host: or_none(login)?,
            connections: number(&connections)?,
            connections_in_all: number(&in_all)?,
            grants: number(&grants)?,
        })
    }
}

fn text(value: Value) -> Result<String, RestoreError> {
    match value {
        Value::String(text) => Ok(text.into()),
        other => Err(RestoreError::new(format!("a text is no {}", other.kind()))),
    }
}

fn or_none(value: Value) -> Result<Option<String>, RestoreError> {
    match value {
        Value::Null => Ok(None),
        other => text(other).map(Some),
    }
}

fn number<T: TryFrom<i64>>(value: &Value) -> Result<T, RestoreError> {
    let number = value.as_int().and_then(|number| number.try_into().ok());
    number.ok_or_else(|| RestoreError::new("a number is not what it should be"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outlive_their_process() {
        let mut settings = PostgresSettings::new("shop");
        assert_eq!(PostgresSettings::restore(settings.portray()), Ok(settings.clone()));
        assert_eq!(settings.login().to_string(), "unix:/var/run/postgresql/.s.PGSQL.5432");
        settings.password_file = Some("/etc/hob/password".into());
        settings.login_host = Some("::1".to_owned());
        assert_eq!(PostgresSettings::restore(settings.portray()), Ok(settings.clone()));
        assert_eq!(settings.login().to_string(), "tcp:[::1]:5432");
        let parsed: PostgresSettings = toml::from_str("database = 'shop'\nport = 1").unwrap();
        assert_eq!((parsed.port, parsed.admin.as_str()), (1, "postgres"));
        assert!(toml::from_str::<PostgresSettings>("database = 'shop'\nhots = 'x'").is_err());
    }
}
