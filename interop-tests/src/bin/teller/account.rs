//! An account that pays to another bank's: takes each order once, and passes it on until
//! the other has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ocapn::persist::RestoreError;
use ocapn::{Args, Behaviour, Fault, Node, Ref, Reply, Turn, Value};

/// An account, and how far it has got with each client's orders, which are numbered
/// from 1.
///
/// - `pay client number`: takes the amount off, passes it on to the other bank, and
///   answers when that has it. The same order again is passed on again.
/// - `receive client number`: adds the amount, once.
/// - `link sturdyref`: says who the other bank is.
/// - `audit`: balance, orders sent and orders received, by client.
#[derive(Clone)]
pub(crate) struct Account {
    node: Node,
    state: Arc<State>,
}

#[derive(Clone, Default)]
struct State {
    balance: i64,
    other: Option<Ref>,
    sent: BTreeMap<String, i64>,
    received: BTreeMap<String, i64>,
}

/// What the order of that number is about.
fn amount(number: i64) -> i64 {
    number % 7 + 1
}

impl Account {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, state: Arc::default() }
    }

    pub(crate) fn portray(&self) -> Value {
        let State { balance, other, sent, received } = &*self.state;
        let other = other.as_ref().map_or(Value::Null, Value::from);
        Value::List(vec![(*balance).into(), other, orders(sent), orders(received)])
    }

    pub(crate) fn restore(node: Node, portrait: Value) -> Result<Self, RestoreError> {
        let state = State::restore(portrait).ok_or_else(|| RestoreError::new("no account"))?;
        Ok(Self { node, state: Arc::new(state) })
    }

    fn changed(&self, change: impl FnOnce(&mut State)) -> Self {
        let mut next = self.clone();
        change(Arc::make_mut(&mut next.state));
        next
    }

    fn pay(&self, turn: &mut Turn<'_>, client: String, number: i64) -> Result<Reply, Fault> {
        let other = self.state.other.as_ref().ok_or("no other bank is known")?;
        let last = self.state.sent.get(&client).copied().unwrap_or(0);
        let order = vec![Value::symbol("receive"), client.as_str().into(), number.into()];
        if number == last {
            return Ok(turn.send(other, order).into());
        }
        if number != last + 1 {
            return Err(format!("order {last} of {client} comes before {number}").into());
        }
        let done = turn.send(other, order);
        let next = self.changed(|state| {
            state.balance -= amount(number);
            state.sent.insert(client, number);
        });
        Ok(Reply::become_with(next, done))
    }

    fn receive(&self, client: String, number: i64) -> Result<Reply, Fault> {
        let last = self.state.received.get(&client).copied().unwrap_or(0);
        if number <= last {
            return Ok(number.into());
        }
        if number != last + 1 {
            return Err(format!("after order {last} of {client} comes {number}").into());
        }
        let next = self.changed(|state| {
            state.balance += amount(number);
            state.received.insert(client, number);
        });
        Ok(Reply::become_with(next, number))
    }
}

impl Behaviour for Account {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let method = args.first().and_then(Value::as_symbol).ok_or("a method is wanted")?;
        match (method, &args[1..]) {
            ("pay", [Value::String(client), Value::Int(number)]) => {
                self.pay(turn, client.to_string(), *number)
            }
            ("receive", [Value::String(client), Value::Int(number)]) => {
                Self::receive(self, client.to_string(), *number)
            }
            ("link", [Value::Sturdyref(other)]) => {
                let other = self.node.enliven(other).into_ref();
                Ok(Reply::becomes(self.changed(|state| state.other = Some(other))))
            }
            ("audit", []) => {
                let State { balance, sent, received, .. } = &*self.state;
                Ok(Value::List(vec![(*balance).into(), orders(sent), orders(received)]).into())
            }
            _ => Err("an account understands pay, receive, link and audit".into()),
        }
    }
}

fn orders(orders: &BTreeMap<String, i64>) -> Value {
    Value::Struct(orders.iter().map(|(client, last)| (client.into(), (*last).into())).collect())
}

impl State {
    fn restore(portrait: Value) -> Option<Self> {
        let Value::List(fields) = portrait else { return None };
        let [Value::Int(balance), other, Value::Struct(sent), Value::Struct(received)] =
            <[Value; 4]>::try_from(fields).ok()?
        else {
            return None;
        };
        let other = match other {
            Value::Ref(other) => Some(other),
            _ => None,
        };
        Some(Self { balance, other, sent: last_of(sent)?, received: last_of(received)? })
    }
}

/// The last order of each client.
fn last_of(orders: Vec<(impl Into<String>, Value)>) -> Option<BTreeMap<String, i64>> {
    orders.into_iter().map(|(client, last)| Some((client.into(), last.as_int()?))).collect()
}
