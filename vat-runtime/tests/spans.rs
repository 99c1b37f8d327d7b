//! Each turn is a span of `tracing` at trace level, and each message an event in the span
//! of the turn that sends it.

mod manual;

use std::sync::{Arc, Mutex};

use manual::Cell;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use vat_runtime::{Manual, Vat};

/// Writes down spans and events, indented by how deep they are.
#[derive(Clone, Default)]
struct Scribe(Arc<Mutex<(usize, Vec<String>)>>);

impl Scribe {
    fn note(&self, what: &str, fields: impl FnOnce(&mut Fields)) {
        let mut list = Fields(String::new());
        fields(&mut list);
        let mut notes = self.0.lock().unwrap();
        let indent = " ".repeat(notes.0);
        notes.1.push(format!("{indent}{what}{}", list.0));
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "turn" || field.name() == "message" {
            self.0 += &format!(" {value:?}");
        }
    }
}

impl Subscriber for Scribe {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::TRACE && metadata.target().starts_with("vat_runtime")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.note(span.metadata().name(), |fields| span.record(fields));
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        self.note("event", |fields| event.record(fields));
    }

    fn enter(&self, _span: &Id) {
        self.0.lock().unwrap().0 += 1;
    }

    fn exit(&self, _span: &Id) {
        self.0.lock().unwrap().0 -= 1;
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
}

#[test]
fn a_turn_is_a_span_and_a_message_an_event_in_it() {
    let scribe = Scribe::default();
    tracing::subscriber::with_default(scribe.clone(), || {
        let hand = Manual::new();
        let vat = Vat::new("vat", hand.clone());
        let cell = vat.spawn(Cell(1.into()));
        drop(vat.run(move |turn| {
            turn.send_only(&cell, vec![]);
            Ok(())
        }));
        hand.run_until_idle();
    });
    let notes = scribe.0.lock().unwrap();
    assert_eq!(notes.1, ["turn 2", " event message 2", "turn 3"]);
    assert_eq!(notes.0, 0);
}
