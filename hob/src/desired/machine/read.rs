//! Reading desired states: strictly, from a graph's text, from JSON and from what was passed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{
    Content, DesiredState, Digest, FileState, Generation, GuixState, OwnService, ServiceState,
    VERSION, is_absolute,
};
use crate::desired::limits::Limits;
use crate::desired::names::Name;
use crate::desired::tree::{Invalid, Node, Tree, join};
use crate::services::{Definition, is_name as is_service};

/// Where the files are that a graph mentions as `source`.
pub(crate) trait Sources {
    /// What is in the file at that relative path, up to `limit` bytes and one more.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn read(&self, path: &str, limit: usize) -> io::Result<Vec<u8>>;
}

/// How states are read: within which limits, and with which files, if any.
#[derive(Clone, Copy)]
struct Reader<'a> {
    limits: &'a Limits,
    sources: Option<&'a dyn Sources>,
}

/// A generation with its digest, which must be right.
pub(super) fn read_generation(tree: Tree, limits: &Limits) -> Result<Generation, Invalid> {
    let mut fields = tree.fields("", "a generation")?;
    let (path, version) = fields.need("version")?;
    let at = version.at;
    let version = version.natural(&path)?;
    if version != VERSION {
        let what = format!("version {version} is not known here: {VERSION} is");
        return Err(Invalid::new(&path, at, what));
    }
    let (path, number) = fields.need("generation")?;
    let number = number.natural(&path)?;
    let (digest_path, digest) = fields.need("digest")?;
    let digest: Digest = digest.parsed(&digest_path, "a digest")?;
    let (path, state) = fields.need("state")?;
    let state = read_state(state, &path, limits, None)?;
    fields.end()?;
    let real = state.digest();
    if digest != real {
        let what = format!("the state's digest is {}, and not {}", real.short(), digest.short());
        return Err(Invalid::new(&digest_path, None, what));
    }
    Ok(Generation { number, state })
}

/// A desired state. With `sources`, contents may be in files.
pub(in crate::desired) fn read_state(
    tree: Tree,
    path: &str,
    limits: &Limits,
    sources: Option<&dyn Sources>,
) -> Result<DesiredState, Invalid> {
    let reader = Reader { limits, sources };
    let mut fields = tree.fields(path, "a machine's state")?;
    let at = fields.at;
    let mut state = DesiredState::default();
    if let Some((path, tree)) = fields.take("packages") {
        for (index, item) in tree.items(&path, "a list of packages")?.into_iter().enumerate() {
            let at = item.at;
            let path = format!("{path}[{index}]");
            let name = item.text(&path, "the name of a package")?;
            package_name(&name).map_err(|what| Invalid::new(&path, at, what))?;
            if !state.packages.insert(name) {
                return Err(Invalid::new(&path, at, "the package is in the list twice"));
            }
        }
    }
    if let Some((path, tree)) = fields.take("files") {
        for (key, tree) in tree.entries(&path, "a table of files by their paths")? {
            let path = join(&path, &key.name);
            if !is_absolute(&key.name) {
                let what = "the path of a file is absolute, and plain: no `.`, `..` or `//`";
                return Err(Invalid::new(&path, key.at, what));
            }
            let file = reader.file(tree, &path)?;
            state.files.insert(key.name, file);
        }
    }
    if let Some((path, tree)) = fields.take("services") {
        for (key, tree) in tree.entries(&path, "a table of services")? {
            let path = join(&path, &key.name);
            service_name(&key.name).map_err(|what| Invalid::new(&path, key.at, what))?;
            let service = service(tree, &path, &state)?;
            state.services.insert(key.name, service);
        }
    }
    if let Some((path, tree)) = fields.take("shepherd") {
        for (key, tree) in tree.entries(&path, "a table of services")? {
            let path = join(&path, &key.name);
            if !is_service(&key.name) || key.name == "root" {
                let what = format!("{:?} can't be the name of a service", key.name);
                return Err(Invalid::new(&path, key.at, what));
            }
            let service = own_service(tree, &path, &state)?;
            state.shepherd.insert(key.name, service);
        }
    }
    if let Some((path, tree)) = fields.take("forwards") {
        for (key, tree) in tree.entries(&path, "a table of places to listen at")? {
            let path = join(&path, &key.name);
            let name: Name = key.name.parse().map_err(|bad| Invalid::new(&path, key.at, bad))?;
            state.forwards.insert(name, tree.parsed(&path, "a place to listen at")?);
        }
    }
    if let Some((path, tree)) = fields.take("guix") {
        state.guix = Some(reader.guix(tree, &path)?);
    }
    fields.end()?;
    reader.check_sizes(&state, path, at)?;
    Ok(state)
}

/// The files of the state that a service is restarted for.
fn restart_on(
    (path, list): (String, Tree),
    state: &DesiredState,
) -> Result<BTreeSet<String>, Invalid> {
    let mut files = BTreeSet::new();
    for (index, item) in list.items(&path, "a list of paths")?.into_iter().enumerate() {
        let at = item.at;
        let path = format!("{path}[{index}]");
        let file = item.text(&path, "the path of a file")?;
        if !state.files.contains_key(&file) {
            let what = format!("{file:?} is none of the files of this machine's state");
            return Err(Invalid::new(&path, at, what));
        }
        files.insert(file);
    }
    Ok(files)
}

/// Whether a service is to run.
fn running((path, word): (String, Tree), what: &str) -> Result<bool, Invalid> {
    let at = word.at;
    match word.text(&path, what)?.as_str() {
        "running" => Ok(true),
        "stopped" => Ok(false),
        other => {
            let what = format!("expected \"running\" or \"stopped\", found {other:?}");
            Err(Invalid::new(&path, at, what))
        }
    }
}

fn service(tree: Tree, path: &str, state: &DesiredState) -> Result<ServiceState, Invalid> {
    const WHAT: &str = "\"running\", \"stopped\" or a table with state and restart-on";
    let mut service = ServiceState { running: true, restart_on: BTreeSet::new() };
    let word = if matches!(tree.node, Node::Table(_)) {
        let mut fields = tree.fields(path, WHAT)?;
        let word = fields.need("state")?;
        if let Some(list) = fields.take("restart-on") {
            service.restart_on = restart_on(list, state)?;
        }
        fields.end()?;
        word
    } else {
        (path.to_owned(), tree)
    };
    service.running = running(word, WHAT)?;
    Ok(service)
}

/// A service that hob runs: what a definition in a file has, and whether it is to run.
fn own_service(tree: Tree, path: &str, state: &DesiredState) -> Result<OwnService, Invalid> {
    let at = tree.at;
    let mut service = OwnService {
        running: true,
        definition: serde_json::Value::Null,
        restart_on: BTreeSet::new(),
    };
    let mut definition = BTreeMap::new();
    for (key, tree) in tree.entries(path, "a service: a table with command")? {
        let path = join(path, &key.name);
        match key.name.as_str() {
            "state" => service.running = running((path, tree), "\"running\" or \"stopped\"")?,
            "restart-on" => service.restart_on = restart_on((path, tree), state)?,
            "enabled" | "autostart" => {
                let what = "write `state` instead: it decides that here";
                return Err(Invalid::new(&path, key.at, what));
            }
            _ => _ = definition.insert(key.name, sorted(tree.to_json())),
        }
    }
    service.definition = serde_json::Value::Object(definition.into_iter().collect());
    let text = service.definition.to_string();
    Definition::from_text(&text).map_err(|what| {
        // Its line and column are those of the text that was made here.
        let what = what.split(" at line ").next().unwrap_or_default().to_owned();
        Invalid::new(path, at, what)
    })?;
    Ok(service)
}

/// The same with the keys of all objects in order.
fn sorted(json: serde_json::Value) -> serde_json::Value {
    match json {
        serde_json::Value::Object(fields) => {
            let fields: BTreeMap<String, serde_json::Value> = fields.into_iter().collect();
            let fields = fields.into_iter().map(|(key, value)| (key, sorted(value)));
            serde_json::Value::Object(fields.collect())
        }
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

impl Reader<'_> {
    fn file(&self, tree: Tree, path: &str) -> Result<FileState, Invalid> {
        let mut fields = tree.fields(path, "a file: a table with content or source")?;
        let content = match self.apart(&mut fields)? {
            Some(Content::Link(target)) => {
                fields.end()?;
                let content = Content::Link(target);
                return Ok(FileState { content, mode: 0o777, owner: None, group: None });
            }
            Some(content) => content,
            None => Content::Bytes(self.content(&mut fields)?),
        };
        let mode = if content == Content::Directory { 0o755 } else { 0o644 };
        let mut file = FileState { content, mode, owner: None, group: None };
        if let Some((path, tree)) = fields.take("mode") {
            let at = tree.at;
            let text = tree.text(&path, "permission bits as a string, as in \"0644\"")?;
            let mode = u32::from_str_radix(&text, 8).ok();
            let good = text.bytes().all(|byte| byte.is_ascii_digit());
            let mode = mode.filter(|mode| good && *mode <= 0o777);
            let what = || {
                let what = format!("{text:?} is no mode: those are from \"0000\" to \"0777\"");
                Invalid::new(&path, at, what)
            };
            file.mode = mode.ok_or_else(what)?;
        }
        for (field, place) in [("owner", &mut file.owner), ("group", &mut file.group)] {
            if let Some((path, tree)) = fields.take(field) {
                let at = tree.at;
                let name = tree.text(&path, "the name of a user or group")?;
                account_name(&name).map_err(|what| Invalid::new(&path, at, what))?;
                *place = Some(name);
            }
        }
        fields.end()?;
        Ok(file)
    }

    /// What is sent apart, or is no file, if that may be here.
    fn apart(&self, fields: &mut crate::desired::tree::Fields) -> Result<Option<Content>, Invalid> {
        if self.limits.object_bytes == 0 {
            return Ok(None);
        }
        if let Some((path, tree)) = fields.take("digest") {
            let digest = tree.parsed(&path, "a digest")?;
            let (path, size) = fields.need("size")?;
            let at = size.at;
            let size = size.natural(&path)?;
            let limit = self.limits.object_bytes;
            if size > limit {
                let what = format!("{size} bytes: the limit for one file is {limit} bytes");
                return Err(Invalid::new(&path, at, what));
            }
            return Ok(Some(Content::Object { digest, size }));
        }
        if let Some((path, tree)) = fields.take("link") {
            let at = tree.at;
            let target = tree.text(&path, "where the link leads")?;
            if target.is_empty() || target.len() >= 4096 || target.contains('\0') {
                return Err(Invalid::new(&path, at, "no link leads there"));
            }
            return Ok(Some(Content::Link(target)));
        }
        if let Some((path, tree)) = fields.take("directory") {
            let at = tree.at;
            if !tree.boolean(&path)? {
                return Err(Invalid::new(&path, at, "it is true, or left out"));
            }
            return Ok(Some(Content::Directory));
        }
        Ok(None)
    }

    /// What a table has as `content`, `base64` or `source`: exactly one of them.
    fn content(&self, fields: &mut crate::desired::tree::Fields) -> Result<Vec<u8>, Invalid> {
        let given: Vec<&str> =
            ["content", "base64", "source"].into_iter().filter(|name| fields.has(name)).collect();
        if given.len() > 1 {
            return Err(fields.invalid(format_args!("has both {}", given.join(" and "))));
        }
        let content = fields.take("content");
        let binary = fields.take("base64");
        let source = self.sources.and_then(|sources| Some((sources, fields.take("source")?)));
        if let Some((path, tree)) = content {
            return Ok(tree.text(&path, "text")?.into_bytes());
        }
        if let Some((path, tree)) = binary {
            let at = tree.at;
            let text = tree.text(&path, "bytes in base64")?;
            let bytes = STANDARD.decode(text);
            return bytes.map_err(|error| Invalid::new(&path, at, error));
        }
        let Some((sources, (path, tree))) = source else {
            // Whether `source` is known here, the end of the fields tells.
            let what = if self.sources.is_some() {
                "expected content, base64 or source"
            } else {
                "expected content or base64"
            };
            return Err(fields.invalid(what));
        };
        let at = tree.at;
        let file = tree.text(&path, "a path relative to the graph's file")?;
        let failed = |what: String| Invalid::new(&path, at, what);
        if !is_absolute(&format!("/{file}")) {
            let what = format!("{file:?} is no path within the graph's own directory");
            return Err(failed(what));
        }
        let limit = self.limits.file_bytes;
        let bytes =
            sources.read(&file, limit).map_err(|error| failed(format!("{file}: {error}")))?;
        Ok(bytes)
    }

    fn guix(&self, tree: Tree, path: &str) -> Result<GuixState, Invalid> {
        let mut fields = tree.fields(path, "a table with profile, and manifest or system")?;
        let (profile_path, profile) = fields.need("profile")?;
        let at = profile.at;
        let profile = profile.text(&profile_path, "the path of a profile")?;
        if !is_absolute(&profile) {
            return Err(Invalid::new(&profile_path, at, "the path of a profile is absolute"));
        }
        let mut texts = [None, None];
        for (name, place) in ["manifest", "system"].into_iter().zip(&mut texts) {
            if let Some((path, tree)) = fields.take(name) {
                let mut fields = tree.fields(&path, "a table with content or source")?;
                let bytes = self.content(&mut fields)?;
                let text = String::from_utf8(bytes);
                *place = Some(text.map_err(|_| fields.invalid("is no text"))?);
                fields.end()?;
            }
        }
        let [manifest, system] = texts;
        if manifest.is_none() && system.is_none() {
            return Err(fields.invalid("expected manifest, system or both"));
        }
        fields.end()?;
        Ok(GuixState { profile, manifest, system })
    }

    fn check_sizes(
        &self,
        state: &DesiredState,
        path: &str,
        at: Option<usize>,
    ) -> Result<(), Invalid> {
        let limits = self.limits;
        if state.items() > limits.items {
            let what = format!(
                "{} packages, files and services: the limit is {}",
                state.items(),
                limits.items
            );
            return Err(Invalid::new(path, at, what));
        }
        let (mut all, mut apart) = (0usize, 0u64);
        for (name, file) in &state.files {
            let size = file.content.bytes().len();
            all = all.saturating_add(size);
            if let Content::Object { size, .. } = file.content {
                apart = apart.saturating_add(size);
            }
            if size > limits.file_bytes {
                let path = join(&join(path, "files"), name);
                let what = format!("the content is over the limit of {} bytes", limits.file_bytes);
                return Err(Invalid::new(&path, at, what));
            }
        }
        let guix = state.guix.iter().flat_map(|guix| [&guix.manifest, &guix.system]);
        all = all.saturating_add(guix.flatten().map(String::len).sum());
        if all > limits.state_bytes {
            let what =
                format!("contents of {all} bytes: the limit is {} bytes", limits.state_bytes);
            return Err(Invalid::new(path, at, what));
        }
        if apart > limits.objects_bytes {
            let limit = limits.objects_bytes;
            let what = format!("files of {apart} bytes: the limit for all is {limit} bytes");
            return Err(Invalid::new(path, at, what));
        }
        Ok(())
    }
}

/// Debian's rule for names of packages, perhaps with an architecture. Never an option.
fn package_name(name: &str) -> Result<(), String> {
    let (base, architecture) = name.split_once(':').unwrap_or((name, "any"));
    let letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let good = (2..=200).contains(&base.len())
        && base.bytes().next().is_some_and(letter)
        && base.bytes().all(|byte| letter(byte) || matches!(byte, b'+' | b'-' | b'.'))
        // apt takes that for an order to remove the package.
        && !base.ends_with('-')
        && !architecture.is_empty()
        && architecture.bytes().all(|byte| letter(byte) || byte == b'-');
    if good { Ok(()) } else { Err(format!("{name:?} is no name of a package")) }
}

/// Systemd's rule for names of units, the suffix `.service` left out or not.
fn service_name(name: &str) -> Result<(), String> {
    let letter =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b'.' | b'@');
    let good = (1..=200).contains(&name.len())
        && name.bytes().all(letter)
        && !name.starts_with(['-', '.'].as_slice());
    if good { Ok(()) } else { Err(format!("{name:?} is no name of a service")) }
}

fn account_name(name: &str) -> Result<(), String> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let good = (1..=32).contains(&name.len()) && name.bytes().all(letter) && !name.starts_with('-');
    if good { Ok(()) } else { Err(format!("{name:?} is no name of a user or group")) }
}
