//! What the Hetzner Cloud API, version 1, answers.

use serde_json::{Value, json};

use super::{Answer, Machine, Request, State};

fn refused(status: u16, code: &str, message: &str) -> Answer {
    Answer(status, Vec::new(), json!({ "error": { "code": code, "message": message } }))
}

fn invalid(field: &str) -> Answer {
    let details = json!({ "fields": [{ "name": field, "messages": ["is invalid"] }] });
    let message = format!("invalid input in field '{field}'");
    let error = json!({ "code": "invalid_input", "message": message, "details": details });
    Answer(422, Vec::new(), json!({ "error": error }))
}

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    if !request.authorized() {
        return refused(401, "unauthorized", "unable to authenticate");
    }
    let id = request.path.strip_prefix("/servers/").and_then(|id| id.parse().ok());
    match (request.method.as_str(), request.path.as_str(), id) {
        ("POST", "/servers", _) => create(state, &request.body),
        ("GET", "/servers", _) => list(state, request),
        ("DELETE", _, Some(id)) if state.delete(id) => {
            let action = json!({ "id": 1, "command": "delete_server", "status": "running" });
            Answer(200, Vec::new(), json!({ "action": action }))
        }
        _ => refused(404, "not_found", "server not found"),
    }
}

fn shown(machine: &Machine) -> Value {
    let labels: serde_json::Map<String, Value> = machine
        .marks
        .iter()
        .filter_map(|mark| mark.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let created = machine.created.as_secs();
    let created =
        format!("2026-01-01T{:02}:{:02}:{:02}Z", created / 3600, created / 60 % 60, created % 60);
    json!({
        "id": machine.id,
        "name": machine.name,
        "status": "running",
        "created": created,
        "labels": labels,
        "public_net": { "ipv4": { "ip": format!("192.0.2.{}", machine.id % 256) } },
    })
}

/// "Labels": what keys and values may be.
fn is_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || matches!(c, '-' | '_' | '.'))
}

/// "Create a Server".
fn create(state: &mut State, body: &Value) -> Answer {
    for field in ["server_type", "image", "location"] {
        if !body[field].is_string() {
            return invalid(field);
        }
    }
    let name = body["name"].as_str().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !(1..=63).contains(&name.len())
        || !name.chars().all(plain)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        return invalid("name");
    }
    if state.unique_names && state.has_name(name) {
        return refused(409, "uniqueness_error", "server name is already used");
    }
    let mut machine = Machine::new(name, &[]);
    for (key, value) in body["labels"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or("?");
        if !is_label(key) || !is_label(value) {
            return invalid("labels");
        }
        machine.marks.push(format!("{key}={value}"));
    }
    machine.user_data = body["user_data"].as_str().unwrap_or_default().to_owned();
    if machine.user_data.len() > 32 * 1024 {
        return invalid("user_data");
    }
    let id = state.add(machine);
    let made = state.machines.iter().find(|machine| machine.id == id).unwrap();
    let action = json!({ "id": 1, "command": "create_server", "status": "running" });
    let body = json!({
        "server": shown(made), "action": action, "next_actions": [], "root_password": "secret",
    });
    Answer(201, Vec::new(), body)
}

/// "Get all Servers", with "Pagination" and "Label Selector".
fn list(state: &State, request: &Request) -> Answer {
    let size = request.number("per_page", 25);
    if !(1..=50).contains(&size) {
        return invalid("per_page");
    }
    let selector = request.text("label_selector").unwrap_or_default();
    let terms: Vec<&str> = selector.split(',').filter(|term| !term.is_empty()).collect();
    let wanted = |machine: &&Machine| {
        state.ignores_filters
            || terms.iter().all(|term| machine.marks.iter().any(|mark| mark == term))
    };
    let found: Vec<Value> = state.listed().into_iter().filter(wanted).map(shown).collect();
    let page = request.number("page", 1);
    let last = found.len().div_ceil(size).max(1);
    let servers: Vec<&Value> = found.iter().skip((page - 1) * size).take(size).collect();
    let pagination = json!({
        "page": page, "per_page": size, "last_page": last, "total_entries": found.len(),
        "previous_page": (page > 1).then(|| page - 1), "next_page": (page < last).then(|| page + 1),
    });
    let body = json!({ "servers": servers, "meta": { "pagination": pagination } });
    Answer(200, Vec::new(), body)
}
