//! Third-party handoffs from the node's side: giving what another session's peer
//! has exported, and fetching what a peer gives.

use std::sync::Arc;

use captp::{ConnId, GiftId, HandoffGive, Passable, RemotePos, SessionKey, Signed};
use vat_runtime::{Args, Fault, Identity, Ref, Resolver, Value};

use crate::hub::{Hub, fetch};
use crate::link::Link;
use crate::{DialError, bootstrap, glue};

/// About what it takes to wait for a session with a gift's exporter.
const GIVE_BYTES: usize = 1024;

/// Replaces the references to third parties' objects in a message for `receiver` by
/// gifts, where a gift can reach. What stays goes by proxy: the receiver's messages
/// pass through us.
pub(crate) fn give_all(hub: &Hub, receiver: &Link, args: &mut Args) {
    for value in args {
        give_value(hub, receiver, value);
    }
}

fn give_value(hub: &Hub, receiver: &Link, value: &mut Value) {
    match value {
        Value::Ref(reference) => {
            let replacement = match reference.identity() {
                Identity::Value(settled) if !settled.is_plain_atom() => {
                    let mut settled = settled.clone();
                    give_value(hub, receiver, &mut settled);
                    Some(settled)
                }
                // A promise goes by proxy until it settles; then the object it became
                // is given.
                Identity::Remote { link, pos, promise, .. } if !promise || may_give(hub, pos) => {
                    let exporter = hub.link(ConnId(link.key()));
                    exporter.and_then(|exporter| give(hub, &exporter, receiver, reference))
                }
                _ => None,
            };
            if let Some(replacement) = replacement {
                *value = replacement;
            }
        }
        Value::List(values) | Value::Set(values) => {
            values.iter_mut().for_each(|value| give_value(hub, receiver, value));
        }
        Value::Struct(fields) => {
            fields.iter_mut().for_each(|(_, value)| give_value(hub, receiver, value));
        }
        Value::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
            give_value(hub, receiver, key);
            give_value(hub, receiver, value);
        }),
        Value::Tagged(tagged) => give_value(hub, receiver, &mut tagged.value),
        Value::Record(record) => {
            record.fields.iter_mut().for_each(|value| give_value(hub, receiver, value));
        }
        Value::Error(error) => {
            error.fields.iter_mut().for_each(|value| give_value(hub, receiver, value));
        }
        _ => {}
    }
}

/// Whether an unsettled promise at this position of its peer's may be given. An answer
/// has no name there by which it could be left.
const fn may_give(hub: &Hub, pos: RemotePos) -> bool {
    hub.settings().give_promises && matches!(pos, RemotePos::Import(_))
}

/// Leaves something of `exporter`'s with it for `receiver`. `None` if the two are one,
/// or the receiver could not find the exporter: nobody has proven the exporter's
/// location, they have no netlayer in common that we know of, or it has tried.
fn give(hub: &Hub, exporter: &Arc<Link>, receiver: &Link, reference: &Ref) -> Option<Value> {
    let (at, to) = (exporter.peer()?, receiver.peer()?);
    if exporter.key() == receiver.key()
        || !at.proof.is_good()
        || receiver.goes_by_us_to(exporter.conn())
        || at.location.same_peer(&to.location)
        || at.location.transport != to.location.transport
    {
        return None;
    }
    let id = hub.outside().entropy();
    let gift = GiftId::from_entropy(id);
    let give = exporter.give(to.peer_key, gift.clone())?;
    let now = hub.outside().now();
    drop(hub.peer(|peer| peer.gave(receiver.conn(), gift, reference.clone(), now)));
    exporter.bootstrap().send_only(vec![
        Passable::symbol("deposit-gift"),
        Passable::Bytes(bytes::Bytes::copy_from_slice(&id)),
        Passable::Ref(reference.clone()),
    ]);
    Some(give.to_passable())
}

/// Fetches what the peer of `gifter` gave us.
pub(crate) fn accept(hub: &Hub, gifter: &Arc<Link>, give: Signed<HandoffGive>, resolver: Resolver) {
    let exporter = give.record().exporter.clone();
    let key = gifter.session_key();
    if hub.is_us(&exporter) {
        let now = hub.outside().now();
        let here = hub.peer(|peer| peer.withdraw_here(&give, &key.public(), resolver, now));
        return bootstrap::hand_over(here);
    }
    let gifter = Arc::clone(gifter);
    let waits = gifter.intake().park(GIVE_BYTES);
    hub.session(&exporter, move |dialled| {
        drop(waits);
        match dialled {
            Ok(exporter) => withdraw(&exporter, give, &key, resolver),
            Err(error) => stand_in(&gifter, &give, &error, resolver),
        }
    });
}

fn withdraw(link: &Arc<Link>, give: Signed<HandoffGive>, key: &SessionKey, resolver: Resolver) {
    match link.withdraw(give, key) {
        Some(receive) => {
            let args = vec![Passable::symbol("withdraw-gift"), receive.to_passable()];
            link.bootstrap().deliver(args, Some(resolver));
        }
        None => resolver.break_with("the session with the exporter has ended"),
    }
}

/// The exporter can't be reached from here: asks the gifter to pass on what is said to
/// the gift, by the gift's id. Not every gifter knows how; then the promise breaks with
/// why the exporter could not be reached.
fn stand_in(gifter: &Arc<Link>, give: &Signed<HandoffGive>, why: &DialError, resolver: Resolver) {
    let why = why.to_string();
    let Some(id) = give.record().gift.to_bytes() else {
        return resolver.break_with(why);
    };
    tracing::info!(
        exporter = %give.record().exporter.id(), gifter = gifter.key(), why,
        "reaching a gift by way of its gifter"
    );
    let asked = gifter.bootstrap().send(fetch(&id));
    asked.when_settled(move |found| resolver.resolve(found.map_err(|_| Fault::from(why))));
}

/// What we gave the peer of `receiver`, which it can't reach. From now on it gets the
/// exporter's references by way of us: it would only try again, in vain, for each.
pub(crate) fn stood_in(hub: &Hub, receiver: &Link, gift: &GiftId) -> Option<Ref> {
    let given = hub.peer(|peer| peer.stand_in(receiver.conn(), gift))?;
    if let Some((exporter, _)) = glue::remote(&given) {
        receiver.go_by_us_to(ConnId(exporter));
        tracing::info!(receiver = receiver.key(), exporter, "standing in for a gift");
    }
    Some(given)
}
