//! Attenuation: a reference that gives some of what another gives. Only some methods,
//! so many times, so often, until then, and until it is revoked.

mod refusal;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

pub use self::refusal::Refusal;
use self::rules::Rule;
use super::arguments::{Call, Portrait, whole};
use super::call_or_send;
use crate::{
    Args, Behaviour, Clock, Durable, Fault, Promise, Ref, Reply, RestoreError, Turn, Value,
};

/// Begins to attenuate a reference: see [`Attenuation`].
pub const fn attenuate(target: Ref) -> Attenuation {
    Attenuation { target, rules: Vec::new(), clock: None, over: None }
}

/// How a reference is to be attenuated.
///
/// What is made is a proxy, to give away, and its controller, to keep. The proxy passes
/// on messages that all rules allow, and refuses others with a [`Refusal`]; it tells
/// nobody what it is. Proxies can be attenuated again.
///
/// The controller understands
/// - `rules`: the rules as a list of structs, and what is left of them; those of the
///   attenuation that this one is made [over](Attenuation::over) come after them;
/// - `revoke`: from then on the proxy refuses everything, and holds nothing;
/// - `revoked?`.
///
/// A use is counted also if what is behind fails: where uses are counted, the answer to
/// one that failed is a broken promise, also to a caller in the same vat. References
/// that pass are not attenuated: for that see [`Membrane`](super::Membrane).
///
/// ```
/// use vat_runtime::actors::{Cell, Refusal, attenuate};
/// use vat_runtime::{Manual, Value, Vat};
///
/// let hand = Manual::new();
/// let vat = Vat::new("demo", hand.clone());
/// let cell = vat.spawn(Cell::new(7));
/// let made = vat.run(|turn| Ok(attenuate(cell).methods(["get"]).count(1).spawn(turn)));
/// hand.run_until_idle();
/// let (proxy, controller) = made.wait()?;
/// let set = proxy.send(vec![Value::symbol("set"), 8.into()]);
/// let get = proxy.send(vec![Value::symbol("get")]);
/// let again = proxy.send(vec![Value::symbol("get")]);
/// hand.run_until_idle();
/// assert_eq!(Refusal::of(&set.wait().unwrap_err()), Some(Refusal::Method));
/// assert_eq!(get.wait(), Ok(7.into()));
/// assert_eq!(Refusal::of(&again.wait().unwrap_err()), Some(Refusal::UsedUp));
/// controller.send_only(vec![Value::symbol("revoke")]);
/// # Ok::<(), vat_runtime::Fault>(())
/// ```
#[must_use = "an attenuation is made with `spawn`"]
pub struct Attenuation {
    target: Ref,
    rules: Vec<Rule>,
    clock: Option<Arc<dyn Clock>>,
    over: Option<Ref>,
}

impl Attenuation {
    /// Only these methods: all that only read, for instance.
    pub fn methods<M: Into<SmolStr>>(self, methods: impl IntoIterator<Item = M>) -> Self {
        self.rule(Rule::Methods(methods.into_iter().map(Into::into).collect()))
    }

    /// Only so many times.
    pub fn count(self, uses: u64) -> Self {
        self.rule(Rule::Count { left: uses, of: uses })
    }

    /// Up to `burst` times at once, and as many again in each period. Time is that of
    /// the clock; if the actor is to be stored, of one that says the same after a
    /// restart, such as a [`UnixClock`](super::UnixClock).
    pub fn rate(self, burst: u32, per: Duration, clock: Arc<dyn Clock>) -> Self {
        let rule = Rule::Rate { burst, per, spent_until: Duration::ZERO };
        Self { clock: Some(clock), ..self }.rule(rule)
    }

    /// Until that time of the clock, which is to be one as for [`Attenuation::rate`]. If
    /// there are rules of both kinds, the last clock counts for both.
    pub fn expires(self, at: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }.rule(Rule::Expiry(at))
    }

    /// The target is itself attenuated, and this is its controller: its rules are
    /// told too. It must be of the same vat.
    pub fn over(self, controller: Ref) -> Self {
        Self { over: Some(controller), ..self }
    }

    fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Makes the proxy and its controller.
    pub fn spawn(self, turn: &mut Turn<'_>) -> (Ref, Ref) {
        let Self { target, rules, clock, over } = self;
        let gauge = turn.spawn(Gauge { target: Some(target), rules, clock });
        let proxy = turn.spawn(Attenuated(gauge.clone()));
        let controller = turn.spawn(Controller { gauge, over });
        (proxy, controller)
    }
}

/// The rules and what is left of them. Known to the proxy and the controller alone.
pub(crate) struct Gauge {
    /// `None` once it is revoked.
    target: Option<Ref>,
    rules: Vec<Rule>,
    clock: Option<Arc<dyn Clock>>,
}

impl Gauge {
    fn now(&self) -> Duration {
        self.clock.as_ref().map_or(Duration::ZERO, |clock| clock.now())
    }

    /// What is restored needs a clock, which is in no portrait.
    pub(crate) fn restore_with(
        portrait: Value,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("gauge", portrait)?;
        let target = portrait.part("the target")?;
        let rules = portrait.rest().map(|rule| Rule::restore(rule?));
        Ok(Self { target, rules: rules.collect::<Result<_, _>>()?, clock: Some(clock) })
    }

    pub(crate) fn portray(&self) -> Value {
        let target = self.target.as_ref().map_or(Value::Undefined, Value::from);
        Value::List(std::iter::once(target).chain(self.rules.iter().map(Rule::portray)).collect())
    }
}

impl Behaviour for Gauge {
    fn receive(&self, _turn: &mut Turn<'_>, mut args: Args) -> Result<Reply, Fault> {
        // `revoke` has no arguments; a use is a list of those that want to pass.
        let Some(Value::List(used)) = args.pop() else {
            return Ok(Reply::becomes(Self { target: None, rules: Vec::new(), clock: None }));
        };
        let target = self.target.as_ref().ok_or_else(Refusal::revoked)?;
        let now = self.now();
        let rules: Result<Vec<_>, _> =
            self.rules.iter().map(|rule| rule.used(&used, now)).collect();
        let rules = rules?;
        if rules == self.rules {
            return Ok(Value::from(target).into());
        }
        let next = Self { target: Some(target.clone()), rules, clock: self.clock.clone() };
        Ok(Reply::become_with(next, target))
    }
}

pub(crate) struct Attenuated(Ref);

impl Behaviour for Attenuated {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let counts = turn
            .behaviour_as::<Gauge>(&self.0)
            .is_some_and(|gauge| gauge.rules.iter().any(Rule::counts));
        // All that the rules look at.
        let used = args.first().filter(|first| first.as_symbol().is_some()).cloned();
        let target = turn.call(&self.0, vec![Value::List(used.into_iter().collect())])?;
        let target: Ref = Call::plain("attenuated", vec![target]).only("the target")?;
        match call_or_send(turn, &target, args) {
            // A failure here would undo the count.
            Err(fault) if counts => Ok(Promise::settled(Err(fault)).into()),
            answer => answer.map(Reply::value),
        }
    }
}

impl Durable for Attenuated {
    fn portray(&self) -> Value {
        (&self.0).into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        whole("attenuated", portrait).map(Self)
    }
}

pub(crate) struct Controller {
    gauge: Ref,
    over: Option<Ref>,
}

impl Behaviour for Controller {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let call = Call::method("controller", args)?;
        let gauge = turn.behaviour_as::<Gauge>(&self.gauge).ok_or("what this controls is gone")?;
        match call.name() {
            "rules" => {
                call.end()?;
                let now = gauge.now();
                let mut rules: Vec<_> = gauge.rules.iter().map(|rule| rule.describe(now)).collect();
                if gauge.target.is_none() {
                    rules.push(Value::Struct(vec![("rule".into(), Value::symbol("revoked"))]));
                }
                if let Some(over) = &self.over
                    && let Value::List(more) = turn.call(over, vec![Value::symbol("rules")])?
                {
                    rules.extend(more);
                }
                Ok(Value::List(rules).into())
            }
            "revoke" => {
                call.end()?;
                turn.call(&self.gauge, vec![]).map(Reply::value)
            }
            "revoked?" => {
                call.end()?;
                Ok(gauge.target.is_none().into())
            }
            _ => call.otherwise("rules, revoke, revoked?"),
        }
    }
}

impl Durable for Controller {
    fn portray(&self) -> Value {
        let over = self.over.as_ref().map_or(Value::Undefined, Value::from);
        Value::List(vec![(&self.gauge).into(), over])
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("controller", portrait)?;
        Ok(Self { gauge: portrait.part("the gauge")?, over: portrait.part("what is below")? })
    }
}
