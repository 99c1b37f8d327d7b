//! The guestbook: a program as it might run on a machine, that finds its database by
//! the name it has in the machine's bindings.

use ocapn::{Args, Behaviour, Fault, Ref, Reply, Turn, Value};

use super::LOG;
use crate::kinds::{Call, unknown};
use crate::notation::print;

const ENTRY: &str = "last-entry";

/// `sign text`: writes the text to what is bound as `db` and answers with what it then
/// reads from there.
#[derive(Clone, ocapn::Durable)]
pub(crate) struct Guestbook {
    /// The machine's hob-client presence, near.
    bindings: Ref,
}

impl Guestbook {
    pub(crate) const fn new(bindings: Ref) -> Self {
        Self { bindings }
    }
}

impl Behaviour for Guestbook {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let (method, mut call) = Call::method("guestbook", args)?;
        if method != "sign" {
            return Err(unknown("guestbook", &method, "sign text"));
        }
        let text: String = call.required("text")?;
        call.end()?;
        let db = turn.call(&self.bindings, vec![Value::symbol("get-binding"), "db".into()])?;
        let Value::Ref(db) = db else {
            return Err("guestbook sign: what is bound as db is no object".into());
        };
        tracing::info!(target: LOG, "looked db up by its local name");
        let entry = || Value::string(ENTRY);
        let wrote = turn.send(&db, vec![Value::symbol("set"), entry(), text.as_str().into()]);
        tracing::info!(target: LOG, "wrote to db: {ENTRY} = {text:?}");
        let read = turn.send(&db, vec![Value::symbol("get"), entry()]);
        let answer = turn.on_promise(wrote, move |turn, wrote| {
            wrote?;
            let shown = turn.on_promise(read, |_turn, read| {
                let read = read?;
                tracing::info!(target: LOG, "read from db: {ENTRY} = {}", print(&read, false));
                Ok(read)
            });
            Ok(shown.into())
        });
        Ok(answer.into())
    }
}
