//! The simulator: a seeded world of peers over the real code of the node, on which a
//! random program runs, watched by an oracle.
//!
//! - [`script`]: programs as data and text; [`generate`](generate::generate) makes one
//!   from a seed.
//! - `world`: peers, each a real [`ocapn::hub::Hub`] and a vat, and what happens next.
//!   `connections` are those between them, with their delays; `program` does the lines of
//!   a script, faults among them; `finale` checks what must hold when nothing moves.
//! - `actor`: the objects of the peers, and what the peers hold.
//! - `shadow`: the oracle. It knows what every reference means and what every promise
//!   should come to. `authority` is what it knows of who was granted what, and `names`
//!   holds that against what the peers' tables let each other name.
//! - [`explore`](explore::explore): every order of arrival, for what is small enough.
//! - [`shrink`](shrink::shrink): makes a script that fails as small as it gets.
//!
//! A run depends on its script alone: no clock, no thread, no address and no hash
//! decides anything.

mod actor;
mod authority;
mod connections;
pub mod explore;
mod finale;
pub mod generate;
mod names;
mod outside;
mod program;
mod rng;
pub mod script;
mod shadow;
pub mod shrink;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::script::Script;
pub use self::shadow::Counters;
use self::world::World;

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What went wrong first.
    pub failure: Option<String>,
    /// How often interesting things happened.
    pub counters: Counters,
    /// The same for runs in which the same happened.
    pub trace: u64,
    /// What happened, if that was asked for.
    pub log: Vec<String>,
}

/// Runs a script in a new world.
#[must_use]
pub fn run(script: &Script, log: bool) -> Report {
    let mut world = World::new(script, log);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        world.answer_calls();
        let mut checked = 0;
        let mut time = 0;
        for line in &script.lines {
            time = world.now().max(time) + line.after;
            while !world.failed() && world.next_event().is_some_and(|next| next <= time) {
                world.step();
                checked += 1;
                if checked % 64 == 0 {
                    world.check_nodes();
                    world.check_authority();
                }
            }
            if world.failed() {
                return;
            }
            world.set_time(time);
            world.say(|| format!("p{} {:?}", line.peer, line.op));
            world.perform(line);
        }
        world.finish();
    }));
    let mut report = world.report();
    if let Err(panic) = ran {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        report.failure = Some(format!("panic: {}", text.unwrap_or_default()));
        // What is half done can't be taken down in order.
        std::mem::forget(world);
    }
    report
}

/// Bytes of a message as people can read them.
fn words(bytes: &[u8]) -> String {
    let text: String = bytes
        .iter()
        .map(|&byte| if (32..127).contains(&byte) { char::from(byte) } else { '.' })
        .collect();
    if text.len() > 400 { format!("{}… ({})", &text[..400], text.len()) } else { text }
}
