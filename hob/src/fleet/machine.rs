//! What a machine of the fleet may become. Owns [`Machine`], with its [`Record`]; known to the boss, to the machine's enrolments and to its desk, and to
//! nobody else.

use std::time::Duration;

use ocapn::{Fault, Passable, Ref, Sturdyref, SwissDigest, Turn, object};

use super::audit::AuditRef;
use super::desk::{Desk, DeskRef};
use super::enrolment::{Enrolment, EnrolmentRef};
use super::hob_server::HobServerRef;
use super::record::{Binding, Failure, Offered, Token};
pub(super) use super::record::{Record, State};
use super::relay::Relay;
use super::{Fleet, Moment, random_id, short};

/// A machine of the fleet.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) fleet: Fleet,
    pub(crate) kept: Kept,
}

/// What is stored of a machine.
#[derive(Clone, Passable)]
pub(crate) struct Kept {
    pub(crate) record: Record,
    pub(crate) audit: AuditRef,
    /// Its hob-server presence, which is told when it is to be something else.
    server: Option<HobServerRef>,
}

impl Machine {
    pub(crate) fn new(fleet: Fleet, audit: AuditRef, record: Record) -> Self {
        Self { fleet, kept: Kept { record, audit, server: None } }
    }

    fn audit(&self, turn: &mut Turn<'_>, event: &str, text: String) -> Result<(), Fault> {
        let name = self.kept.record.name.clone();
        self.kept.audit.call(turn).record(event, Some(name), text)
    }

    /// Has the presence and the process's tasks look at what has become of the machine.
    fn changed(&self, turn: &mut Turn<'_>) {
        if let Some(server) = &self.kept.server {
            // When this turn is over: it asks for what this turn decides.
            server.send_only(turn).refresh();
        }
        self.fleet.wake_after(turn);
    }

    /// An enrolment: its sturdyref, for one registration, for a time.
    fn mint_token(
        &mut self,
        turn: &mut Turn<'_>,
        ttl: Duration,
    ) -> Result<(String, Sturdyref), Fault> {
        let now = Moment::now();
        let expires = now.after(ttl);
        let id = random_id()?;
        let enrolment = Enrolment::new(self.fleet.clone(), &turn.me(), &id, &self.kept);
        let enrolment = EnrolmentRef::spawn(turn, enrolment);
        let sturdyref = self.fleet.mint_until(enrolment.into(), expires)?;
        let digest = SwissDigest::of(sturdyref.swiss.as_bytes());
        let token = Token {
            expires: expires.millis(),
            made: now.millis(),
            used_by: None,
            digest: digest.as_bytes().to_vec().into(),
        };
        self.kept.record.tokens.retain(|_, token| token.expires + KEEP_TOKENS > now.millis());
        self.kept.record.tokens.insert(id.clone(), token);
        self.audit(turn, "enrolment", format!("minted enrolment {id}, good for {ttl:?}"))?;
        Ok((id, sturdyref))
    }

    /// Makes what the machine had before worth nothing.
    fn cut_off(&mut self) {
        if let Some(sturdyref) = self.kept.record.desk_sturdyref.take() {
            self.fleet.node.revoke(&sturdyref.swiss);
        }
        self.kept.record.desk = None;
        self.kept.record.client = None;
    }

    fn revoke_tokens(&self, which: impl Fn(&str, &Token) -> bool) {
        for (id, token) in &self.kept.record.tokens {
            if which(id, token)
                && let Ok(digest) = <[u8; 32]>::try_from(&*token.digest)
            {
                self.fleet.node.revoke_digest(&SwissDigest::from_bytes(digest));
            }
        }
    }
}

/// How long expired enrolments stay in the list, in milliseconds.
const KEEP_TOKENS: u64 = 24 * 3_600_000;

/// The longest wait before a provider is asked again.
const PATIENCE: Duration = Duration::from_secs(120);

#[object(reference = pub(crate) MachineRef, describe = false)]
impl Machine {
    /// Its hob-server presence.
    #[method]
    fn set_server(&mut self, server: HobServerRef) {
        self.kept.server = Some(server);
    }

    /// What stands for the machine's services with those who reach its boss alone.
    #[method]
    fn relay(&self, server: HobServerRef) -> Ref {
        Relay::to_services(server, &self.fleet.live)
    }

    /// All that is known.
    #[method]
    fn record(&self) -> Record {
        self.kept.record.clone()
    }

    /// A new enrolment, and its id.
    #[method]
    fn token(
        &mut self,
        turn: &mut Turn<'_>,
        ttl: Duration64,
    ) -> Result<(String, Sturdyref), Fault> {
        self.mint_token(turn, ttl.into())
    }

    /// Takes an enrolment back.
    #[method]
    fn revoke_token(&mut self, turn: &mut Turn<'_>, id: String) -> Result<bool, Fault> {
        self.revoke_tokens(|token, _| token == id);
        let Some(token) = self.kept.record.tokens.remove(&id) else { return Ok(false) };
        let used = if token.used_by.is_some() { "; whoever used it stays registered" } else { "" };
        self.audit(turn, "token-revoked", format!("enrolment {id} revoked{used}"))?;
        Ok(true)
    }

    /// The order for its provider, with an enrolment that has time enough left.
    #[method]
    fn order(&mut self, turn: &mut Turn<'_>, ttl: Duration64) -> Result<Record, Fault> {
        let now = Moment::now().millis();
        let fresh = self.kept.record.tokens.values().any(|token| token.expires > now + 60_000);
        if self.kept.record.enrolment.is_none() || !fresh {
            self.kept.record.enrolment = Some(self.mint_token(turn, ttl.into())?.1);
        }
        Ok(self.record())
    }

    /// A step of its creation begins.
    #[method]
    fn step(&mut self, turn: &mut Turn<'_>, step: String) -> Result<(), Fault> {
        self.audit(turn, "step", step.clone())?;
        self.kept.record.step = Some(step);
        Ok(())
    }

    /// Its provider has made it.
    #[method]
    fn allocated(
        &mut self,
        turn: &mut Turn<'_>,
        instance: String,
        address: Option<String>,
    ) -> Result<(), Fault> {
        let record = &mut self.kept.record;
        (record.allocated, record.attempts) = (true, 0);
        if record.state == State::Pending {
            (record.why, record.step) = (None, Some("waiting for register".to_owned()));
        }
        let at = address.as_ref().map_or(String::new(), |address| format!(" at {address}"));
        let text = format!("{} made {instance}{at}", record.provider);
        (record.instance, record.address) = (Some(instance), address);
        self.audit(turn, "allocated", text)
    }

    /// Its provider has started it again.
    #[method]
    fn revived(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let text = format!("it had ended: {} has started it again", self.kept.record.provider);
        self.audit(turn, "revived", text)
    }

    /// Its provider could not make or remove it.
    #[method]
    fn failed(&mut self, turn: &mut Turn<'_>, failure: Failure) -> Result<(), Fault> {
        let Failure { why, temporary, identity_mismatch } = failure;
        let record = &mut self.kept.record;
        record.identity_mismatch = identity_mismatch;
        record.attempts += 1;
        let wait = Duration::from_secs(1 << record.attempts.min(7)).min(PATIENCE);
        record.not_before = Moment::now().after(wait).millis();
        record.why = Some(why.clone());
        if !temporary && record.state == State::Pending {
            record.state = State::Failed;
            record.enrolment = None;
            self.revoke_tokens(|_, token| token.used_by.is_none());
        }
        let again = if temporary { format!("; again in {wait:?}") } else { String::new() };
        self.audit(turn, "failed", format!("{why}{again}"))
    }

    /// Somebody who has proven to be `identity` has used an enrolment. Gives the desk.
    #[method]
    fn registered(
        &mut self,
        turn: &mut Turn<'_>,
        token: String,
        identity: String,
        client: Sturdyref,
    ) -> Result<Sturdyref, Fault> {
        let record = &mut self.kept.record;
        if matches!(record.state, State::Quarantined | State::Leaving) {
            return Err(format!("{} is {}", record.name, record.state.word()).into());
        }
        let entry = record.tokens.get_mut(&token).ok_or("this enrolment has been revoked")?;
        entry.used_by = Some(identity.clone());
        let former = record.identity.replace(identity.clone());
        self.cut_off();
        let desk = DeskRef::spawn(turn, Desk::new(self.fleet.clone(), &turn.me()));
        let sturdyref = self.fleet.mint(desk.clone().into())?;
        let record = &mut self.kept.record;
        record.client = Some(self.fleet.lasting(turn, client));
        record.desk = Some(desk);
        record.desk_sturdyref = Some(sturdyref.clone());
        (record.state, record.why, record.step) = (State::Active, None, None);
        record.allocated = true;
        record.enrolment = None;
        // What it had, it may have forgotten.
        for binding in record.bindings.values_mut() {
            binding.live = false;
        }
        for offer in record.offers.values_mut() {
            offer.made = false;
        }
        let text = format!("registered with enrolment {token} as {}: active", short(&identity));
        self.audit(turn, "registered", text)?;
        if let Some(former) = former.filter(|former| *former != identity) {
            let text =
                format!("its identity was {} before, which is worth nothing now", short(&former));
            self.audit(turn, "re-keyed", text)?;
        }
        self.changed(turn);
        Ok(sturdyref)
    }

    /// Somebody has come with an enrolment that was not theirs to use.
    #[method]
    fn intruder(&mut self, turn: &mut Turn<'_>, text: String) -> Result<(), Fault> {
        self.audit(turn, "refused", text)
    }

    /// Its locator has changed: the same machine, elsewhere.
    #[method]
    fn moved(&mut self, turn: &mut Turn<'_>, client: Sturdyref) -> Result<(), Fault> {
        if self.kept.record.identity.as_deref() != Some(&client.peer.designator) {
            return Err("this is another machine's".into());
        }
        self.kept.record.client = Some(self.fleet.lasting(turn, client));
        self.kept.record.moved = true;
        self.changed(turn);
        self.audit(turn, "moved", "it is reached elsewhere now".to_owned())
    }

    /// Sets a state that was decided on by people.
    #[method]
    fn set_state(
        &mut self,
        turn: &mut Turn<'_>,
        state: State,
        why: Option<String>,
    ) -> Result<(), Fault> {
        let text = why.clone().unwrap_or_else(|| state.word().to_owned());
        let record = &mut self.kept.record;
        (record.state, record.why) = (state, why);
        (record.attempts, record.not_before, record.identity_mismatch) = (0, 0, false);
        if state != State::Active {
            self.revoke_tokens(|_, token| token.used_by.is_none());
            self.kept.record.enrolment = None;
        }
        self.audit(turn, state.word(), text)?;
        self.changed(turn);
        Ok(())
    }

    /// It is gone: nothing that it had is worth anything.
    #[method]
    fn gone(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        self.revoke_tokens(|_, _| true);
        self.cut_off();
        self.changed(turn);
        self.audit(turn, "destroyed", "removed".to_owned())
    }

    /// Wants a name bound. Gives what was bound under it before, if that is to go.
    #[method]
    fn bind(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        binding: Binding,
    ) -> Result<Option<Binding>, Fault> {
        let requires = binding.requires.as_ref();
        let requires = requires.map(|service| format!(" requires {service}")).unwrap_or_default();
        let text = format!(
            "{name} is to be {}:{}{requires}{}{}",
            binding.from,
            binding.other,
            if binding.rules.is_empty() { "" } else { " | " },
            binding.rules
        );
        self.audit(turn, "bind", text)?;
        self.kept.record.unbinds.remove(&name);
        Ok(self.kept.record.bindings.insert(name, binding))
    }

    /// Whether a binding is there now, or why not.
    #[method]
    fn bound(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        id: String,
        why: Option<String>,
    ) -> Result<(), Fault> {
        let binding = self.kept.record.bindings.get_mut(&name);
        let Some(binding) = binding.filter(|binding| binding.id == id) else { return Ok(()) };
        if binding.live == why.is_none() && binding.why == why {
            return Ok(());
        }
        (binding.live, binding.why) = (why.is_none(), why.clone());
        if why.is_none() && self.kept.record.offers.values().any(|offer| !offer.made) {
            // It may be what such an offer is made of.
            self.fleet.wake_after(turn);
        }
        match why {
            None => self.audit(turn, "bound", format!("{name} is live (grant {id})")),
            Some(why) => self.audit(turn, "bind-failed", format!("{name}: {why}")),
        }
    }

    /// Gives a name up. Gives what was bound.
    #[method]
    fn unbind(&mut self, turn: &mut Turn<'_>, name: String) -> Result<Option<Binding>, Fault> {
        let binding = self.kept.record.bindings.remove(&name);
        if let Some(binding) = &binding {
            self.kept.record.unbinds.insert(name.clone(), binding.id.clone());
            self.audit(turn, "unbind", format!("{name} is to go"))?;
        }
        Ok(binding)
    }

    /// The machine has given the name up.
    #[method]
    fn unbound(&mut self, name: String, id: String) {
        if self.kept.record.unbinds.get(&name) == Some(&id) {
            self.kept.record.unbinds.remove(&name);
        }
    }

    /// Wants a grant of this machine's taken back.
    #[method]
    fn ungrant(&mut self, turn: &mut Turn<'_>, id: String) -> Result<(), Fault> {
        self.audit(turn, "revoke", format!("grant {id} is to be taken back"))?;
        self.kept.record.ungrants.insert(id);
        Ok(())
    }

    /// The machine has taken the grant back.
    #[method]
    fn ungranted(&mut self, turn: &mut Turn<'_>, id: String) -> Result<(), Fault> {
        if self.kept.record.ungrants.remove(&id) {
            self.audit(turn, "revoked", format!("grant {id} has been taken back"))?;
        }
        Ok(())
    }

    /// Wants all that it was given to be given anew, under new ids. Gives what was.
    #[method]
    fn regrant(
        &mut self,
        from: Option<String>,
        other: Option<String>,
    ) -> Result<Vec<Binding>, Fault> {
        let mut former = Vec::new();
        for binding in self.kept.record.bindings.values_mut() {
            if from.as_ref().is_none_or(|from| *from == binding.from)
                && other.as_ref().is_none_or(|other| *other == binding.other)
            {
                former.push(binding.clone());
                binding.id = random_id()?;
                (binding.live, binding.why) = (false, None);
            }
        }
        Ok(former)
    }

    /// Those know now whom it granted something.
    #[method]
    fn settled_down(&mut self) {
        self.kept.record.moved = false;
    }

    /// It was made for the graph.
    #[method]
    fn own(&mut self) {
        self.kept.record.by_graph = true;
    }

    /// What it is to be like from now on.
    #[method]
    fn desire(&mut self, turn: &mut Turn<'_>, state: String, digest: String) -> Result<u64, Fault> {
        let record = &mut self.kept.record;
        if record.digest.as_ref() != Some(&digest) {
            (record.desired, record.digest) = (Some(state), Some(digest));
            record.generation += 1;
            let generation = record.generation;
            self.audit(turn, "desired", format!("generation {generation}"))?;
        }
        Ok(self.kept.record.generation)
    }

    /// Wants something offered.
    #[method]
    fn offer(&mut self, turn: &mut Turn<'_>, name: String, offer: String) -> Result<(), Fault> {
        self.audit(turn, "offer", format!("{name} is to be {offer}"))?;
        self.kept.record.withdrawals.remove(&name);
        self.kept.record.offers.insert(name, Offered { offer, made: false, why: None });
        Ok(())
    }

    /// Whether what is to be offered is, or why not.
    #[method]
    fn offered(
        &mut self,
        turn: &mut Turn<'_>,
        name: String,
        offer: String,
        why: Option<String>,
    ) -> Result<(), Fault> {
        let there = self.kept.record.offers.get_mut(&name);
        let Some(there) = there.filter(|there| there.offer == offer) else { return Ok(()) };
        if there.made == why.is_none() && there.why == why {
            return Ok(());
        }
        (there.made, there.why) = (why.is_none(), why.clone());
        self.fleet.wake_after(turn);
        match why {
            None => self.audit(turn, "offered", format!("{name} is there")),
            Some(why) => self.audit(turn, "offer-failed", format!("{name}: {why}")),
        }
    }

    /// Wants something offered no longer.
    #[method]
    fn withdraw(&mut self, turn: &mut Turn<'_>, name: String) -> Result<(), Fault> {
        if self.kept.record.offers.remove(&name).is_some() {
            self.audit(turn, "withdraw", format!("{name} is to go"))?;
            self.kept.record.withdrawals.insert(name);
        }
        Ok(())
    }

    /// The machine has withdrawn it.
    #[method]
    fn withdrawn(&mut self, name: String) {
        self.kept.record.withdrawals.remove(&name);
    }
}

/// A time in milliseconds, as it is passed.
#[derive(Clone, Copy, Passable)]
pub(crate) struct Duration64(u64);

impl From<Duration> for Duration64 {
    fn from(time: Duration) -> Self {
        Self(time.as_millis() as u64)
    }
}

impl From<Duration64> for Duration {
    fn from(time: Duration64) -> Self {
        Self::from_millis(time.0)
    }
}
