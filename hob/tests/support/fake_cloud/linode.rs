//! What the Linode API, version 4, answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Answer, Machine, Request, State};

fn refused(status: u16, field: &str, reason: &str) -> Answer {
    Answer(status, Vec::new(), json!({ "errors": [{ "field": field, "reason": reason }] }))
}

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    if !request.authorized() {
        return Answer(401, Vec::new(), json!({ "errors": [{ "reason": "Invalid Token" }] }));
    }
    let id = request.path.strip_prefix("/linode/instances/").and_then(|id| id.parse().ok());
    match (request.method.as_str(), request.path.as_str(), id) {
        ("POST", "/linode/instances", _) => create(state, &request.body),
        ("GET", "/linode/instances", _) => list(state, request),
        ("DELETE", _, Some(id)) if state.delete(id) => Answer(200, Vec::new(), json!({})),
        _ => Answer(404, Vec::new(), json!({ "errors": [{ "reason": "Not found" }] })),
    }
}

fn shown(machine: &Machine) -> Value {
    let created = machine.created.as_secs();
    json!({
        "id": machine.id,
        "label": machine.name,
        "status": "running",
        "tags": machine.marks,
        "created": format!("2026-01-01T{:02}:{:02}:{:02}", created / 3600, created / 60 % 60, created % 60),
        "ipv4": [format!("192.0.2.{}", machine.id % 256)],
        "has_user_data": !machine.user_data.is_empty(),
    })
}

/// "Create a Linode".
fn create(state: &mut State, body: &Value) -> Answer {
    for field in ["region", "type", "image"] {
        if !body[field].is_string() {
            return refused(400, field, &format!("{field} is required"));
        }
    }
    let label = body["label"].as_str().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(3..=64).contains(&label.len())
        || !label.chars().all(plain)
        || !label.starts_with(|c: char| c.is_ascii_alphabetic())
        || !label.ends_with(|c: char| c.is_ascii_alphanumeric())
        || ["--", "__", ".."].iter().any(|pair| label.contains(pair))
    {
        return refused(400, "label", "Label must be as documented");
    }
    if state.unique_names && state.has_name(label) {
        return refused(400, "label", "Label must be unique among your linodes");
    }
    let mut machine = Machine::new(label, &[]);
    for tag in body["tags"].as_array().into_iter().flatten() {
        let tag = tag.as_str().unwrap_or_default();
        if !(3..=50).contains(&tag.len()) {
            return refused(400, "tags", "length must be 3-50 characters");
        }
        machine.marks.push(tag.to_owned());
    }
    let none = ["authorized_keys", "authorized_users", "root_pass"];
    if none.iter().all(|field| body[field].is_null()) {
        return refused(400, "root_pass", "root_pass is required");
    }
    let encoded = body["metadata"]["user_data"].as_str().unwrap_or_default();
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded {
        Some(text) if encoded.len() <= 65535 => machine.user_data = text,
        _ => return refused(400, "metadata.user_data", "user_data is invalid"),
    }
    let id = state.add(machine);
    let made = state.machines.iter().find(|machine| machine.id == id).unwrap();
    Answer(200, Vec::new(), shown(made))
}

/// "List Linodes", with "Pagination" and "Filtering and sorting".
fn list(state: &State, request: &Request) -> Answer {
    let size = request.number("page_size", 100);
    if !(25..=500).contains(&size) {
        return refused(400, "page_size", "Must be 25-500");
    }
    let filter: Value = serde_json::from_str(request.header("x-filter").unwrap_or("{}")).unwrap();
    let tag = filter["tags"].as_str();
    let wanted = |machine: &&Machine| {
        state.ignores_filters || tag.is_none_or(|tag| machine.marks.iter().any(|mark| mark == tag))
    };
    let found: Vec<Value> = state.listed().into_iter().filter(wanted).map(shown).collect();
    let page = request.number("page", 1);
    let pages = found.len().div_ceil(size).max(1);
    let data: Vec<&Value> = found.iter().skip((page - 1) * size).take(size).collect();
    let body = json!({ "data": data, "page": page, "pages": pages, "results": found.len() });
    Answer(200, Vec::new(), body)
}
