//! What limits the use of a reference, one rule each. Owns [`Rule`].

use std::time::Duration;

use smol_str::SmolStr;

use super::Refusal;
use crate::actors::arguments::{Portrait, wrong};
use crate::actors::facet::check_method;
use crate::{Args, Fault, RestoreError, Symbol, Value};

/// One limit, and what is left of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    /// Only those methods.
    Methods(Vec<SmolStr>),
    /// So many uses.
    Count { left: u64, of: u64 },
    /// So many uses at once, and so many again in each period.
    Rate {
        burst: u32,
        per: Duration,
        /// When the uses so far would be over if they had come evenly.
        spent_until: Duration,
    },
    /// Until then.
    Expiry(Duration),
}

impl Rule {
    /// What is left of the rule after this use.
    pub(super) fn used(&self, args: &Args, now: Duration) -> Result<Self, Fault> {
        match self {
            Self::Methods(methods) => match check_method(methods, args) {
                Ok(()) => Ok(self.clone()),
                Err(fault) => Err(Refusal::Method.fault(&fault.to_string())),
            },
            Self::Count { left, of } => match left.checked_sub(1) {
                Some(left) => Ok(Self::Count { left, of: *of }),
                None => Err(Refusal::UsedUp.fault(&format!("all {of} uses are used up"))),
            },
            Self::Rate { burst, per, spent_until } => {
                let each = *per / (*burst).max(1);
                let ahead = per.saturating_sub(each);
                let wait = spent_until.saturating_sub(now.saturating_add(ahead));
                if *burst == 0 || !wait.is_zero() {
                    let text = format!(
                        "used too often: no more than {burst} times in {per:?}; again in {wait:?}"
                    );
                    return Err(Refusal::TooOften.fault(&text));
                }
                let spent_until = (*spent_until).max(now).saturating_add(each);
                Ok(Self::Rate { burst: *burst, per: *per, spent_until })
            }
            Self::Expiry(at) if now >= *at => Err(Refusal::Expired.fault("this has expired")),
            Self::Expiry(_) => Ok(self.clone()),
        }
    }

    /// Whether a use changes it.
    pub(super) const fn counts(&self) -> bool {
        matches!(self, Self::Count { .. } | Self::Rate { .. })
    }

    /// The rule, for whoever may inspect it.
    pub(super) fn describe(&self, now: Duration) -> Value {
        let fields = match self {
            Self::Methods(methods) => {
                let methods = methods.iter().cloned().map(Value::Symbol).collect();
                vec![("rule", Value::symbol("methods")), ("methods", Value::List(methods))]
            }
            Self::Count { left, of } => vec![
                ("rule", Value::symbol("count")),
                ("left", (*left).into()),
                ("of", (*of).into()),
            ],
            Self::Rate { burst, per, .. } => vec![
                ("rule", Value::symbol("rate")),
                ("burst", (*burst).into()),
                ("seconds", per.as_secs_f64().into()),
            ],
            Self::Expiry(at) => vec![
                ("rule", Value::symbol("expiry")),
                ("at", at.as_secs_f64().into()),
                ("left", at.saturating_sub(now).as_secs_f64().into()),
            ],
        };
        Value::Struct(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    pub(super) fn portray(&self) -> Value {
        Value::List(match self {
            Self::Methods(methods) => {
                let methods = methods.iter().cloned().map(Value::Symbol);
                std::iter::once(Value::symbol("methods")).chain(methods).collect()
            }
            Self::Count { left, of } => {
                vec![Value::symbol("count"), (*left).into(), (*of).into()]
            }
            Self::Rate { burst, per, spent_until } => {
                vec![Value::symbol("rate"), (*burst).into(), nanos(*per), nanos(*spent_until)]
            }
            Self::Expiry(at) => vec![Value::symbol("expiry"), nanos(*at)],
        })
    }

    pub(super) fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let mut portrait = Portrait::new("rule", portrait)?;
        let name: Symbol = portrait.part("the rule")?;
        Ok(match name.as_str() {
            "methods" => {
                let methods = portrait.rest::<Symbol>().map(|method| Ok(method?.0));
                Self::Methods(methods.collect::<Result<_, RestoreError>>()?)
            }
            "count" => Self::Count { left: portrait.part("left")?, of: portrait.part("of")? },
            "rate" => Self::Rate {
                burst: portrait.part("the burst")?,
                per: Duration::from_nanos(portrait.part("the period")?),
                spent_until: Duration::from_nanos(portrait.part("spent until")?),
            },
            "expiry" => Self::Expiry(Duration::from_nanos(portrait.part("the expiry")?)),
            other => return Err(wrong("rule", format_args!("there is no rule {other}"))),
        })
    }
}

fn nanos(duration: Duration) -> Value {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).into()
}
