//! What the program finds around it: environment variables, who runs it, and the
//! directories that follow from these.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The directories of the system's own service.
pub(crate) const SYSTEM_CONFIG: &str = "/etc/hob/config.toml";
const SYSTEM_STATE: &str = "/var/lib/hob";

/// Environment variables, and who runs the program. Tests make their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    variables: BTreeMap<String, String>,
    /// Whether the user is root.
    pub(crate) root: bool,
    /// Whether the system's own state directory is there: hob has run here as a service.
    pub(crate) installed: bool,
}

impl Surroundings {
    /// Those of this process. Variables that are not text count as unset.
    pub(crate) fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            variables,
            root: rustix::process::geteuid().is_root(),
            installed: Path::new(SYSTEM_STATE).is_dir(),
        }
    }

    /// Those with these variables and no others, of a user who is not root.
    #[cfg(test)]
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Self { variables: variables.collect(), ..Self::default() }
    }

    /// A variable. One that is empty counts as unset.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A directory that a variable names. The XDG specification has relative paths
    /// ignored.
    fn directory(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// The user's home directory.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.directory("HOME")
    }

    /// Where sockets go that end with the login, or with the machine: `$XDG_RUNTIME_DIR`,
    /// or `/run` for root.
    pub(crate) fn runtime(&self) -> Option<PathBuf> {
        let system = self.root.then(|| PathBuf::from("/run"));
        self.directory("XDG_RUNTIME_DIR").or(system)
    }

    /// Where config files are looked for, the first one found being the one used: the
    /// user's own, and for root also the system's.
    pub(crate) fn config_files(&self) -> Vec<PathBuf> {
        let own = self.directory("XDG_CONFIG_HOME").or_else(|| Some(self.home()?.join(".config")));
        // A service has no home of its own, but it has what systemd says.
        let service = self.variable("STATE_DIRECTORY").is_some();
        let system = (self.root || service).then(|| PathBuf::from(SYSTEM_CONFIG));
        own.map(|own| own.join("hob/config.toml")).into_iter().chain(system).collect()
    }

    /// The state directory where no setting names one, and why that one.
    pub(crate) fn state(&self) -> Option<(PathBuf, &'static str)> {
        let service = || {
            // Several are separated by colons; ours is the first.
            let named = self.variable("STATE_DIRECTORY")?.split(':').next().map(PathBuf::from);
            Some((named.filter(|path| path.is_absolute())?, "$STATE_DIRECTORY"))
        };
        let xdg = || Some((self.directory("XDG_STATE_HOME")?.join("hob"), "$XDG_STATE_HOME"));
        let system = || {
            let system = self.root && self.installed;
            system.then(|| (PathBuf::from(SYSTEM_STATE), "the system's, which is there"))
        };
        let home = || Some((self.home()?.join(".local/state/hob"), "$HOME"));
        service().or_else(xdg).or_else(system).or_else(home)
    }

    /// Puts in what `%h` (the home directory), `%t` (the runtime directory) and `%%` stand
    /// for.
    ///
    /// # Errors
    ///
    /// If there is no such directory, or no such specifier.
    pub(crate) fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let directory = match chars.next() {
                Some('%') => {
                    out.push('%');
                    continue;
                }
                Some('h') => self.home().ok_or("%h: $HOME is not set")?,
                Some('t') => self.runtime().ok_or("%t: $XDG_RUNTIME_DIR is not set")?,
                _ => return Err("after % there is h, t or another %".to_owned()),
            };
            out.push_str(&directory.to_string_lossy());
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(around: &Surroundings) -> Option<(String, &'static str)> {
        around.state().map(|(path, why)| (path.display().to_string(), why))
    }

    #[test]
    fn state_directories() {
        let home = ("HOME", "/home/a");
        let mut around = Surroundings::with(&[home]);
        assert_eq!(state(&around), Some(("/home/a/.local/state/hob".into(), "$HOME")));
        around.installed = true;
        assert_eq!(state(&around).unwrap().1, "$HOME", "another user's service is not ours");
        around.root = true;
        assert_eq!(state(&around).unwrap().0, "/var/lib/hob");
        around = Surroundings::with(&[home, ("XDG_STATE_HOME", "/s")]);
        assert_eq!(state(&around).unwrap().0, "/s/hob");
        around = Surroundings::with(&[home, ("XDG_STATE_HOME", "relative")]);
        assert_eq!(state(&around).unwrap().1, "$HOME");
        around = Surroundings::with(&[("STATE_DIRECTORY", "/var/lib/hob:/var/lib/x"), home]);
        assert_eq!(state(&around), Some(("/var/lib/hob".into(), "$STATE_DIRECTORY")));
        assert_eq!(state(&Surroundings::with(&[("HOME", "")])), None);
    }

    #[test]
    fn config_files() {
        let files = |around: &Surroundings| {
            let files = around.config_files();
            files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let mut around = Surroundings::with(&[("HOME", "/home/a")]);
        assert_eq!(files(&around), "/home/a/.config/hob/config.toml");
        around.root = true;
        assert_eq!(files(&around), "/home/a/.config/hob/config.toml /etc/hob/config.toml");
        let around = Surroundings::with(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]);
        assert_eq!(files(&around), "/c/hob/config.toml");
        let around = Surroundings::with(&[("STATE_DIRECTORY", "/var/lib/hob")]);
        assert_eq!(files(&around), "/etc/hob/config.toml");
    }

    #[test]
    fn specifiers() {
        let around = Surroundings::with(&[("HOME", "/home/a"), ("XDG_RUNTIME_DIR", "/run/u")]);
        assert_eq!(around.expand("unix:%t/hob/sock"), Ok("unix:/run/u/hob/sock".into()));
        assert_eq!(around.expand("%h/100%%"), Ok("/home/a/100%".into()));
        assert!(around.expand("%x").is_err() && around.expand("50%").is_err());
        let mut nobody = Surroundings::default();
        assert!(nobody.expand("%t").is_err() && nobody.expand("%h").is_err());
        nobody.root = true;
        assert_eq!(nobody.expand("%t/hob"), Ok("/run/hob".into()));
    }
}
