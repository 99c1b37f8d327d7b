//! The provider `cloud-init`: user data in files, for those who boot their machines
//! themselves.
//!
//! For each machine there is a directory named by its key, with the files `user-data` and
//! `meta-data` of a NoCloud source, and `hob.json`, by which this provider knows it again.
//! `genisoimage -V cidata -r -o seed.iso user-data meta-data` makes of them a disk that any
//! image with cloud-init understands.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{CloudInit, DEFAULT_PORT, PublicAddress, render};
use crate::providers::files::{absent_is_fine, failed, read_json, write, write_json};
use crate::providers::{
    Context, FleetId, Install, Instance, Key, Order, Progress, Provider, ProviderError, Target,
};

const MARK: &str = "hob.json";

/// `[providers.NAME]` with `kind = "cloud-init"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NoCloudSettings {
    /// Where the machines' directories are, if not where the boss keeps the provider's
    /// files. It is made if need be, for its owner only.
    pub directory: Option<PathBuf>,
    /// How machines come to have `hob`.
    pub install: Install,
    /// The port on which they listen.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Where others reach that port: `own` or `HOST:PORT`, which the spec of each machine
    /// may say anew as `public-address`.
    #[serde(default)]
    pub public_address: PublicAddress,
    /// See [`CloudInit::manage`].
    #[serde(default)]
    pub manage: bool,
    /// See [`CloudInit::ssh_authorized_keys`].
    #[serde(default)]
    pub ssh_authorized_keys: Vec<String>,
}

fn default_port() -> u16 {
    DEFAULT_PORT
}

/// What can be asked for, for one machine.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Spec {
    port: Option<u16>,
    public_address: Option<PublicAddress>,
}

/// What a machine's directory says of itself.
#[derive(Serialize, Deserialize)]
struct Mark {
    fleet: String,
    name: String,
}

/// The provider.
#[derive(Debug)]
pub struct NoCloud {
    settings: NoCloudSettings,
    directory: PathBuf,
}

impl NoCloud {
    /// The provider with those settings.
    ///
    /// # Errors
    ///
    /// A lasting one, if no machine could be made with them.
    pub fn new(settings: NoCloudSettings, context: &Context) -> Result<Self, ProviderError> {
        let directory = settings.directory.clone().unwrap_or_else(|| context.state.clone());
        let provider = Self { settings, directory };
        super::check(&provider.options(Spec::default()))?;
        Ok(provider)
    }

    fn options(&self, spec: Spec) -> CloudInit {
        let settings = &self.settings;
        CloudInit {
            install: settings.install.clone(),
            port: spec.port.unwrap_or(settings.port),
            public_address: spec.public_address.unwrap_or_else(|| settings.public_address.clone()),
            manage: settings.manage,
            ssh_authorized_keys: settings.ssh_authorized_keys.clone(),
        }
    }

    fn machine(&self, key: &Key) -> PathBuf {
        self.directory.join(key.as_str())
    }
}

impl Provider for NoCloud {
    /// Writes the files, also if they are there: the order's enrolment is the valid one.
    fn create(&self, order: &Order, progress: &dyn Progress) -> Result<Instance, ProviderError> {
        let data = render(order, &self.options(order.spec_as()?))?;
        progress.step("write");
        let path = self.machine(&order.key);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| failed(&path, &error))?;
        // The mark first, so that what is begun is found again.
        let mark = Mark { fleet: order.fleet.to_string(), name: order.name.clone() };
        write_json(&path.join(MARK), &mark)?;
        write(&path.join("meta-data"), data.meta_data.as_bytes())?;
        write(&path.join("user-data"), data.user_data.as_bytes())?;
        Ok(instance(&order.key, &path))
    }

    fn destroy(&self, target: &Target) -> Result<(), ProviderError> {
        let path = self.machine(&target.key);
        absent_is_fine(fs::remove_dir_all(&path)).map_err(|error| failed(&path, &error))
    }

    fn list(&self, fleet: &FleetId) -> Result<Vec<Instance>, ProviderError> {
        let directory = &self.directory;
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(directory, &error)),
        };
        let mut instances = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed(directory, &error))?;
            let name = entry.file_name();
            let Some(key) = name.to_str().and_then(|name| name.parse::<Key>().ok()) else {
                continue;
            };
            let path = entry.path();
            if path.is_dir()
                && read_json(&path.join(MARK))?
                    .is_some_and(|mark: Mark| mark.fleet == fleet.as_str())
            {
                instances.push(instance(&key, &path));
            }
        }
        instances.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(instances)
    }
}

fn instance(key: &Key, path: &Path) -> Instance {
    Instance { key: key.to_string(), id: path.display().to_string(), address: None }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::Map;

    use super::*;
    use crate::providers::Enrolment;

    fn context(directory: &Path) -> Context {
        Context { state: directory.to_owned(), program: PathBuf::from("hob") }
    }

    fn provider(directory: &Path) -> NoCloud {
        let settings = "install = { present = \"/usr/bin/hob\" }\n\
             public-address = \"db.example.org:7000\"\n";
        NoCloud::new(toml::from_str(settings).unwrap(), &context(directory)).unwrap()
    }

    fn order(name: &str, fleet: &FleetId, secret: &str) -> Order {
        Order {
            name: name.to_owned(),
            key: Key::random().unwrap(),
            fleet: fleet.clone(),
            enrolment: Enrolment::new(format!("ocapn://a.b/s/{secret}")),
            spec: Map::new(),
        }
    }

    fn step(_: &str) {}

    #[test]
    fn files_are_made_once_for_each_machine_found_again_and_removed() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("machines");
        let fleet = FleetId::random().unwrap();
        let db = order("db", &fleet, "one");
        assert_eq!(provider(&directory).list(&fleet), Ok(vec![]));
        let made = provider(&directory).create(&db, &step).unwrap();
        assert_eq!(provider(&directory).create(&db, &step), Ok(made.clone()));
        let other = order("db", &FleetId::random().unwrap(), "two");
        provider(&directory).create(&other, &step).unwrap();
        fs::create_dir(directory.join("mine")).unwrap();
        fs::create_dir(directory.join(Key::random().unwrap().as_str())).unwrap();
        assert_eq!(provider(&directory).list(&fleet), Ok(vec![made.clone()]));

        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let machine = directory.join(db.key.as_str());
        assert_eq!((mode(&directory), mode(&machine)), (0o700, 0o700));
        let mut names = Vec::new();
        for entry in fs::read_dir(&machine).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(mode(&entry.path()), 0o600);
            names.push(entry.file_name().into_string().unwrap());
        }
        names.sort();
        assert_eq!(names, ["hob.json", "meta-data", "user-data"]);
        let user_data = fs::read_to_string(machine.join("user-data")).unwrap();
        assert!(user_data.contains("/s/one"), "{user_data}");

        provider(&directory).destroy(&db.target()).unwrap();
        provider(&directory).destroy(&db.target()).unwrap();
        assert_eq!(provider(&directory).list(&fleet), Ok(vec![]));
        assert!(!machine.exists() && directory.join(other.key.as_str()).exists());
    }

    #[test]
    fn what_was_begun_by_a_boss_that_was_killed_is_found() {
        let parent = tempfile::tempdir().unwrap();
        let fleet = FleetId::random().unwrap();
        let db = order("db", &fleet, "one");
        provider(parent.path()).create(&db, &step).unwrap();
        fs::remove_file(parent.path().join(db.key.as_str()).join("user-data")).unwrap();
        assert_eq!(provider(parent.path()).list(&fleet).unwrap().len(), 1);
    }

    #[test]
    fn a_spec_says_where_its_machine_is_and_nothing_unknown() {
        let parent = tempfile::tempdir().unwrap();
        let mut db = order("db", &FleetId::random().unwrap(), "one");
        db.spec.insert("public-address".to_owned(), "192.0.2.7:7001".into());
        let made = provider(parent.path()).create(&db, &step).unwrap();
        let user_data = fs::read_to_string(Path::new(&made.id).join("user-data")).unwrap();
        assert!(user_data.contains("--public-address 192.0.2.7:7001"), "{user_data}");
        db.spec.insert("size".to_owned(), "large".into());
        let error = provider(parent.path()).create(&db, &step).unwrap_err();
        assert!(!error.temporary && error.why.contains("size"), "{error}");
    }

    #[test]
    fn settings_with_which_no_machine_could_be_made_are_refused() {
        for install in ["\"copy\"", "{ copy = \"/bin/hob\" }", "{ present = \"hob\" }"] {
            let settings = format!("directory = \"/nowhere\"\ninstall = {install}\n");
            let Ok(settings) = toml::from_str(&settings) else { continue };
            let error = NoCloud::new(settings, &context(Path::new("/"))).unwrap_err();
            assert!(!error.temporary, "{install}");
        }
    }
}
