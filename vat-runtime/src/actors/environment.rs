//! What of the library can be stored, by the names that it is stored under. They stay.

use std::sync::Arc;

use super::attenuate::{Attenuated, Controller, Gauge};
use super::inbox::{Inbox, Side};
use super::membrane::{Gate, Revoker, Wrapper};
use super::mint::{Mint, Purse};
use super::nonce_registry::{Locator, Registry};
use super::pubsub::{Pubsub, Roster};
use super::pushdown::{Forwarder, Stack};
use super::sealers::{Brand, Check, Sealed, Sealer, Unsealer};
use super::swappable::{Proxy, Swapper};
use super::ticker::{Arrivals, Ticker, Ticky};
use super::ward::{Charm, Enchanted, Incanter, Warded, Warden};
use super::{Cell, Facet, Ghash, Kv, Queue, ReadOnlyCell, RingBuffer, Set, Vector, WriteOnlyCell};
use crate::Clock;
use crate::persist::{Environment, EnvironmentError};

/// All kinds of the library that can be stored: extend a vat's environment with it.
///
/// The clock is for what limits rates and expires; its zero must mean the same after a
/// restart, as that of a [`UnixClock`](super::UnixClock) does.
///
/// # Errors
///
/// None: the names are well formed and differ.
pub fn environment(clock: Arc<dyn Clock>) -> Result<Environment, EnvironmentError> {
    let mut kinds = Environment::new();
    kinds.kind::<Cell>("cell")?;
    kinds.kind::<ReadOnlyCell>("read-only-cell")?;
    kinds.kind::<WriteOnlyCell>("write-only-cell")?;
    kinds.kind::<Kv>("kv")?;
    kinds.kind::<Ghash>("ghash")?;
    kinds.kind::<Set>("set")?;
    kinds.kind::<Vector>("vector")?;
    kinds.kind::<Queue>("queue")?;
    kinds.kind::<RingBuffer>("ring-buffer")?;
    kinds.kind::<Inbox>("inbox")?;
    kinds.kind::<Side>("inbox-side")?;
    kinds.kind::<Pubsub>("pubsub")?;
    kinds.kind::<Roster>("pubsub-roster")?;
    kinds.kind::<Ticker>("ticker")?;
    kinds.kind::<Arrivals>("ticker-arrivals")?;
    kinds.kind::<Ticky>("ticky")?;
    kinds.kind::<Facet>("facet")?;
    kinds.kind::<Brand>("brand")?;
    kinds.kind::<Sealed>("sealed")?;
    kinds.kind::<Sealer>("sealer")?;
    kinds.kind::<Unsealer>("unsealer")?;
    kinds.kind::<Check>("seal-check")?;
    kinds.kind::<Warden>("warden")?;
    kinds.kind::<Incanter>("incanter")?;
    kinds.kind::<Charm>("charm")?;
    kinds.kind::<Warded>("warded")?;
    kinds.kind::<Enchanted>("enchanted")?;
    kinds.kind::<Proxy>("swappable")?;
    kinds.kind::<Swapper>("swapper")?;
    kinds.kind::<Stack>("pushdown-stack")?;
    kinds.kind::<Forwarder>("pushdown-forwarder")?;
    kinds.kind::<Gate>("membrane-gate")?;
    kinds.kind::<Wrapper>("membrane-proxy")?;
    kinds.kind::<Revoker>("membrane-revoker")?;
    kinds.kind::<Attenuated>("attenuated")?;
    kinds.kind::<Controller>("attenuation-controller")?;
    kinds.kind_with("attenuation-gauge", 1, Gauge::portray, move |portrait| {
        Gauge::restore_with(portrait, clock.clone())
    })?;
    kinds.kind::<Registry>("nonce-registry")?;
    kinds.kind::<Locator>("nonce-locator")?;
    kinds.kind::<Mint>("mint")?;
    kinds.kind::<Purse>("purse")?;
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};
    use std::time::Duration;

    use super::*;
    use crate::actors::{
        Membrane, attenuate, enchant, inbox, mint, nonce_registry, pubsub, pushdown, sealers,
        swappable, ticker, ward, warding_pair,
    };
    use crate::{Args, Fault, Manual, Ref, Reply, SimClock, Turn, Value, Vat};

    fn references(value: &Value, found: &mut Vec<Ref>) {
        match value {
            Value::Ref(reference) => found.push(reference.clone()),
            Value::List(items) => items.iter().for_each(|item| references(item, found)),
            Value::Struct(fields) => {
                fields.iter().for_each(|(_, value)| references(value, found));
            }
            _ => {}
        }
    }

    fn call(
        turn: &mut Turn<'_>,
        to: &Ref,
        method: &'static str,
        args: impl IntoIterator<Item = Value>,
    ) -> Result<Value, Fault> {
        turn.call(to, std::iter::once(Value::symbol(method)).chain(args).collect())
    }

    /// One of everything, each with something in it.
    fn everything(turn: &mut Turn<'_>, clock: Arc<dyn Clock>) -> Result<Vec<Ref>, Fault> {
        let cell = turn.spawn(Cell::new(1));
        let mut all = vec![
            turn.spawn(ReadOnlyCell::new(cell.clone())),
            turn.spawn(WriteOnlyCell::new(cell.clone())),
            turn.spawn(Facet::new(cell.clone(), ["get"])),
            turn.spawn(Vector::new(2, &cell)),
        ];
        for (actor, method, args) in [
            (turn.spawn(Kv::new()), "set", vec!["a".into(), (&cell).into()]),
            (turn.spawn(Ghash::new()), "set", vec![(&cell).into(), 1.into()]),
            (turn.spawn(Set::new()), "add", vec![(&cell).into()]),
            (turn.spawn(Queue::new()), "enqueue", vec![(&cell).into()]),
            (turn.spawn(RingBuffer::new(3)), "put", vec![(&cell).into()]),
            (pubsub(turn), "subscribe", vec![(&cell).into()]),
        ] {
            call(turn, &actor, method, args)?;
            all.push(actor);
        }
        let (reader, writer, stop) = inbox(turn, 4);
        turn.call(&writer, vec![(&cell).into()])?;
        let (sealer, unsealer, check) = sealers(turn, "test");
        let sealed = turn.call(&sealer, vec![(&cell).into()])?;
        let (warden, incanter) = warding_pair(turn);
        let warded = ward(turn, warden, cell.clone(), Some(cell.clone()));
        let charmed = turn.spawn(Cell::default());
        // A cell that is called with what passes a ward keeps that.
        turn.call(&incanter, vec![(&charmed).into(), 1.into()])?;
        let enchanted = enchant(turn, incanter, warded);
        let (proxy, swapper) = swappable(turn, cell.clone());
        let (stack, forwarder) = pushdown(turn, Some(cell.clone()));
        let kept = turn.spawn(Queue::new());
        let (through, revoker) = Membrane::new().around(turn, kept.clone());
        call(turn, &through, "enqueue", [(&cell).into()])?;
        let (attenuated, controller) = attenuate(cell.clone())
            .methods(["get"])
            .count(5)
            .rate(2, Duration::from_secs(1), clock.clone())
            .expires(Duration::from_secs(9), clock)
            .spawn(turn);
        call(turn, &attenuated, "get", [])?;
        let (registry, locator) = nonce_registry(turn)?;
        call(turn, &registry, "register", [(&cell).into()])?;
        let mint = mint(turn);
        let purse = call(turn, &mint, "new-purse", [5.into()])?;
        let ticker = ticker(turn);
        let held = cell.clone();
        let maker = turn.spawn(move |_: &mut Turn<'_>, _: Args| Ok(Reply::value(&held)));
        call(turn, &ticker, "to-tick", [(&maker).into()])?;
        call(turn, &ticker, "tick", [])?;
        call(turn, &ticker, "to-tick", [(&maker).into()])?;
        references(&Value::List(vec![sealed, purse]), &mut all);
        all.extend([reader, writer, stop, sealer, unsealer, check, enchanted, charmed]);
        all.extend([proxy, swapper, stack, forwarder, kept, through, revoker]);
        all.extend([attenuated, controller, registry, locator, ticker, mint]);
        Ok(all)
    }

    #[test]
    fn every_kind_is_restored_to_what_its_portrait_says() {
        let clock = SimClock::new();
        let kinds = environment(clock.clone()).unwrap();
        let hand = Manual::new();
        let vat = Vat::new("test", hand.clone());
        let stored = kinds.clone();
        let met = vat.run(move |turn| {
            let mut waiting = everything(turn, clock)?;
            let (mut seen, mut met) = (HashMap::new(), BTreeSet::new());
            while let Some(actor) = waiting.pop() {
                if seen.insert(actor.clone(), ()).is_some() {
                    continue;
                }
                let behaviour = turn.behaviour(&actor).ok_or("it is there")?;
                let portrait = stored.portray(&*behaviour);
                let portrait = portrait.ok_or_else(|| format!("no kind: {}", behaviour.name()))?;
                references(&portrait.value, &mut waiting);
                let again =
                    stored.restore(&portrait.kind, portrait.version, portrait.value.clone());
                let again = again.map_err(|error| error.to_string())?;
                assert_eq!(stored.portray(&*again).as_ref(), Some(&portrait));
                for wrong in [Value::Int(1), Value::List(vec![true.into()])] {
                    let any = ["cell"].contains(&portrait.kind.as_str());
                    let refused = stored.restore(&portrait.kind, 1, wrong).is_err();
                    assert!(any || refused, "{} takes anything", portrait.kind);
                }
                met.insert(portrait.kind.to_string());
            }
            Ok(met)
        });
        hand.run_until_idle();
        let met = met.wait().unwrap();
        assert_eq!(met, kinds.kinds().map(str::to_owned).collect());
    }
}
