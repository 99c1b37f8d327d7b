//! What the output goes to: a terminal of some width with colours, or a pipe.

use std::io::IsTerminal as _;

use clap::ValueEnum;

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `$NO_COLOR` is set
    #[default]
    Auto,
    /// Also into a pipe or a file
    Always,
    /// Not at all
    Never,
}

impl ColorChoice {
    /// Whether to use colours on something that is, or is not, a terminal.
    pub(crate) fn applies(self, terminal: bool) -> bool {
        let unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && !unwanted(),
        }
    }
}

/// What standard output goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Whether to use colours.
    pub(crate) colour: bool,
    /// How many columns there are, if it is a terminal.
    pub(crate) width: Option<usize>,
}

impl Screen {
    /// That of this process.
    pub(crate) fn of_process(choice: ColorChoice) -> Self {
        let out = std::io::stdout();
        let terminal = out.is_terminal();
        let size = || rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        // A terminal of no width is one that does not say.
        let width = terminal.then(size).flatten().filter(|width| *width > 0);
        Self { colour: choice.applies(terminal), width }
    }

    /// A text in a colour, if there are colours.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            _ if !self.colour => return text.to_owned(),
            Paint::Plain => return text.to_owned(),
            Paint::Good => "32",
            Paint::Waiting => "33",
            Paint::Bad => "31",
            Paint::Faint => "2",
            Paint::Heading => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// What a colour is to say. Never alone: there is a word or a [`Mark`] for it as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Nothing.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Not there yet.
    Waiting,
    /// Not as it should be.
    Bad,
    /// Of little weight.
    Faint,
    /// The head of a table.
    Heading,
}

/// The sign for a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// There.
    On,
    /// Not there, or not yet.
    Off,
    /// Look at this.
    Attention,
}

impl Mark {
    /// The sign itself.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::On => "●",
            Self::Off => "○",
            Self::Attention => "!",
        }
    }

    /// The colour that goes with it.
    pub(crate) const fn paint(self) -> Paint {
        match self {
            Self::On => Paint::Good,
            Self::Off => Paint::Waiting,
            Self::Attention => Paint::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_and_never_alone() {
        assert!(ColorChoice::Always.applies(false));
        assert!(!ColorChoice::Never.applies(true));
        assert!(!ColorChoice::Auto.applies(false));
        let (plain, coloured) = (Screen::default(), Screen { colour: true, width: None });
        for (mark, sign, shown) in [
            (Mark::On, "●", "\x1b[32m●\x1b[0m"),
            (Mark::Off, "○", "\x1b[33m○\x1b[0m"),
            (Mark::Attention, "!", "\x1b[31m!\x1b[0m"),
        ] {
            assert_eq!(plain.paint(mark.paint(), mark.sign()), sign);
            assert_eq!(coloured.paint(mark.paint(), mark.sign()), shown);
        }
        assert_eq!(coloured.paint(Paint::Plain, "x"), "x");
    }
}
