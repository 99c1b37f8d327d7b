//! Reading graphs, from text and from what was passed.

use std::collections::BTreeMap;

use super::check::{Marks, Part, check, no_machine};
use super::{Binding, Graph, Machine, Offer, Sources, VERSION};
use crate::desired::limits::Limits;
use crate::desired::machine::{is_absolute, read_state};
use crate::desired::names::{Name, Place};
use crate::desired::tree::{Invalid, Key, Tree, join};
use crate::services::is_name as is_service;

pub(super) fn read(
    tree: Tree,
    limits: &Limits,
    sources: Option<&dyn Sources>,
) -> Result<Graph, Invalid> {
    let mut fields = tree.fields("", "a graph")?;
    if let Some((path, version)) = fields.take("version") {
        let at = version.at;
        let version = version.natural(&path)?;
        if version != VERSION {
            let what = format!("version {version} is not known here: {VERSION} is");
            return Err(Invalid::new(&path, at, what));
        }
    }
    let mut graph = Graph::default();
    let mut marks = Marks::default();
    if let Some((path, tree)) = fields.take("machines") {
        let at = tree.at;
        let entries = tree.entries(&path, "a table of machines")?;
        within(entries.len(), limits.machines, "machines", &path, at)?;
        for (key, tree) in entries {
            let (path, name) = name(&path, &key)?;
            let machine = machine(tree, &path, &name, &mut marks, limits, sources)?;
            graph.machines.insert(name, machine);
        }
    }
    if let Some((path, tree)) = fields.take("bindings") {
        let at = tree.at;
        for (place, path, tree) in by_place(tree, &path)? {
            let mark = tree.at;
            let binding = binding(tree, &path)?;
            marks.0.insert(Part::Binding(place.clone()), mark);
            graph.bindings.insert(place, binding);
        }
        within(graph.bindings.len(), limits.bindings, "bindings", &path, at)?;
    }
    if let Some((path, tree)) = fields.take("forwards") {
        for (place, path, tree) in by_place(tree, &path)? {
            let at = tree.at;
            let listen = tree.parsed(&path, "unix:/PATH or tcp:127.0.0.1:PORT")?;
            let Some(binding) = graph.bindings.get_mut(&place) else {
                let what = if graph.machines.contains_key(&place.machine) {
                    format!("nothing is bound as {place} in the graph")
                } else {
                    no_machine(&graph, place.machine.as_str())
                };
                return Err(Invalid::new(&path, at, what));
            };
            binding.forward = Some(listen);
        }
    }
    fields.end()?;
    check(&graph, &marks)?;
    check_forwards(&graph)?;
    Ok(graph)
}

fn within(
    count: usize,
    limit: usize,
    what: &str,
    path: &str,
    at: Option<usize>,
) -> Result<(), Invalid> {
    if count <= limit {
        return Ok(());
    }
    Err(Invalid::new(path, at, format_args!("{count} {what}: the limit is {limit}")))
}

fn name(path: &str, key: &Key) -> Result<(String, Name), Invalid> {
    let path = join(path, &key.name);
    let name = key.name.parse().map_err(|bad| Invalid::new(&path, key.at, bad))?;
    Ok((path, name))
}

/// The entries of `machine.name = …`: their places, paths and values.
fn by_place(tree: Tree, path: &str) -> Result<Vec<(Place, String, Tree)>, Invalid> {
    const WHAT: &str = "entries of the form MACHINE.NAME = \"…\"";
    let mut places = Vec::new();
    for (key, tree) in tree.entries(path, WHAT)? {
        if let (Some((machine, name)), None) =
            (key.name.split_once('.'), key.name.parse::<Name>().ok())
        {
            let what = format!("write {machine}.{name} without the quotes");
            return Err(Invalid::new(&join(path, &key.name), key.at, what));
        }
        let (path, machine) = name(path, &key)?;
        for (key, tree) in tree.entries(&path, WHAT)? {
            let (path, name) = name(&path, &key)?;
            places.push((Place { machine: machine.clone(), name }, path, tree));
        }
    }
    Ok(places)
}

fn binding(tree: Tree, path: &str) -> Result<Binding, Invalid> {
    let at = tree.at;
    const FORMS: &str =
        "\"MACHINE.NAME\", \"MACHINE.NAME | RULE | …\" or \"MACHINE.NAME requires SERVICE | …\"";
    let text = tree.text(path, FORMS)?;
    let (from, rules) = match text.split_once('|') {
        Some((_, rules)) if rules.trim().is_empty() => {
            return Err(Invalid::new(path, at, "after the bar a rule is expected"));
        }
        Some((from, rules)) => (from, rules),
        None => (text.as_str(), ""),
    };
    let failed = |error: &dyn std::fmt::Display| Invalid::new(path, at, error);
    let words: Vec<&str> = from.split_whitespace().collect();
    let (from, requires) = match words.as_slice() {
        [from, "requires", service] if is_service(service) => (*from, Some((*service).to_owned())),
        [_, _, ..] => {
            let what = "after what is given, `requires SERVICE` or a bar and rules are expected";
            return Err(failed(&what));
        }
        _ => (from, None),
    };
    let from = from.trim().parse().map_err(|error| failed(&error))?;
    let rules = rules.parse().map_err(|error| failed(&error))?;
    Ok(Binding { from, rules, requires, forward: None })
}

fn machine(
    tree: Tree,
    path: &str,
    name_of_it: &Name,
    marks: &mut Marks,
    limits: &Limits,
    sources: Option<&dyn Sources>,
) -> Result<Machine, Invalid> {
    let mut fields = tree.fields(path, "a machine: a table")?;
    let mut machine = Machine::default();
    if let Some((path, tree)) = fields.take("existing") {
        machine.existing = tree.boolean(&path)?;
    }
    if let Some((path, tree)) = fields.take("provider") {
        machine.provider = Some(tree.text(&path, "the name of a provider")?);
    }
    if let Some((path, tree)) = fields.take("spec") {
        let at = tree.at;
        let json = no_others(tree, &path)?.to_json();
        let serde_json::Value::Object(spec) = json else {
            return Err(Invalid::new(&path, at, "expected a table"));
        };
        machine.spec = spec;
    }
    if machine.existing && (machine.provider.is_some() || !machine.spec.is_empty()) {
        return Err(fields.invalid("a machine that is existing has no provider and no spec here"));
    }
    if let Some((path, tree)) = fields.take("offers") {
        let at = tree.at;
        let entries = tree.entries(&path, "a table of what is offered")?;
        within(entries.len(), limits.offers, "offers", &path, at)?;
        for (key, tree) in entries {
            let (path, name) = name(&path, &key)?;
            let place = Place { machine: name_of_it.clone(), name: name.clone() };
            marks.0.insert(Part::Offer(place), key.at);
            machine.offers.insert(name, offer(tree, &path)?);
        }
    }
    if let Some((path, tree)) = fields.take("state") {
        let at = tree.at;
        machine.state = read_state(tree, &path, limits, sources)?;
        if !machine.state.forwards.is_empty() {
            let what = "forwards are written in the graph's own table [forwards]";
            return Err(Invalid::new(&join(&path, "forwards"), at, what));
        }
    }
    fields.end()?;
    Ok(machine)
}

/// The tree, if it has nothing that JSON lacks.
fn no_others(tree: Tree, path: &str) -> Result<Tree, Invalid> {
    use crate::desired::tree::Node;
    match &tree.node {
        Node::Other(kind) => {
            return Err(Invalid::new(path, tree.at, format_args!("{kind} is not allowed here")));
        }
        Node::Float(float) if !float.is_finite() => {
            return Err(Invalid::new(path, tree.at, "the number is not finite"));
        }
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                no_others(item.clone(), &format!("{path}[{index}]"))?;
            }
        }
        Node::Table(fields) => {
            for (key, item) in fields {
                no_others(item.clone(), &join(path, &key.name))?;
            }
        }
        Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Text(_) => {}
    }
    Ok(tree)
}

fn offer(tree: Tree, path: &str) -> Result<Offer, Invalid> {
    const KINDS: &str = "postgres, tcp, unix, kind, binding or existing";
    let mut fields = tree.fields(path, "a table that says what is offered")?;
    let mut offers = Vec::new();
    if let Some((path, tree)) = fields.take("postgres") {
        offers.push(postgres(tree, &path)?);
    }
    if let Some((path, tree)) = fields.take("tcp") {
        offers.push(Offer::Tcp(address(tree, &path)?));
    }
    if let Some((path, tree)) = fields.take("unix") {
        let at = tree.at;
        let socket = tree.text(&path, "the path of a socket")?;
        if !is_absolute(&socket) {
            return Err(Invalid::new(&path, at, "the path of a socket is absolute"));
        }
        offers.push(Offer::Unix(socket));
    }
    if let Some((path, tree)) = fields.take("kind") {
        offers.push(Offer::Kind(tree.text(&path, "the name of a kind of object")?));
    }
    if let Some((path, tree)) = fields.take("binding") {
        offers.push(Offer::Binding(tree.parsed(&path, "the name of a binding of this machine")?));
    }
    if let Some((path, tree)) = fields.take("existing") {
        let at = tree.at;
        if !tree.boolean(&path)? {
            return Err(Invalid::new(&path, at, "expected true, or nothing"));
        }
        offers.push(Offer::Existing);
    }
    let count = offers.len();
    match (offers.pop(), count) {
        (Some(offer), 1) => fields.end().map(|()| offer),
        (None, _) => {
            let missing = fields.invalid(format_args!("expected one of {KINDS}"));
            // A key that is misspelt says more than that all are missing.
            fields.end().and(Err(missing))
        }
        (Some(_), _) => Err(fields.invalid(format_args!("offers {count} things: one at a time"))),
    }
}

fn postgres(tree: Tree, path: &str) -> Result<Offer, Invalid> {
    let mut fields = tree.fields(path, "a table with database")?;
    let (path, database) = fields.need("database")?;
    let database = database.text(&path, "the name of a database")?;
    let server = fields.take("server").map(|(path, tree)| server(tree, &path)).transpose()?;
    let mut text = |key, what| {
        let field = fields.take(key);
        field.map(|(path, tree)| Ok((tree.at, tree.text(&path, what)?, path))).transpose()
    };
    let admin = text("admin", "the name of a role")?.map(|(_, text, _)| text);
    let login_host = text("login-host", "a host, or the directory of a socket")?;
    let password_file = match text("password-file", "the path of a file")? {
        Some((at, file, path)) if !is_absolute(&file) => {
            let what = format_args!("{file:?} is not absolute: it is on the machine");
            return Err(Invalid::new(&path, at, what));
        }
        file => file.map(|(_, file, _)| file),
    };
    fields.end()?;
    let login_host = login_host.map(|(_, text, _)| text);
    Ok(Offer::Postgres { database, server, admin, password_file, login_host })
}

/// Where a PostgreSQL server is: `HOST:PORT`, `/DIRECTORY` or `/DIRECTORY:PORT`.
fn server(tree: Tree, path: &str) -> Result<String, Invalid> {
    let at = tree.at;
    let text = tree.text(path, "HOST:PORT, or the directory of a socket")?;
    if !text.starts_with('/') {
        return address(text.into(), path).map_err(|invalid| Invalid { at, ..invalid });
    }
    let (directory, port) = text.rsplit_once(':').unwrap_or((&text, "5432"));
    if is_absolute(directory) && port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Ok(text);
    }
    Err(Invalid::new(path, at, format_args!("{text:?} is not /DIRECTORY or /DIRECTORY:PORT")))
}

/// `HOST:PORT`.
fn address(tree: Tree, path: &str) -> Result<String, Invalid> {
    let at = tree.at;
    let text = tree.text(path, "HOST:PORT")?;
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
        !host.is_empty()
            && host.chars().all(plain)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if good {
        Ok(text)
    } else {
        Err(Invalid::new(path, at, format_args!("{text:?} is not HOST:PORT")))
    }
}

/// Each place to listen at is used once on each machine.
fn check_forwards(graph: &Graph) -> Result<(), Invalid> {
    let mut used = BTreeMap::new();
    for (place, binding) in &graph.bindings {
        let Some(listen) = &binding.forward else { continue };
        if let Some(other) = used.insert((&place.machine, listen), place) {
            let path = join(&join("forwards", place.machine.as_str()), place.name.as_str());
            let what = format!("{other} listens at {listen} already");
            return Err(Invalid::new(&path, None, what));
        }
    }
    Ok(())
}
