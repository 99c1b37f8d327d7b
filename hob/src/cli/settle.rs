//! What a command takes from the settings, and what its line says about them.

use std::sync::Arc;

use clap::ArgMatches;

use super::fleet::{Forward, GetBinding, Offer};
use super::{Command, ConfigCommand, NodeChoice, StateCommand};
use crate::config::{Flags, KEYS, LIMIT, Settings};

impl Command {
    /// The place for the settings of each command that has any.
    pub(crate) fn settle(&mut self, settings: &Arc<Settings>) {
        match self {
            Self::Node(serve) => serve.settle(settings),
            Self::Boss(options) => options.serve.settle(settings),
            Self::Join(join) => {
                join.serve.settle(settings);
                join.services = join.services.take().or_else(|| settings.services());
            }
            Self::Shepherd(options) => options.serve.settle(settings),
            Self::Export(export) => export.node.settle(settings),
            Self::Revoke(revoke) => revoke.node.settle(settings),
            Self::State(command) => command.node().settle(settings),
            Self::Where(options) => options.node.settle(settings),
            Self::Top(options) => options.settle(settings),
            Self::Fleet(command) => command.settle(settings),
            Self::GetBinding(GetBinding { common, .. })
            | Self::Offer(Offer { common, .. })
            | Self::Forward(Forward { common, .. })
            | Self::ListBindings { common } => common.settle(settings),
            Self::Call(_)
            | Self::Demo(_)
            | Self::Config(_)
            | Self::Units(_)
            | Self::Svc(_)
            | Self::Deploy(_)
            | Self::Completions { .. }
            | Self::Man { .. } => {}
        }
    }

    /// Whether the command looks at settings, so that they must be sound.
    pub(crate) const fn has_settings(&self) -> bool {
        !matches!(
            self,
            Self::Call(_)
                | Self::Demo(_)
                | Self::Units(_)
                | Self::Svc(_)
                | Self::Deploy(_)
                | Self::Completions { .. }
                | Self::Man { .. }
        )
    }

    /// Whether the command serves until it is told to stop.
    pub(crate) const fn serves(&self) -> bool {
        matches!(self, Self::Node(_) | Self::Boss(_) | Self::Join(_) | Self::Shepherd(_))
    }

    /// Whether the command draws all over the terminal.
    pub(crate) const fn takes_the_screen(&self) -> bool {
        matches!(self, Self::Top(options) if !options.once)
    }

    /// Whether what fails is to be said in JSON as well.
    pub(crate) const fn speaks_json(&self) -> bool {
        match self {
            Self::Config(ConfigCommand::Show { form, .. } | ConfigCommand::Check { form }) => {
                form.json
            }
            Self::Where(options) => options.form.json,
            Self::Deploy(options) => options.form.json,
            Self::Top(options) => options.form.json,
            Self::Fleet(command) => command.common().form.json,
            Self::GetBinding(GetBinding { common, .. })
            | Self::Offer(Offer { common, .. })
            | Self::Forward(Forward { common, .. })
            | Self::ListBindings { common } => common.form.json,
            // A call says it in its own way.
            _ => false,
        }
    }
}

impl StateCommand {
    const fn node(&mut self) -> &mut NodeChoice {
        match self {
            Self::Doctor { node }
            | Self::Backup { node, .. }
            | Self::Export { node, .. }
            | Self::Import { node, .. } => node,
        }
    }
}

/// What the command line sets of the settings: the words as they were given.
pub(crate) fn flags(matches: &ArgMatches) -> Flags {
    let mut leaf = matches;
    while let Some((_, inner)) = leaf.subcommand() {
        leaf = inner;
    }
    let given = |flag: &'static str| {
        let words = leaf.try_get_raw(&flag.replace('-', "_")).ok().flatten()?;
        let words = words.map(|word| word.to_string_lossy().into_owned()).collect();
        Some((flag.to_owned(), words))
    };
    let mut flags: Flags = KEYS.iter().filter_map(|key| given(key.flag?)).collect();
    // One option for all of them: the last word about each counts.
    for limit in flags.remove(LIMIT).into_iter().flatten() {
        if let Some((name, value)) = limit.split_once('=') {
            flags.insert(format!("limits.{name}"), vec![value.to_owned()]);
        }
    }
    flags
}
