//! `hob where`: where things are.

use std::path::PathBuf;

use anyhow::Context as _;
use ocapn::Value;
use serde_json::json;

use crate::cli::Where;
use crate::client::{Client, within};
use crate::config::{CONFIG_VARIABLE, Settings, Surroundings};
use crate::exit::NoNode;
use crate::output::screen::{Mark, Screen};
use crate::output::{self, json};
use crate::state::StateDir;

pub(crate) async fn place(
    options: &Where,
    settings: &Settings,
    screen: Screen,
) -> anyhow::Result<()> {
    let state = StateDir::named(options.node.state.clone())?;
    let asked = within(options.node.timeout, locators(&state)).await;
    let locators = match asked {
        Err(error) if error.is::<NoNode>() => None,
        outcome => Some(outcome?),
    };
    let places = Places::new(&state, settings, &Surroundings::of_process(), locators);
    if options.form.json {
        return json::print(places.as_json());
    }
    output::line(&places.as_text(screen))
}

/// The node's locators, from its admin object.
async fn locators(state: &StateDir) -> anyhow::Result<Vec<String>> {
    let (client, admin) = Client::of_node(state).await?;
    let answer = client.call(&admin, vec![Value::symbol("where")]).await;
    client.end().await;
    let text = |value: Value| value.as_str().map(str::to_owned);
    let texts = match answer? {
        Value::List(values) => values.into_iter().map(text).collect(),
        _ => None,
    };
    texts.context("the node's admin object gave no list of locators")
}

struct Places {
    state: PathBuf,
    /// Why the state directory is that one.
    because: String,
    socket: PathBuf,
    looked_for: Vec<PathBuf>,
    used: Option<PathBuf>,
    log: String,
    /// `None` if no node runs.
    locators: Option<Vec<String>>,
}

impl Places {
    fn new(
        state: &StateDir,
        settings: &Settings,
        around: &Surroundings,
        locators: Option<Vec<String>>,
    ) -> Self {
        let because = settings.all().find(|(name, ..)| *name == "state.path");
        let used = settings.file.as_ref().map(|file| file.path.clone());
        let named = used.iter().filter(|used| !around.config_files().contains(*used)).cloned();
        let log = match around.variable("HOB_LOG") {
            Some(filter) => format!("standard error, as HOB_LOG={filter} says"),
            None => "standard error; under systemd: journalctl -u 'hob-*'".to_owned(),
        };
        Self {
            state: state.path().to_owned(),
            because: because.map_or_else(String::new, |(.., origin)| origin.to_string()),
            socket: state.socket(),
            looked_for: named.chain(around.config_files()).collect(),
            used,
            log,
            locators,
        }
    }

    fn as_text(&self, screen: Screen) -> String {
        let mut lines = vec![
            format!("state   {}  ({})", self.state.display(), self.because),
            format!("socket  {}", self.socket.display()),
        ];
        for path in &self.looked_for {
            let found = match &self.used {
                Some(used) if used == path => "used",
                _ if path.exists() => "there, but another is used",
                _ => "not there",
            };
            lines.push(format!("config  {}  ({found})", path.display()));
        }
        if self.looked_for.is_empty() {
            lines.push(format!("config  none: neither $HOME nor ${CONFIG_VARIABLE} is set"));
        }
        lines.push(format!("log     {}", self.log));
        let (mark, word) = match self.locators {
            Some(_) => (Mark::On, "running"),
            None => (Mark::Off, "not running"),
        };
        lines.push(format!("node    {} {word}", screen.paint(mark.paint(), mark.sign())));
        let locators = self.locators.iter().flatten();
        lines.extend(locators.map(|locator| format!("        {}", output::harmless(locator))));
        lines.join("\n")
    }

    fn as_json(&self) -> serde_json::Value {
        let config = self.looked_for.iter().map(|path| {
            json!({
                "path": path.to_string_lossy(),
                "there": path.exists(),
                "used": self.used.as_ref() == Some(path),
            })
        });
        json!({
            "state": self.state.to_string_lossy(),
            "state_from": self.because,
            "socket": self.socket.to_string_lossy(),
            "config": config.collect::<Vec<_>>(),
            "log": self.log,
            "running": self.locators.is_some(),
            "locators": self.locators.clone().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    #[test]
    fn places_in_words() {
        let around = Surroundings::with(&[("HOME", "/nonexistent")]);
        let settings = Settings::load(None, &Flags::new(), &around).unwrap();
        let state = StateDir::named(settings.state()).unwrap();
        let running = Some(vec!["ocapn://ada.unix?path=/x".to_owned()]);
        let text = Places::new(&state, &settings, &around, running).as_text(Screen::default());
        assert_eq!(
            text,
            "\
state   /nonexistent/.local/state/hob  (default, by $HOME)
socket  /nonexistent/.local/state/hob/sock
config  /nonexistent/.config/hob/config.toml  (not there)
log     standard error; under systemd: journalctl -u 'hob-*'
node    ● running
        ocapn://ada.unix?path=/x"
        );
        let places = Places::new(&state, &settings, &around, None);
        assert!(places.as_text(Screen::default()).ends_with("\nnode    ○ not running"));
        assert_eq!(places.as_json()["running"], false);
    }
}
