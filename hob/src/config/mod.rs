//! Settings: from the command line, else the environment, else the config file, else
//! the default; and for each of them the answer to where it came from.
//!
//! The file is the one that `--config` or `$HOB_CONFIG` names, else the first there is of
//! `$XDG_CONFIG_HOME/hob/config.toml` (`~/.config/hob/config.toml`) and, for root and for
//! services, `/etc/hob/config.toml`.

mod file;
mod keys;
pub(crate) mod quantity;
mod surroundings;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ocapn::Limits;
use ocapn::netlayers::{ListenSpec, PublicAddress};

use crate::providers::SettingsError;

pub(crate) use file::{ConfigError, File, Provider};
pub(crate) use keys::{KEYS, LIMIT, Value};
pub(crate) use surroundings::Surroundings;

/// The variable that names the config file.
pub(crate) const CONFIG_VARIABLE: &str = "HOB_CONFIG";

/// Variables that are about one process alone. A `hob` that this one starts has none of
/// them, and no config file.
pub(crate) const OWN_VARIABLES: [&str; 8] = [
    "CREDENTIALS_DIRECTORY",
    "HOB_LISTEN",
    "HOB_PUBLIC_ADDRESS",
    "HOB_STATE",
    "NOTIFY_SOCKET",
    "STATE_DIRECTORY",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// What the command line sets, by the name of the option; limits by their own name.
pub(crate) type Flags = BTreeMap<String, Vec<String>>;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The command line.
    Flag(&'static str),
    /// The environment.
    Variable(&'static str),
    /// The config file: which, and the line.
    File(PathBuf, usize),
    /// Nobody set it. What the default follows from, if not from hob alone.
    Default(Option<&'static str>),
}

impl Origin {
    /// Which of the four it is, in a word.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Variable(_) => "env",
            Self::File(..) => "file",
            Self::Default(_) => "default",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag --{flag}"),
            Self::Variable(name) => write!(f, "env {name}"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default(None) => f.write_str("default"),
            Self::Default(Some(why)) => write!(f, "default, by {why}"),
        }
    }
}

/// All settings, each with its origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, (Value, Origin)>,
    /// The config file, if there is one.
    pub(crate) file: Option<File>,
}

/// The config file to read, if there is any: the one that is named must be there.
pub(crate) fn config_file(named: Option<PathBuf>, around: &Surroundings) -> Option<PathBuf> {
    named
        .or_else(|| around.variable(CONFIG_VARIABLE).map(PathBuf::from))
        .or_else(|| around.config_files().into_iter().find(|path| path.exists()))
}

impl Settings {
    /// Brings together what is set where.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], if what is set anywhere can't be used: also where something else
    /// takes precedence, so that a mistake does not wait for its day.
    pub(crate) fn load(
        named: Option<PathBuf>,
        flags: &Flags,
        around: &Surroundings,
    ) -> Result<Self, ConfigError> {
        let file = config_file(named, around).map(|path| File::read(&path, around)).transpose()?;
        let mut values = BTreeMap::new();
        for key in &KEYS {
            let elsewhere =
                |from: &Origin, what| ConfigError::Elsewhere { from: from.to_string(), what };
            let in_file = file.as_ref().and_then(|file| {
                let (value, line) = file.values.get(key.name)?;
                Some((value.clone(), Origin::File(file.path.clone(), *line)))
            });
            let mut set = in_file;
            if let Some(text) = around.variable(key.variable) {
                let origin = Origin::Variable(key.variable);
                let value = key.read(&key.split(text), around);
                set = Some((value.map_err(|what| elsewhere(&origin, what))?, origin));
            }
            let given = |flag| flags.get(if flag == LIMIT { key.name } else { flag });
            if let Some((flag, texts)) = key.flag.and_then(|flag| Some((flag, given(flag)?))) {
                let origin = Origin::Flag(flag);
                // The shell has done what is to be done with the user's words.
                let texts: Vec<String> = texts.iter().map(|text| text.replace('%', "%%")).collect();
                let value = key.read(&texts, around);
                set = Some((value.map_err(|what| elsewhere(&origin, what))?, origin));
            }
            values.insert(key.name, set.unwrap_or_else(|| default(key, around)));
        }
        Ok(Self { values, file })
    }

    /// Each setting's name, value and origin.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &Value, &Origin)> {
        KEYS.iter().filter_map(|key| {
            let (value, origin) = self.values.get(key.name)?;
            Some((key.name, value, origin))
        })
    }

    fn value(&self, name: &str) -> &Value {
        self.values.get(name).map_or(&Value::Unset, |(value, _)| value)
    }

    fn time(&self, name: &str, default: Duration) -> Duration {
        if let Value::Time(time) = self.value(name) { *time } else { default }
    }

    fn number(&self, name: &str, default: usize) -> usize {
        match self.value(name) {
            Value::Size(number) | Value::Count(number) => {
                usize::try_from(*number).unwrap_or(usize::MAX)
            }
            _ => default,
        }
    }

    /// Where to listen. The first is what capabilities name.
    pub(crate) fn listen(&self) -> Vec<ListenSpec> {
        let Value::Texts(texts) = self.value("node.listen") else { return Vec::new() };
        // They have been read once already.
        texts.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// Where others reach the TCP address, if not where it listens.
    pub(crate) fn public_address(&self) -> Option<PublicAddress> {
        let Value::Text(text) = self.value("node.public_address") else { return None };
        text.parse().ok()
    }

    /// The state directory.
    pub(crate) fn state(&self) -> Option<PathBuf> {
        let Value::Path(path) = self.value("state.path") else { return None };
        Some(path.clone())
    }

    /// Where the services of a machine are defined.
    pub(crate) fn services(&self) -> Option<PathBuf> {
        let Value::Path(path) = self.value("machine.services") else { return None };
        Some(path.clone())
    }

    /// How often a boss compares what is with what should be.
    pub(crate) fn reconcile(&self) -> Duration {
        self.time("boss.reconcile", Duration::from_secs(60))
    }

    /// How long an enrolment is good for.
    pub(crate) fn enrol_ttl(&self) -> Duration {
        self.time("boss.enrol_ttl", Duration::from_secs(15 * 60))
    }

    /// How long a machine may say nothing until its provider is asked to start it again.
    pub(crate) fn revive_after(&self) -> Duration {
        self.time("boss.revive_after", Duration::from_secs(120))
    }

    /// Who makes machines where nobody is named.
    pub(crate) fn default_provider(&self) -> Option<&str> {
        if let Value::Text(name) = self.value("boss.default_provider") { Some(name) } else { None }
    }

    /// The providers by name.
    pub(crate) fn providers(&self) -> impl Iterator<Item = (&str, &Provider)> {
        let providers = self.file.iter().flat_map(|file| &file.providers);
        providers.map(|(name, provider)| (name.as_str(), provider))
    }

    /// The tables of the providers, by their names.
    pub(crate) fn provider_tables(&self) -> toml::Table {
        let providers = self.providers();
        providers.map(|(name, provider)| (name.to_owned(), provider.table.clone().into())).collect()
    }

    /// A mistake in a provider's table, with where that is.
    pub(crate) fn of_provider(&self, error: &SettingsError) -> ConfigError {
        let file = self.file.as_ref();
        let place = file.and_then(|file| Some((file, file.providers.get(&error.provider)?)));
        match place {
            Some((file, provider)) => ConfigError::InFile {
                path: file.path.clone(),
                line: provider.line,
                column: 1,
                what: error.to_string(),
                hint: None,
            },
            None => ConfigError::Elsewhere { from: "default".to_owned(), what: error.to_string() },
        }
    }

    /// How many accepted sessions each netlayer may have at a time.
    pub(crate) fn sessions(&self) -> usize {
        self.number("limits.sessions", 1024)
    }

    /// What each session may cost.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        let bytes = self.number("limits.peer_bytes", limits.queued_bytes);
        limits.message_size = self.number("limits.message_size", limits.message_size);
        limits.exports = self.number("limits.peer_exports", limits.exports);
        limits.imports = self.number("limits.peer_imports", limits.imports);
        limits.answers = self.number("limits.peer_answers", limits.answers);
        limits.questions = self.number("limits.peer_questions", limits.questions);
        limits.gifts = self.number("limits.peer_gifts", limits.gifts);
        (limits.queued_bytes, limits.waiting_bytes, limits.parked_bytes) = (bytes, bytes, bytes);
        limits
    }
}

fn default(key: &keys::Key, around: &Surroundings) -> (Value, Origin) {
    let nothing = (Value::Unset, Origin::Default(None));
    if key.name == "state.path" {
        let state = around.state();
        return state
            .map_or(nothing, |(path, why)| (Value::Path(path), Origin::Default(Some(why))));
    }
    match key.default {
        "" => nothing,
        text => key
            .read(&[text.to_owned()], around)
            .map_or(nothing, |value| (value, Origin::Default(None))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new(text: &str) -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            std::fs::write(place.path(), text).unwrap();
            place
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("c.toml")
        }
    }

    const FILE: &str = "[node]\nlisten = [\"tcp-tls:0.0.0.0:1\"]\n[state]\npath = \"/file\"\n\
                        [boss]\nreconcile = \"5s\"\n[limits]\npeer_bytes = \"1MiB\"\nsessions = 7\n";

    fn flags(pairs: &[(&str, &str)]) -> Flags {
        pairs.iter().map(|(name, value)| ((*name).into(), vec![(*value).into()])).collect()
    }

    #[test]
    fn flags_come_before_variables_before_the_file_before_defaults() {
        let place = Place::new(FILE);
        let file = || Some(place.path());
        let home = ("HOME", "/home/a");
        let shown = |flags: &Flags, around: &[(&str, &str)], file| {
            let settings = Settings::load(file, flags, &Surroundings::with(around)).unwrap();
            let of = |name: &str| {
                let (value, origin) = &settings.values[name];
                format!("{value} {origin}")
            };
            (of("state.path"), of("node.listen"), settings)
        };
        let none = Flags::new();
        let (state, listen, settings) = shown(&none, &[home], None);
        assert_eq!(state, "\"/home/a/.local/state/hob\" default, by $HOME");
        assert_eq!(listen, " default");
        assert_eq!(settings.limits(), Limits::default());
        assert_eq!(settings.enrol_ttl(), Duration::from_secs(900));

        let (state, listen, settings) = shown(&none, &[home], file());
        let at = |line: usize| format!("{}:{line}", place.path().display());
        assert_eq!(state, format!("\"/file\" {}", at(4)));
        assert_eq!(listen, format!("[\"tcp-tls:0.0.0.0:1\"] {}", at(2)));
        assert_eq!(settings.reconcile(), Duration::from_secs(5));
        assert_eq!((settings.limits().parked_bytes, settings.sessions()), (1 << 20, 7));

        let path = place.path();
        let variables = [
            ("HOB_CONFIG", path.to_str().unwrap()),
            ("HOB_STATE", "/variable"),
            ("HOB_LISTEN", "unix:/a  tcp-tls:[::1]:2"),
        ];
        let (state, listen, settings) = shown(&none, &variables, None);
        assert_eq!(state, "\"/variable\" env HOB_STATE");
        assert_eq!(listen, "[\"unix:/a\", \"tcp-tls:[::1]:2\"] env HOB_LISTEN");
        assert_eq!(settings.listen().len(), 2);

        let given = flags(&[("state", "50%"), ("listen", "unix:/b")]);
        let (state, listen, _) = shown(&given, &variables, None);
        assert_eq!(state, "\"50%\" flag --state");
        assert_eq!(listen, "[\"unix:/b\"] flag --listen");
    }

    #[test]
    fn mistakes_are_found_even_where_something_else_counts() {
        let around = Surroundings::with(&[("HOB_RECONCILE", "soon")]);
        let error = Settings::load(None, &flags(&[("reconcile", "1s")]), &around).unwrap_err();
        assert!(error.to_string().starts_with("env HOB_RECONCILE: \"soon\""), "{error}");
        let missing = Settings::load(Some("/nonexistent".into()), &Flags::new(), &around);
        assert!(matches!(missing, Err(ConfigError::Unreadable { .. })));
    }
}
