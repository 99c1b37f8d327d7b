//! The terminal: taken, given back whatever happens, and its keys.

use std::io::{self, IsTerminal as _};

use ratatui::backend::{Backend as _, CrosstermBackend};
use ratatui::crossterm::event::{self, Event};
use ratatui::{DefaultTerminal, Terminal};
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::state::State;
use super::view::{self, Theme};

/// Whether there is a terminal to draw on, and keys.
pub(super) fn is_there() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

/// The terminal, taken. It is given back when this is dropped, and when something panics.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    theme: Theme,
}

impl Screen {
    pub(super) fn take(theme: Theme) -> io::Result<Self> {
        let terminal = ratatui::try_init().inspect_err(|_| give_back())?;
        Ok(Self { terminal, theme })
    }

    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    pub(super) fn draw(&mut self, state: &State) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(state, self.theme, frame)).map(drop)
    }

    /// Forgets what is on the terminal, so that all of it is drawn anew.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        // `Terminal::clear` asks the terminal where the cursor is, and the answer goes to
        // whoever reads the keys.
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        self.terminal.backend_mut().clear()
    }

    /// Gives the terminal back and stops this process, as Ctrl-Z does; takes it again when
    /// it goes on.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        kill_process(getpid(), Signal::TSTP)?;
        self.terminal = ratatui::try_init()?;
        self.terminal.backend_mut().clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // If the terminal is gone there is nothing to give back.
    let _gone = ratatui::try_restore();
    let _gone = ratatui::crossterm::execute!(io::stdout(), ratatui::crossterm::cursor::Show);
}

/// The keys, and changes of the size. They end when the terminal does.
pub(super) fn events() -> io::Result<UnboundedReceiver<Event>> {
    let (events, heard) = unbounded_channel();
    // Reading can't be called off: the thread ends with the process.
    std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
        while let Ok(event) = event::read() {
            if events.send(event).is_err() {
                break;
            }
        }
    })?;
    Ok(heard)
}
