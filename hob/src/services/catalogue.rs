//! Definitions from files: one with many services, or a directory of such.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::definition::Definition;
use super::text::is_name;

/// How many services there may be, where nothing else is said.
pub(crate) const MAX_SERVICES: usize = 10_000;
/// The largest file that is read.
const MAX_BYTES: u64 = 8 << 20;

/// The services that are defined, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Catalogue(pub(crate) BTreeMap<String, Definition>);

/// Why definitions can't be used, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", place(.file, *.at))]
pub(crate) struct CatalogueError {
    file: PathBuf,
    /// Line and column, from 1.
    at: Option<(usize, usize)>,
    what: String,
}

fn place(file: &Path, at: Option<(usize, usize)>) -> String {
    match at {
        Some((line, column)) => format!("{}:{line}:{column}", file.display()),
        None => file.display().to_string(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    service: BTreeMap<String, Spanned<Definition>>,
}

/// Where a service was defined.
#[derive(Clone)]
struct Origin {
    file: PathBuf,
    at: (usize, usize),
}

impl Origin {
    fn error(&self, what: String) -> CatalogueError {
        CatalogueError { file: self.file.clone(), at: Some(self.at), what }
    }
}

impl Catalogue {
    /// Reads a file, or all files of a directory whose names end in `.toml`.
    pub(crate) fn read(path: &Path) -> Result<Self, CatalogueError> {
        let failed =
            |file: &Path, what: String| CatalogueError { file: file.to_owned(), at: None, what };
        let metadata = path.metadata().map_err(|error| failed(path, error.to_string()))?;
        let mut files = Vec::new();
        if metadata.is_dir() {
            let entries = path.read_dir().map_err(|error| failed(path, error.to_string()))?;
            for entry in entries {
                let file = entry.map_err(|error| failed(path, error.to_string()))?.path();
                let hidden =
                    file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                if file.extension().is_some_and(|end| end == "toml") && !hidden {
                    files.push(file);
                }
            }
            files.sort();
        } else {
            files.push(path.to_owned());
        }
        let mut all = BTreeMap::new();
        for file in files {
            let length = file.metadata().map_err(|error| failed(&file, error.to_string()))?.len();
            if length > MAX_BYTES {
                return Err(failed(&file, format!("larger than {MAX_BYTES} bytes")));
            }
            let text =
                std::fs::read_to_string(&file).map_err(|error| failed(&file, error.to_string()))?;
            gather(&file, &text, &mut all)?;
        }
        checked(all)
    }

    #[cfg(test)]
    /// The definitions of one text, as if it were a file of that name.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, CatalogueError> {
        let mut all = BTreeMap::new();
        gather(file, text, &mut all)?;
        checked(all)
    }
}

fn gather(
    file: &Path,
    text: &str,
    all: &mut BTreeMap<String, (Definition, Origin)>,
) -> Result<(), CatalogueError> {
    let parsed: File = toml::from_str(text).map_err(|error| CatalogueError {
        file: file.to_owned(),
        at: error.span().map(|span| position(text, span.start)),
        what: error.message().to_owned(),
    })?;
    for (name, definition) in parsed.service {
        let at = position(text, definition.span().start);
        let origin = Origin { file: file.to_owned(), at };
        let mut definition = definition.into_inner();
        if !is_name(&name) || name == "root" {
            return Err(origin.error(format!("{name:?} can't be the name of a service")));
        }
        let wrong = |what: String| origin.error(format!("service {name}: {what}"));
        definition.check().map_err(wrong)?;
        if let Some(remote) = &mut definition.remote {
            let stem = remote.file_stem().filter(|stem| is_name(stem));
            definition.machine.get_or_insert_with(|| stem.unwrap_or_else(|| name.clone()));
            let directory = file.parent().unwrap_or(Path::new(""));
            remote.read(directory).map_err(wrong)?;
        }
        if let Some((_, other)) = all.get(&name) {
            let other = place(&other.file, Some(other.at));
            return Err(origin.error(format!("service {name} is defined already, in {other}")));
        }
        all.insert(name, (definition, origin));
        if all.len() > MAX_SERVICES {
            return Err(CatalogueError {
                file: file.to_owned(),
                at: None,
                what: format!("more than {MAX_SERVICES} services"),
            });
        }
    }
    Ok(())
}

/// The line and column of a byte, from 1.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// What concerns more than one service: names, requirements, cycles.
fn checked(all: BTreeMap<String, (Definition, Origin)>) -> Result<Catalogue, CatalogueError> {
    let mut providers: BTreeMap<&str, &str> = all.keys().map(|name| (&**name, &**name)).collect();
    for (name, (definition, origin)) in &all {
        for provided in &definition.provides {
            if provided == "root" {
                return Err(origin.error(format!("service {name}: root is the shepherd")));
            }
            match providers.insert(provided, name) {
                Some(other) if other != name => {
                    let what = format!("{name} and {other} both provide {provided}");
                    return Err(origin.error(what));
                }
                _ => {}
            }
        }
    }
    for (name, (definition, origin)) in &all {
        for required in &definition.requires {
            if !providers.contains_key(&**required) {
                let what = format!("service {name} requires {required}, which nothing provides");
                return Err(origin.error(what));
            }
        }
    }
    let requires = |name: &str| {
        let definition = all.get(name).map(|(definition, _)| definition);
        let requires = definition.map_or(&[][..], |definition| &definition.requires);
        requires.iter().filter_map(|required| providers.get(&**required).copied()).collect()
    };
    if let Some(cycle) = cycle(all.keys().map(|name| &**name), requires) {
        let first = cycle.first().and_then(|name| all.get(*name));
        let what = format!("services require each other: {}", cycle.join(" -> "));
        return Err(match first {
            Some((_, origin)) => origin.error(what),
            None => CatalogueError { file: PathBuf::new(), at: None, what },
        });
    }
    Ok(Catalogue(all.into_iter().map(|(name, (definition, _))| (name, definition)).collect()))
}

/// Names that lead back to the first, if there are any. Without recursion, for there may
/// be a long way to go.
fn cycle<'n>(
    names: impl Iterator<Item = &'n str>,
    requires: impl Fn(&str) -> Vec<&'n str>,
) -> Option<Vec<&'n str>> {
    let mut done = std::collections::BTreeSet::new();
    for name in names {
        let mut path: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut next = Some(name);
        loop {
            if let Some(name) = next.take() {
                if let Some(start) = path.iter().position(|(on, _)| *on == name) {
                    let around = path.iter().skip(start).map(|(on, _)| *on);
                    return Some(around.chain([name]).collect());
                }
                if !done.contains(name) {
                    path.push((name, requires(name)));
                }
            }
            let Some((on, left)) = path.last_mut() else { break };
            match left.pop() {
                Some(required) => next = Some(required),
                None => {
                    done.insert(*on);
                    path.pop();
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::text::{Period, Size};
    use std::time::Duration;

    fn parse(text: &str) -> Result<Catalogue, String> {
        Catalogue::parse(Path::new("x.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn everything_that_can_be_said() {
        let text = r#"
            [service.networking]
            one-shot = true
            command = ["true"]

            [service.web-server]
            doc = "Serves pages."
            command = ["nginx", "-g", "daemon off;"]
            provides = ["http"]
            requires = ["networking"]
            conflicts = ["apache"]
            environment = { LANG = "C" }
            user = "www-data"
            directory = "/srv"
            limits = { nofile = 64, memory = "1GiB", tasks = 10 }
            ready = { port = "127.0.0.1:80", timeout = "3s" }
            stop-signal = "QUIT"
            grace = "1s"
            respawn = { limit = 2, delay = "0ms" }
            log = { size = "64KiB", keep = 1 }
            enabled = false

            [service.web-server.actions.reload]
            signal = "HUP"

            [service.backup]
            command = ["backup"]
            timer = { calendar = "daily 03:00" }

            [service.deploy]
            builtin = "deploy"
            settings = { root = "/srv", parts = ["files"], file-size = 4096 }

            [service.echo]
            command = ["echo-server"]
            socket = { listen = ["tcp:127.0.0.1:0", "unix:/run/echo"] }
            respawn = false
        "#;
        let catalogue = parse(text).unwrap();
        let web = &catalogue.0["web-server"];
        assert_eq!(web.grace, Period(Duration::from_secs(1)));
        assert_eq!(web.limits.memory, Some(Size(1 << 30)));
        assert!(web.respawn.enabled && web.respawn.limit == 2 && !web.enabled);
        assert!(!catalogue.0["echo"].respawn.enabled);
        for definition in catalogue.0.values() {
            assert_eq!(&Definition::from_text(&definition.to_text()).unwrap(), definition);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, says) in [
            ("[service.a]\ncomand = [\"x\"]", "x.toml:2:1: unknown field `comand`"),
            ("[service.a]\ncommand = \"x\"", "x.toml:2:11: invalid type: string"),
            ("[service.a]\ncommand = []", "x.toml:2:11: a command has at least one word"),
            ("[service.a]\ngrace = \"5\"", "x.toml:2:9: \"5\" is no time"),
            ("[service.a]\nstop-signal = \"X\"", "x.toml:2:15: there is no signal"),
            ("[service.a]\nrequires = [\"..\"]", "x.toml:2:12: \"..\" is no name"),
            ("[service.a]\nrespawn = 1", "x.toml:2:11: true, false"),
            (
                "[service.a]\ntimer = { calendar = \"x\" }\ncommand = [\"x\"]",
                "x.toml:2:22: \"x\" says",
            ),
            ("[service.a]\ntimer = {}\ncommand = [\"x\"]", "a timer has either"),
            ("[service.a]\none-shot = true", "x.toml:1:1: service a: command is missing"),
            ("\n[service.a]\nrequires = [\"b\"]", "x.toml:2:1: service a requires b, which"),
            ("[service.\"a/b\"]", "can't be the name"),
            ("[service.root]", "can't be the name"),
            ("[service.a]\nprovides = [\"b\"]\n[service.b]", "both provide b"),
            ("[service.a]\nready = {}\ncommand = [\"x\"]", "ready is one of"),
            ("[service.a]\nactions.x = {}", "either a signal or a command"),
            ("[service.a]\nactions.stop = { signal = \"HUP\" }", "can't be the name of an action"),
            ("[service.a]\nenvironment = { \"A=B\" = \"c\" }", "no name of a variable"),
            ("[service.a]\ndirectory = \"srv\"", "not absolute"),
            ("[service.a]\ncommand = [\"x\"]\nsocket = { listen = [\"x\"] }", "neither tcp"),
            ("[service.a]\nbuiltin = \"x\"", "x.toml:2:11: unknown variant `x`"),
            ("[service.a]\nbuiltin = \"echo\"\ncommand = [\"x\"]", "is no process"),
            ("[service.a]\nbuiltin = \"echo\"\nuser = \"x\"", "is no process"),
            ("[service.a]\nsettings = { x = 1 }", "settings are for what is built in"),
            ("[service.a]\nbuiltin = \"echo\"\nsettings = { x = 1 }", "echo has none"),
            (
                "[service.a]\nbuiltin = \"deploy\"\nsettings = { rot = \"/\" }",
                "service a: settings: unknown field `rot`",
            ),
            (
                "[service.a]\nbuiltin = \"monitoring\"\nsettings = { every = \"1ms\" }",
                "every is less than 1s",
            ),
            ("service = 5", "x.toml:1:11: invalid type"),
            ("[service.a", "x.toml:1:11: "),
            (
                "[service.a]\nrequires = [\"b\"]\n[service.b]\nrequires = [\"c\"]\n\
                 [service.c]\nprovides = [\"d\"]\nrequires = [\"a\"]",
                "x.toml:1:1: services require each other: a -> b -> c -> a",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}\n{error}");
        }
    }

    #[test]
    fn a_directory_is_read_file_by_file() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).unwrap();
        };
        write("a.toml", "[service.a]\nrequires = [\"b\"]");
        write("b.toml", "[service.b]");
        write(".c.toml", "not read");
        write("readme", "not read");
        let catalogue = Catalogue::read(directory.path()).unwrap();
        assert_eq!(catalogue.0.keys().collect::<Vec<_>>(), ["a", "b"]);
        write("c.toml", "[service.a]");
        let error = Catalogue::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("service a is defined already, in"), "{error}");
    }

    #[test]
    fn a_long_way_is_no_cycle() {
        let text: String = (0..5000)
            .map(|n| format!("[service.s{n}]\nrequires = [\"s{}\"]\n", n + 1))
            .chain(["[service.s5000]\n".to_owned()])
            .collect();
        assert_eq!(parse(&text).unwrap().0.len(), 5001);
    }
}
