//! Plans as text: `{}` is one line that counts, `{:#}` the whole.

use std::fmt;

use super::{Action, Plan, Step};

/// The words for actions, with their signs, in the order in which they are counted.
const WORDS: [(char, &str); 10] = [
    ('+', "create"),
    ('+', "offer"),
    ('+', "bind"),
    ('~', "state"),
    ('~', "offer"),
    ('~', "attenuate"),
    ('~', "rebind"),
    ('-', "revoke"),
    ('-', "withdraw"),
    ('-', "destroy"),
];

impl Action {
    /// What happens to what it is about, `+`, `~` or `-`, and the word for it.
    pub(crate) const fn word(&self) -> (char, &'static str) {
        match self {
            Self::CreateMachine { .. } => ('+', "create"),
            Self::SetState { .. } => ('~', "state"),
            Self::Offer { replaces: false, .. } => ('+', "offer"),
            Self::Offer { replaces: true, .. } => ('~', "offer"),
            Self::Bind { .. } => ('+', "bind"),
            Self::Attenuate { .. } => ('~', "attenuate"),
            Self::Rebind { .. } => ('~', "rebind"),
            Self::Unbind { .. } => ('-', "revoke"),
            Self::Withdraw { .. } => ('-', "withdraw"),
            Self::DestroyMachine { .. } => ('-', "destroy"),
        }
    }

    /// What it is about: a machine or a place.
    pub(crate) fn about(&self) -> String {
        match self {
            Self::CreateMachine { machine, .. }
            | Self::SetState { machine, .. }
            | Self::DestroyMachine { machine } => machine.to_string(),
            Self::Offer { place, .. } | Self::Withdraw { place } => place.to_string(),
            Self::Bind { to, .. }
            | Self::Attenuate { to, .. }
            | Self::Rebind { to, .. }
            | Self::Unbind { to, .. } => to.to_string(),
        }
    }

    /// What it is afterwards.
    fn then(&self) -> String {
        match self {
            Self::CreateMachine { provider: Some(provider), .. } => format!("by {provider}"),
            Self::Offer { offer, .. } => offer.to_string(),
            Self::Bind { from, rules, requires, .. }
            | Self::Attenuate { from, rules, requires, .. }
            | Self::Rebind { from, rules, requires, .. } => {
                let bar = if rules.is_empty() { "" } else { " | " };
                let requires = requires.as_ref().map(|service| format!(" requires {service}"));
                format!("{from}{}{bar}{rules}", requires.unwrap_or_default())
            }
            Self::Unbind { from, .. } => from.to_string(),
            Self::CreateMachine { provider: None, .. }
            | Self::SetState { .. }
            | Self::Withdraw { .. }
            | Self::DestroyMachine { .. } => String::new(),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            let abouts = self.steps.iter().map(|step| step.action.about());
            let abouts = abouts.chain(self.notes.iter().map(|note| note.about.clone()));
            let width = abouts.map(|about| about.len()).max().unwrap_or_default();
            for Step { action, why } in &self.steps {
                let (sign, word) = action.word();
                let (about, then) = (action.about(), action.then());
                let gap = if then.is_empty() { "" } else { "  " };
                writeln!(f, "{sign} {word:<9}  {about:<width$}  {then}{gap}({why})")?;
            }
            for note in &self.notes {
                let word = if note.problem { "problem" } else { "note" };
                writeln!(f, "! {word:<9}  {:<width$}  {}", note.about, note.what)?;
            }
        }
        let mut gap = "";
        for (sign, word) in WORDS {
            let count = self.steps.iter().filter(|step| step.action.word() == (sign, word)).count();
            if count > 0 {
                write!(f, "{gap}{sign}{count} {word}")?;
                gap = "  ";
            }
        }
        if self.steps.is_empty() {
            f.write_str("nothing to do")?;
        }
        Ok(())
    }
}
