//! Third-party handoffs from the node's side: giving what another session's peer
//! has exported, and fetching what a peer gives.

use std::sync::Arc;

use captp::{GiftId, HandoffGive, Passable, SessionKey, Signed};
use vat_runtime::{Args, Identity, Ref, Resolver, Value};

use crate::entropy;
use crate::link::Link;
use crate::shared::Shared;

/// Replaces the references to third parties' objects in a message for `receiver` by
/// gifts, where a gift can reach. What stays goes by proxy: the receiver's messages
/// pass through us.
pub(crate) fn give_all(node: &Shared, receiver: &Link, args: &mut Args) {
    for value in args {
        give_value(node, receiver, value);
    }
}

fn give_value(node: &Shared, receiver: &Link, value: &mut Value) {
    match value {
        Value::Ref(reference) => {
            let replacement = match reference.identity() {
                Identity::Value(settled) if !settled.is_plain_atom() => {
                    let mut settled = settled.clone();
                    give_value(node, receiver, &mut settled);
                    Some(settled)
                }
                // A promise goes by proxy until it settles; then the object it became
                // is given.
                Identity::Remote { link, promise: false, .. } => {
                    node.link(link.key()).and_then(|exporter| give(&exporter, receiver, reference))
                }
                _ => None,
            };
            if let Some(replacement) = replacement {
                *value = replacement;
            }
        }
        Value::List(values) | Value::Set(values) => {
            values.iter_mut().for_each(|value| give_value(node, receiver, value));
        }
        Value::Struct(fields) => {
            fields.iter_mut().for_each(|(_, value)| give_value(node, receiver, value));
        }
        Value::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
            give_value(node, receiver, key);
            give_value(node, receiver, value);
        }),
        Value::Tagged(tagged) => give_value(node, receiver, &mut tagged.value),
        Value::Record(record) => {
            record.fields.iter_mut().for_each(|value| give_value(node, receiver, value));
        }
        Value::Error(error) => {
            error.fields.iter_mut().for_each(|value| give_value(node, receiver, value));
        }
        _ => {}
    }
}

/// Leaves something of `exporter`'s with it for `receiver`. `None` if the two are one,
/// or the receiver could not find the exporter: nobody has proven the exporter's
/// location, or they have no netlayer in common that we know of.
fn give(exporter: &Arc<Link>, receiver: &Link, reference: &Ref) -> Option<Value> {
    let (at, to) = (exporter.peer()?, receiver.peer()?);
    if exporter.key() == receiver.key()
        || !at.verified
        || at.location.same_peer(&to.location)
        || at.location.transport != to.location.transport
    {
        return None;
    }
    let id = entropy::bytes();
    let give = exporter.give(to.peer_key, GiftId::from_entropy(id))?;
    exporter.bootstrap().send_only(vec![
        Passable::symbol("deposit-gift"),
        Passable::Bytes(bytes::Bytes::copy_from_slice(&id)),
        Passable::Ref(reference.clone()),
    ]);
    Some(give.to_passable())
}

/// Fetches what a peer gave us, by a session in which our key is `key`.
pub(crate) fn accept(
    node: &Arc<Shared>,
    give: Signed<HandoffGive>,
    key: Arc<SessionKey>,
    resolver: Resolver,
) {
    let exporter = give.record().exporter.clone();
    if node.is_us(&exporter) {
        resolver.break_with("a gift of our own, given to us as a third party's");
    } else if let Some(link) = node.session_with(&exporter) {
        withdraw(&link, give, &key, resolver);
    } else {
        let shared = Arc::clone(node);
        node.spawn(async move {
            match shared.session(&exporter).await {
                Ok(link) => withdraw(&link, give, &key, resolver),
                Err(error) => resolver.break_with(error.to_string()),
            }
        });
    }
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
