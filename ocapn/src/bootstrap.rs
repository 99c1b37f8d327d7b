//! What a peer may ask for before it holds any reference: the bootstrap object.

use std::sync::Arc;

use captp::{BootstrapCall, DepositError, GiftId, Withdrawal};
use vat_runtime::{Fault, Resolver, Value};

use crate::glue::Glue;
use crate::handoff;
use crate::hub::Hub;
use crate::link::Link;

/// What `fetch` breaks with. One answer for a number that is wrong and one that is no
/// more: a guesser learns nothing.
pub(crate) const NO_SUCH_OBJECT: &str = "no such object";

/// Answers a message to the bootstrap object (section "Bootstrap Object" of the
/// CapTP draft) that came by `link`.
pub(crate) fn receive(
    hub: &Hub,
    link: &Arc<Link>,
    call: BootstrapCall<Glue>,
    resolver: Option<Resolver>,
) {
    match call {
        BootstrapCall::Fetch(swiss) => {
            // A gift of ours that its receiver can't reach has its id for a number.
            let given = || handoff::stood_in(hub, link, &GiftId::from_bytes(&swiss));
            let found = hub.lookup(&swiss).or_else(given).map(Value::Ref);
            if found.is_none() {
                link.missed(hub);
            }
            answer(resolver, found.ok_or_else(|| NO_SUCH_OBJECT.into()));
        }
        BootstrapCall::DepositGift(id, gift) => {
            let deposited =
                hub.peer(|peer| peer.deposit(link.conn(), id, gift, hub.outside().now()));
            match deposited {
                Ok(None) => answer(resolver, Ok(Value::Undefined)),
                Ok(Some((gift, waiting))) => {
                    waiting.fulfill(Value::Ref(gift));
                    answer(resolver, Ok(Value::Undefined));
                }
                // Nobody hears of a gift that is not kept: its receiver would wait for it
                // as long as the session lives.
                Err((DepositError::Limit(limit), _)) => link.fail(limit.into()),
                Err((error, _)) => answer(resolver, Err(error.to_string().into())),
            }
        }
        BootstrapCall::WithdrawGift(receive) => {
            // Whoever wants no answer still uses the gift up.
            let who = resolver.unwrap_or_else(|| vat_runtime::promise().1);
            let is_us = |exporter: &_| hub.is_us(exporter);
            let now = hub.outside().now();
            hand_over(hub.peer(|peer| peer.withdraw(link.conn(), &receive, is_us, who, now)));
        }
        BootstrapCall::Unknown(_) => {
            answer(resolver, Err("the bootstrap object has no such method".into()));
        }
    }
}

/// Tells the one who came for a gift what became of that.
pub(crate) fn hand_over(withdrawal: Withdrawal<vat_runtime::Ref, Resolver>) {
    match withdrawal {
        Withdrawal::Gift(gift, who) => who.fulfill(Value::Ref(gift)),
        Withdrawal::Waits => {}
        Withdrawal::Refused(error, who) => who.break_with(error.to_string()),
    }
}

/// The object with a swiss number.
pub(crate) fn fetch(hub: &Hub, swiss: &[u8]) -> Result<Value, Fault> {
    hub.lookup(swiss).map(Value::Ref).ok_or_else(|| NO_SUCH_OBJECT.into())
}

fn answer(resolver: Option<Resolver>, outcome: Result<Value, Fault>) {
    if let Some(resolver) = resolver {
        resolver.resolve(outcome);
    }
}
