//! The rules under which something is given: what stands after the bar in
//! `app.db = "db.db | read-only | rate(10/s)"`. Owns [`Rules`], their text, and what
//! they mean for a reference.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ocapn::actors::{Attenuation, attenuate};
use ocapn::{Clock, FromValue, IntoValue, Mismatch, Ref, Type, Typed, Value};

/// What may be done with something that is given: all of the rules hold. None is no
/// limit. Whoever gave it can always take it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rules(Vec<Rule>);

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Only what changes nothing: which methods that are, the object's kind knows.
    ReadOnly,
    /// Only these methods.
    Methods(Vec<String>),
    /// So many uses in each period, and so many at once.
    Rate {
        /// How many.
        uses: u32,
        /// In which period, in seconds.
        seconds: u64,
    },
    /// So many uses.
    Count(u64),
    /// So long, in seconds from when it is given.
    ExpiresIn(u64),
}

/// Text that says no rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{rule:?} is no rule: {why}; there are read-only, methods(get, keys), rate(10/s), \
     count(100) and expires(30d)"
)]
pub(crate) struct BadRule {
    rule: String,
    why: &'static str,
}

impl Rules {
    /// Whether only what changes nothing is allowed.
    pub(crate) fn is_read_only(&self) -> bool {
        self.0.contains(&Rule::ReadOnly)
    }

    /// Whether all is allowed.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The other rules, for what sees to that itself.
    pub(crate) fn without_read_only(&self) -> Self {
        Self(self.0.iter().filter(|rule| **rule != Rule::ReadOnly).cloned().collect())
    }

    /// The rules, for a reference. `reads` are the methods of what changes nothing;
    /// `clock` tells the time since 1970, also after a restart.
    pub(crate) fn over(&self, target: Ref, reads: &[&str], clock: &Arc<dyn Clock>) -> Attenuation {
        self.0.iter().fold(attenuate(target), |attenuation, rule| match rule {
            Rule::ReadOnly => attenuation.methods(reads.iter().copied()),
            Rule::Methods(methods) => attenuation.methods(methods.iter().map(String::as_str)),
            Rule::Rate { uses, seconds } => {
                attenuation.rate(*uses, Duration::from_secs(*seconds), clock.clone())
            }
            Rule::Count(uses) => attenuation.count(*uses),
            Rule::ExpiresIn(seconds) => {
                let at = clock.now().saturating_add(Duration::from_secs(*seconds));
                attenuation.expires(at, clock.clone())
            }
        })
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.0.iter().enumerate() {
            let bar = if index == 0 { "" } else { " | " };
            write!(f, "{bar}{rule}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly => f.write_str("read-only"),
            Self::Methods(methods) => write!(f, "methods({})", methods.join(", ")),
            Self::Rate { uses, seconds } => write!(f, "rate({uses}/{})", Span(*seconds)),
            Self::Count(uses) => write!(f, "count({uses})"),
            Self::ExpiresIn(seconds) => write!(f, "expires({})", Span(*seconds)),
        }
    }
}

/// A time in seconds, in the largest unit that has it in whole numbers.
struct Span(u64);

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits =
            |(_, seconds): &&(&str, u64)| self.0 >= *seconds && self.0.is_multiple_of(*seconds);
        let (unit, seconds) = UNITS.iter().find(fits).unwrap_or(&("s", 1));
        match self.0 / seconds {
            1 => f.write_str(unit),
            many => write!(f, "{many}{unit}"),
        }
    }
}

/// Whole seconds from `30d`, `12h`, `5m`, `10s`, or a bare unit for one of it.
fn span(text: &str) -> Option<u64> {
    let (unit, seconds) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let count = match text.strip_suffix(unit)? {
        "" => 1,
        digits => digits.parse().ok()?,
    };
    u64::checked_mul(count, *seconds).filter(|span| *span > 0)
}

impl FromStr for Rules {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        text.split('|').map(|rule| rule.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let bad = |why| BadRule { rule: text.to_owned(), why };
        if text == "read-only" {
            return Ok(Self::ReadOnly);
        }
        let call = text.strip_suffix(')').and_then(|text| text.split_once('('));
        let (name, argument) = call.ok_or_else(|| bad("it has no such form"))?;
        let argument = argument.trim();
        match name.trim() {
            "methods" => {
                let methods: Vec<String> =
                    argument.split(',').map(|method| method.trim().to_owned()).collect();
                let good = |method: &String| {
                    !method.is_empty()
                        && !method.contains(|c: char| "()|".contains(c) || c.is_whitespace())
                };
                let all = methods.iter().all(good);
                all.then_some(Self::Methods(methods)).ok_or_else(|| bad("it names no methods"))
            }
            "rate" => {
                let rate = argument.split_once('/').and_then(|(uses, period)| {
                    let uses = uses.trim().parse().ok().filter(|uses| *uses > 0)?;
                    Some(Self::Rate { uses, seconds: span(period.trim())? })
                });
                rate.ok_or_else(|| bad("a rate is so many in a time, as in 10/s or 100/5m"))
            }
            "count" => {
                let count = argument.parse().map(Self::Count);
                count.map_err(|_| bad("a count is a number"))
            }
            "expires" => {
                let time = span(argument).map(Self::ExpiresIn);
                time.ok_or_else(|| bad("it expires after a time, as in 30d, 12h, 5m or 10s"))
            }
            _ => Err(bad("it has no such name")),
        }
    }
}

impl Typed for Rules {
    const TYPE: &'static Type = &Type::String;
}

impl IntoValue for Rules {
    fn into_value(self) -> Value {
        self.to_string().into()
    }
}

impl FromValue for Rules {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let text = String::from_value(value)?;
        text.parse().map_err(|bad: BadRule| Mismatch::new("rules", bad.to_string()))
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_they_are_read() {
        for text in [
            "",
            "read-only",
            "methods(get, keys)",
            "rate(10/s)",
            "rate(100/5m)",
            "count(0)",
            "expires(30d)",
            "expires(90s)",
            "read-only | rate(3/h) | count(7) | expires(d)",
        ] {
            assert_eq!(text.parse::<Rules>().map(|rules| rules.to_string()), Ok(text.to_owned()));
        }
        let spaced = "  read-only|rate( 10 / 1s )|methods( get ,keys )".parse::<Rules>();
        assert_eq!(spaced.unwrap().to_string(), "read-only | rate(10/s) | methods(get, keys)");
    }

    #[test]
    fn what_is_no_rule_is_said() {
        for bad in [
            "readonly",
            "|",
            "read-only |",
            "read-only()",
            "methods()",
            "methods(a b)",
            "rate(10)",
            "rate(0/s)",
            "rate(1/0s)",
            "count(-1)",
            "count()",
            "expires(soon)",
            "expires(99999999999999999999d)",
            "expires(1d",
        ] {
            let error = bad.parse::<Rules>().unwrap_err().to_string();
            assert!(
                error.contains("is no rule") && error.contains("expires(30d)"),
                "{bad}: {error}"
            );
        }
    }
}
