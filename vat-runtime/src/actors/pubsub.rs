//! Publishing to whoever has subscribed.

use super::arguments::{Call, Portrait, whole, wrong};
use super::table::{DEFAULT_ENTRIES, Table};
use crate::{Args, Behaviour, Durable, Fault, Ref, Reply, RestoreError, Turn, Value};

/// Makes an actor that passes on what is published: `subscribe subscriber`,
/// `unsubscribe subscriber`, `publish args…` (sends the arguments to each, in the order
/// in which they subscribed, and answers with true), `subscribers`, a list.
///
/// A subscriber that fails to take three messages in a row is dropped: it is gone, or
/// as good as gone. Up to [`DEFAULT_ENTRIES`] subscribe.
pub fn pubsub(turn: &mut Turn<'_>) -> Ref {
    pubsub_with_limit(turn, DEFAULT_ENTRIES)
}

/// [`pubsub`] with another limit to the number of subscribers.
pub fn pubsub_with_limit(turn: &mut Turn<'_>, limit: usize) -> Ref {
    let roster = turn.spawn(Roster(Table::new(limit)));
    turn.spawn(Pubsub(roster))
}

/// What everybody may hold. Only it knows the roster.
pub(crate) struct Pubsub(Ref);

impl Behaviour for Pubsub {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("pubsub", args)?;
        match call.name() {
            "subscribe" => {
                let subscriber: Ref = call.only("subscriber")?;
                ask(turn, &self.0, "add", Some(subscriber.into()))
            }
            "unsubscribe" => {
                let subscriber: Ref = call.only("subscriber")?;
                ask(turn, &self.0, "remove", Some(subscriber.into()))
            }
            "subscribers" => {
                call.end()?;
                ask(turn, &self.0, "list", None)
            }
            "publish" => {
                let args = call.rest();
                let subscribers: Vec<Ref> =
                    Call::plain("pubsub", vec![turn.call(&self.0, vec![Value::symbol("list")])?])
                        .only("subscribers")?;
                for subscriber in subscribers {
                    let roster = self.0.clone();
                    let taken = turn.send(&subscriber, args.clone());
                    turn.on(taken, move |turn, outcome| {
                        let what = if outcome.is_ok() { "took" } else { "missed" };
                        let noted = ask(turn, &roster, what, Some(subscriber.into()));
                        debug_assert!(noted.is_ok(), "the roster takes note of anything");
                    });
                }
                Ok(true.into())
            }
            _ => call.otherwise(
                "subscribe subscriber, unsubscribe subscriber, publish args…, subscribers",
            ),
        }
    }
}

fn ask(
    turn: &mut Turn<'_>,
    roster: &Ref,
    method: &'static str,
    subscriber: Option<Value>,
) -> Result<Reply, Fault> {
    let args = std::iter::once(Value::symbol(method)).chain(subscriber).collect();
    turn.call(roster, args).map(Reply::value)
}

impl Durable for Pubsub {
    fn portray(&self) -> Value {
        (&self.0).into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("pubsub", portrait).map(Self)
    }
}

/// The subscribers, each with how many messages in a row it failed to take.
pub(crate) struct Roster(Table<u32>);

impl Roster {
    const PATIENCE: u32 = 3;
}

impl Behaviour for Roster {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let mut call = Call::method("roster", args)?;
        if call.name() == "list" {
            call.end()?;
            return Ok(Value::List(self.0.keys()).into());
        }
        let subscriber: Value = call.only("subscriber")?;
        let failures = self.0.get(subscriber.clone()).copied();
        let next = match (call.name(), failures) {
            ("add", None) => Some(self.0.with(subscriber, 0)?),
            ("remove", Some(_)) => self.0.without(subscriber),
            ("took", Some(1..)) => Some(self.0.with(subscriber, 0)?),
            ("missed", Some(failures)) if failures + 1 >= Self::PATIENCE => {
                self.0.without(subscriber)
            }
            ("missed", Some(failures)) => Some(self.0.with(subscriber, failures + 1)?),
            _ => None,
        };
        Ok(next.map_or_else(|| ().into(), |next| Reply::becomes(Self(next))))
    }
}

impl Durable for Roster {
    fn portray(&self) -> Value {
        Value::List(vec![(self.0.limit() as u64).into(), Value::List(self.0.keys())])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("roster", portrait)?;
        let mut table = Table::new(portrait.part("the limit")?);
        for subscriber in portrait.part::<Vec<Ref>>("the subscribers")? {
            let added = table.with(subscriber.into(), 0);
            table = added.map_err(|fault| wrong("roster", fault))?;
        }
        Ok(Self(table))
    }
}
