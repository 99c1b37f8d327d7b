//! Somebody at the shepherd's socket who speaks the protocol by hand, and says what no
//! client of ours would.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use bytes::BytesMut;
use captp::{
    Dialect, Established, Event, Identity, ImportPos, Passable, RemotePos, Runtime, Session,
    SessionConfig, SessionKey,
};
use ocapn::PeerLocator;
use ocapn::netlayers::unix;

pub(crate) type Said = Passable<ImportPos>;

/// The bootstrap object.
pub(crate) const BOOTSTRAP: ImportPos = ImportPos(0);

/// A runtime with no objects of its own.
pub(crate) struct Bare;

impl Runtime for Bare {
    type Ref = ImportPos;
    type Weak = ImportPos;
    type Resolver = usize;

    fn import_object(&mut self, pos: ImportPos, _generation: u32) -> ImportPos {
        pos
    }

    fn import_promise(&mut self, pos: ImportPos, _generation: u32) -> ImportPos {
        pos
    }

    fn promise(&mut self) -> (ImportPos, usize) {
        (ImportPos(u64::MAX), usize::MAX)
    }

    fn downgrade(&mut self, thing: &ImportPos) -> ImportPos {
        *thing
    }

    fn upgrade(&mut self, thing: &ImportPos) -> Option<ImportPos> {
        Some(*thing)
    }

    fn identify<'r>(&mut self, thing: &'r ImportPos) -> Identity<'r, ImportPos> {
        Identity::Remote { pos: RemotePos::Import(*thing), key: 1 + thing.0 as usize }
    }
}

/// A connection and a session on it.
pub(crate) struct Intruder {
    stream: UnixStream,
    pub(crate) session: Session<Bare>,
    pub(crate) established: Option<Established>,
    input: BytesMut,
    /// Everything that was said.
    pub(crate) sent: Vec<u8>,
    asked: usize,
    outcomes: BTreeMap<usize, Result<Said, Said>>,
}

impl Intruder {
    /// Connects and greets, with a key and a name of its own.
    pub(crate) fn new(socket: &Path, seed: u8) -> Self {
        let own = format!("/nowhere/{seed}");
        let own = PeerLocator::new("unix", unix::designator_of(&own)).with_hint("path", own);
        let mut this = Self::claiming(socket, seed, own);
        assert!(this.greet());
        this
    }

    /// Connects as one that says it is that peer, and has not been heard.
    pub(crate) fn claiming(socket: &Path, seed: u8, claim: PeerLocator) -> Self {
        let mut config = SessionConfig::new(claim, SessionKey::from_entropy([seed; 32]));
        config.dialect = Dialect::TODAY;
        let stream = UnixStream::connect(socket).unwrap();
        // Who is never answered fails, and does not hang.
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        Self {
            stream,
            session: Session::new(config),
            established: None,
            input: BytesMut::new(),
            sent: Vec::new(),
            asked: 0,
            outcomes: BTreeMap::new(),
        }
    }

    /// Whether it is greeted too.
    pub(crate) fn greet(&mut self) -> bool {
        self.exchange(|this| this.established.is_some());
        self.established.is_some()
    }

    /// Says these bytes, whatever they are. Whether anybody takes them.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> bool {
        self.sent.extend_from_slice(bytes);
        self.stream.write_all(bytes).is_ok()
    }

    /// What the other side says until it hangs up.
    pub(crate) fn last_words(mut self) -> String {
        let mut heard = Vec::new();
        // Hung up on with something unread, this fails.
        let _reset = self.stream.read_to_end(&mut heard);
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Sends what is to be sent, and hears until enough is heard or nobody speaks.
    fn exchange(&mut self, enough: impl Fn(&Self) -> bool) {
        loop {
            let mut out = VecDeque::new();
            self.session.poll_transmit(true, &mut out);
            let out: Vec<u8> = out.iter().flatten().copied().collect();
            let taken = self.say(&out);
            while let Some(event) = self.session.poll_event() {
                match event {
                    Event::Started(established) => self.established = Some(*established),
                    Event::Settled { resolver, outcome } => {
                        self.outcomes.insert(resolver, outcome);
                    }
                    _ => {}
                }
            }
            if enough(self) || !taken || self.session.is_ended() {
                return;
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => self.session.disconnected(),
                Ok(length) => {
                    self.input.extend_from_slice(&chunk[..length]);
                    self.session.receive(&mut Bare, &mut self.input);
                }
            }
        }
    }

    /// Asks something of something. Nothing is sent yet.
    pub(crate) fn ask(&mut self, to: ImportPos, args: &[Said]) -> usize {
        self.asked += 1;
        let sent = self.session.deliver(&mut Bare, RemotePos::Import(to), args, Some(self.asked));
        assert!(sent.is_ok());
        self.asked
    }

    /// What came of it.
    pub(crate) fn outcome(&mut self, asked: usize) -> Result<Said, Said> {
        self.answer(asked).expect("an answer")
    }

    /// The same, if there is an answer before it is hung up on.
    pub(crate) fn answer(&mut self, asked: usize) -> Option<Result<Said, Said>> {
        self.exchange(|this| this.outcomes.contains_key(&asked));
        self.outcomes.remove(&asked)
    }

    /// Sends what is to be sent, and hears until it is hung up on.
    pub(crate) fn until_hung_up(mut self) {
        self.exchange(|_| false);
    }

    pub(crate) fn fetch(&mut self, swiss: &[u8]) -> Result<ImportPos, Said> {
        let asked = self.ask(BOOTSTRAP, &[Said::symbol("fetch"), blob(swiss)]);
        self.outcome(asked).map(|found| *found.as_ref().expect("a reference"))
    }

    /// Calls a method of something with strings.
    pub(crate) fn call(
        &mut self,
        to: ImportPos,
        method: &'static str,
        args: &[&str],
    ) -> Result<Said, Said> {
        let args: Vec<_> = args.iter().map(|text| Said::string(*text)).collect();
        let args: Vec<_> = std::iter::once(Said::symbol(method)).chain(args).collect();
        let asked = self.ask(to, &args);
        self.outcome(asked)
    }
}

pub(crate) fn blob(bytes: &[u8]) -> Said {
    Said::Bytes(bytes::Bytes::copy_from_slice(bytes))
}

/// Whether something refers to an object anywhere in it.
pub(crate) fn has_reference(value: &Said) -> bool {
    match value {
        Said::Ref(_) => true,
        Said::List(items) => items.iter().any(has_reference),
        Said::Struct(fields) => fields.iter().any(|(_, value)| has_reference(value)),
        Said::Tagged(tagged) => has_reference(&tagged.value),
        _ => false,
    }
}
