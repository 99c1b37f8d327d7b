//! `hob config`: the settings as they are, and where they come from.

use serde_json::json;

use crate::cli::ConfigCommand;
use crate::config::{CONFIG_VARIABLE, Settings};
use crate::output::screen::{Paint, Screen};
use crate::output::table::{Cell, Column, Table};
use crate::output::{self, json, redact};

pub(crate) fn config(
    command: &ConfigCommand,
    settings: &Settings,
    screen: Screen,
) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Show { form, .. } if form.json => json::print(as_json(settings)),
        ConfigCommand::Show { origin: true, .. } => output::line(&as_table(settings, screen)),
        ConfigCommand::Show { .. } => output::line(as_file(settings).trim_end()),
        ConfigCommand::Check { form } => check(settings, form.json),
    }
}

fn check(settings: &Settings, json: bool) -> anyhow::Result<()> {
    let file = settings.file.as_ref().map(|file| file.path.display().to_string());
    let providers: Vec<&str> = settings.providers().map(|(name, _)| name).collect();
    if json {
        return json::print(json!({"ok": true, "file": file, "providers": providers}));
    }
    let file = file.unwrap_or_else(|| format!("no config file, and ${CONFIG_VARIABLE} is not set"));
    output::line(&match providers.as_slice() {
        [] => format!("ok: {file}"),
        providers => format!("ok: {file}; providers: {}", providers.join(", ")),
    })
}

/// As a config file that says the same. What has no value is a comment.
fn as_file(settings: &Settings) -> String {
    let mut text = String::new();
    let mut section = "";
    for (name, value, _) in settings.all() {
        let (of, key) = name.split_once('.').unwrap_or(("", name));
        if of != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}[{of}]\n"));
            section = of;
        }
        // In a file a % begins a specifier.
        let value = value.to_string().replace('%', "%%");
        match value.as_str() {
            "" => text.push_str(&format!("# {key} is not set\n")),
            value => text.push_str(&format!("{key} = {value}\n")),
        }
    }
    for (name, provider) in settings.providers() {
        let mut providers = toml::Table::new();
        providers.insert(name.to_owned(), redact::table(&provider.table).into());
        let mut whole = toml::Table::new();
        whole.insert("providers".to_owned(), providers.into());
        text.push_str(&format!("\n{whole}"));
    }
    text
}

fn as_table(settings: &Settings, screen: Screen) -> String {
    let columns = [Column::kept("SETTING"), Column::kept("VALUE"), Column::droppable("FROM", 1)];
    let mut table = Table::new(columns);
    for (name, value, origin) in settings.all() {
        let weight = if origin.kind() == "default" { Paint::Faint } else { Paint::Plain };
        let cells = [name.to_owned(), value.to_string(), origin.to_string()];
        table.row(cells.map(|text| Cell::new(text).painted(weight)));
    }
    let file = settings.file.as_ref().map(|file| file.path.display().to_string());
    for (name, provider) in settings.providers() {
        let from = format!("{}:{}", file.as_deref().unwrap_or_default(), provider.line);
        let kind = format!("kind = {:?}", provider.kind(name));
        table.row([format!("providers.{name}"), kind, from].map(Cell::new));
    }
    table.render(screen)
}

fn as_json(settings: &Settings) -> serde_json::Value {
    let setting = |(name, value, origin): (&str, &crate::config::Value, &crate::config::Origin)| {
        json!({
            "name": name,
            "value": value.to_json(),
            "origin": origin.kind(),
            "from": origin.to_string(),
        })
    };
    let all: Vec<_> = settings.all().map(setting).collect();
    let providers = settings.providers().map(|(name, provider)| {
        let table = redact::table(&provider.table);
        let table = serde_json::to_value(table).unwrap_or_default();
        json!({"name": name, "kind": provider.kind(name), "line": provider.line, "settings": table})
    });
    let providers: Vec<_> = providers.collect();
    let file = settings.file.as_ref().map(|file| file.path.display().to_string());
    json!({"file": file, "settings": all, "providers": providers})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, Surroundings};

    const FILE: &str = "[boss]\nreconcile = \"5s\"\n\
                        [providers.far]\nkind = \"linode\"\ntoken = \"hidden-token\"\n";

    fn settings(directory: &std::path::Path) -> Settings {
        let path = directory.join("c.toml");
        std::fs::write(&path, FILE).unwrap();
        let around = Surroundings::with(&[("HOME", "/home/50%")]);
        Settings::load(Some(path), &Flags::new(), &around).unwrap()
    }

    #[test]
    fn what_is_shown_can_be_read_again_and_tells_no_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        let text = as_file(&settings);
        assert!(text.starts_with("[node]\n# listen is not set\n"), "{text}");
        assert!(text.contains("[state]\npath = \"/home/50%%/.local/state/hob\"\n"), "{text}");
        assert!(
            text.contains("\n[providers.far]\nkind = \"linode\"\ntoken = \"(hidden)\""),
            "{text}"
        );
        let again = directory.path().join("again.toml");
        std::fs::write(&again, &text).unwrap();
        let again = Settings::load(Some(again), &Flags::new(), &Surroundings::default()).unwrap();
        assert_eq!(as_file(&again), text);
        assert_eq!(again.state().unwrap().to_str(), Some("/home/50%/.local/state/hob"));
        for shown in [text, as_json(&settings).to_string(), as_table(&settings, Screen::default())]
        {
            assert!(!shown.contains("hidden-token"), "{shown}");
        }
    }

    #[test]
    fn origins_as_a_table() {
        let directory = tempfile::tempdir().unwrap();
        let table = as_table(&settings(directory.path()), Screen::default());
        let file = directory.path().join("c.toml").display().to_string();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = table.lines().map(words).collect();
        assert_eq!(lines[0], "SETTING VALUE FROM");
        assert_eq!(lines[1], "node.listen - default");
        assert_eq!(lines[4], format!("boss.reconcile \"5s\" {file}:2"));
        assert_eq!(lines[5], "boss.enrol_ttl \"15m\" default");
        assert_eq!(lines[17], format!("providers.far kind = \"linode\" {file}:3"));
    }
}
