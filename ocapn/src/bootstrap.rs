//! What a peer may ask for before it holds any reference: the bootstrap object.

use std::sync::Arc;

use captp::{BootstrapCall, Withdrawal};
use vat_runtime::{Fault, Resolver, Value};

use crate::glue::Glue;
use crate::link::Link;
use crate::shared::Shared;

/// What `fetch` breaks with. One answer for a number that is wrong and one that is no
/// more: a guesser learns nothing.
pub(crate) const NO_SUCH_OBJECT: &str = "no such object";

/// Answers a message to the bootstrap object (section "Bootstrap Object" of the
/// CapTP draft) that came by `link`.
pub(crate) fn receive(
    node: &Shared,
    link: &Arc<Link>,
    call: BootstrapCall<Glue>,
    resolver: Option<Resolver>,
) {
    match call {
        BootstrapCall::Fetch(swiss) => answer(resolver, fetch(node, &swiss)),
        BootstrapCall::DepositGift(id, gift) => {
            let Some(peer) = link.peer() else { return };
            let deposited = node.gifts().deposit(&peer.session_id, id, gift);
            match deposited {
                Ok(None) => answer(resolver, Ok(Value::Undefined)),
                Ok(Some((gift, waiting))) => {
                    waiting.fulfill(Value::Ref(gift));
                    answer(resolver, Ok(Value::Undefined));
                }
                Err((limit, _)) => answer(resolver, Err(limit.to_string().into())),
            }
        }
        BootstrapCall::WithdrawGift(receive) => {
            let Some(peer) = link.peer() else { return };
            // Whoever wants no answer still uses the gift up.
            let who = resolver.unwrap_or_else(|| vat_runtime::promise().1);
            let is_us = |exporter: &_| node.is_us(exporter);
            let withdrawal = node.gifts().withdraw(&peer.session_id, &receive, is_us, who);
            match withdrawal {
                Withdrawal::Gift(gift, who) => who.fulfill(Value::Ref(gift)),
                Withdrawal::Waits => {}
                Withdrawal::Refused(error, who) => who.break_with(error.to_string()),
            }
        }
        BootstrapCall::Unknown(_) => {
            answer(resolver, Err("the bootstrap object has no such method".into()));
        }
    }
}

/// The object with a swiss number.
pub(crate) fn fetch(node: &Shared, swiss: &[u8]) -> Result<Value, Fault> {
    node.registry.lookup(swiss).map(Value::Ref).ok_or_else(|| NO_SUCH_OBJECT.into())
}

fn answer(resolver: Option<Resolver>, outcome: Result<Value, Fault>) {
    if let Some(resolver) = resolver {
        resolver.resolve(outcome);
    }
}
