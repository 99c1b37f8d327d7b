//! The boundary that a capability is, tried from the same socket: nothing is to be had
//! beyond what was granted, and what is refused is written down.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use captp::{GiftId, HandoffGive, HandoffReceive, PublicId, SessionKey, Signed};
use ocapn::{PeerLocator, Sturdyref};

use crate::EMACS;
use crate::intruder::{BOOTSTRAP, Intruder, Said, blob, has_reference};
use crate::pasture::Pasture;
use crate::support::Done;

impl Pasture {
    fn socket(&self) -> PathBuf {
        self.place.path("s/sock")
    }

    fn sturdyref(&self, file: &str) -> Sturdyref {
        self.place.read(file).trim().parse().unwrap()
    }

    fn swiss(&self, file: &str) -> Vec<u8> {
        self.sturdyref(file).swiss.as_bytes().to_vec()
    }

    /// The audit log once it says that.
    #[track_caller]
    fn audit_with(&self, what: &str) -> String {
        let mut audit = String::new();
        self.until(what, |pasture| {
            audit = pasture.says("audit -n 10000");
            audit.contains(what)
        });
        audit
    }
}

/// A grant of one service beside another, its swiss number, and who runs now.
fn granted(actions: &str) -> (Pasture, Vec<u8>, i64) {
    let more = "[service.vi]\ncommand = [\"/bin/sh\", \"-c\", \"read _ <$0\", \"FIFO\"]\n\
                [service.emacs.actions.poke]\nsignal = \"CONT\"\n";
    let pasture = Pasture::new(&format!("{EMACS}\n{more}"));
    pasture.until("emacs runs", |pasture| pasture.json("emacs")["state"] == "running");
    pasture.says(&format!("grant emacs --actions {actions} -o ci.cap"));
    let (swiss, pid) = (pasture.swiss("ci.cap"), pasture.pid("emacs"));
    (pasture, swiss, pid)
}

#[test]
fn a_guess_tells_nothing() {
    let (mut pasture, swiss, _) = granted("status");
    let herd = pasture.swiss("s/herd.cap");
    pasture.end("-KILL");
    pasture.start(&[]);
    // That of a shepherd that is gone has been one; the others never were.
    let mut guesses = vec![herd.clone(), Vec::new(), vec![0], vec![0; 4096]];
    for bit in 0..swiss.len() * 8 {
        let mut near = swiss.clone();
        near[bit / 8] ^= 1 << (bit % 8);
        guesses.push(near);
    }
    for length in 1..swiss.len() {
        guesses.push(swiss[..length].to_vec());
    }
    guesses.push([&swiss[..], &[0]].concat());
    guesses.extend((0..2000_u32).map(|n| n.to_be_bytes().repeat(8)));
    let mut intruder = Intruder::new(&pasture.socket(), 1);
    let asked: Vec<usize> = guesses
        .iter()
        .map(|guess| intruder.ask(BOOTSTRAP, &[Said::symbol("fetch"), blob(guess)]))
        .collect();
    for (asked, guess) in asked.into_iter().zip(&guesses) {
        // How an error is said depends on what the session has shown of its client by then.
        match intruder.outcome(asked) {
            Err(Said::Error(error)) if error.message == "no such object" => {}
            Err(Said::String(text)) if text == "no such object" => {}
            other => panic!("{guess:?}: {other:?}"),
        }
    }
    assert!(intruder.fetch(&swiss).is_ok());
    // It is written down, and that does not grow with the guesses.
    let audit = pasture.audit_with("no such object, 2048 times");
    assert_eq!(audit.matches("no such object").count(), 12, "{audit}");
}

#[test]
fn what_was_recorded_is_of_no_use() {
    let (pasture, swiss, pid) = granted("status,restart");
    let mut honest = Intruder::new(&pasture.socket(), 1);
    let greeting = honest.sent.clone();
    let cap = honest.fetch(&swiss).unwrap();
    honest.sent.clear();
    honest.call(cap, "restart", &["emacs"]).unwrap();
    let (restart, now) = (honest.sent.clone(), pasture.pid("emacs"));
    assert_ne!(now, pid);
    // The same greeting and the same message: in a session of its own it stands for
    // nothing, also while the first goes on.
    let claim = PeerLocator::new("unix", "whoever");
    let mut replay = Intruder::claiming(&pasture.socket(), 9, claim.clone());
    assert!(replay.say(&greeting));
    replay.say(&restart);
    let words = replay.last_words();
    assert!(words.contains("op:abort") && !words.contains("fulfill"), "{words}");
    assert_eq!(pasture.pid("emacs"), now);
    // With somebody else's name, whose signature is missing, nobody is greeted.
    let position = greeting.windows(9).position(|word| word == b"/nowhere/").unwrap();
    let mut forged = greeting.clone();
    forged[position] = b'!';
    let mut forger = Intruder::claiming(&pasture.socket(), 9, claim);
    forger.say(&forged);
    let words = forger.last_words();
    assert!(words.contains("op:abort"), "{words}");
    // Who has said the name first is not driven out by all that.
    assert!(honest.call(cap, "statuses", &[]).is_ok());
    honest.call(cap, "restart", &["emacs"]).unwrap();
    assert_ne!(pasture.pid("emacs"), now);
}

/// Somebody who says that he is the honest one, with a key of his own, has nothing of his,
/// and takes nothing from him.
#[test]
fn a_name_that_is_claimed_gives_nothing() {
    let (pasture, swiss, pid) = granted("restart");
    let mut honest = Intruder::new(&pasture.socket(), 1);
    let cap = honest.fetch(&swiss).unwrap();
    let shepherd = pasture.sturdyref("ci.cap").peer;
    let name = "/nowhere/1".to_owned();
    let his = PeerLocator::new("unix", ocapn::netlayers::unix::designator_of(&name));
    for claim in [shepherd, his.with_hint("path", name)] {
        let mut impostor = Intruder::claiming(&pasture.socket(), 2, claim);
        // It may be greeted, as anybody is; or else hung up on.
        if impostor.greet() {
            let asked = impostor.ask(cap, &[Said::symbol("restart"), Said::string("emacs")]);
            assert!(!matches!(impostor.answer(asked), Some(Ok(_))));
        }
    }
    assert_eq!(pasture.pid("emacs"), pid);
    honest.call(cap, "restart", &["emacs"]).unwrap();
}

#[test]
fn a_position_that_was_not_given_leads_nowhere() {
    let (pasture, swiss, pid) = granted("restart");
    let mut honest = Intruder::new(&pasture.socket(), 1);
    honest.fetch(&swiss).unwrap();
    for target in ["desc:export", "desc:answer", "desc:import-object"] {
        for position in [1_u64, 2, 3, 7, 64, 1 << 40, u64::MAX] {
            let mut intruder = Intruder::new(&pasture.socket(), 2);
            let length = target.len();
            intruder.say(
                format!(
                    "<10'op:deliver<{length}'{target}{position}+>[7'restart5\"emacs]f\
                     <18'desc:import-object1+>>"
                )
                .as_bytes(),
            );
            let words = intruder.last_words();
            assert!(!words.contains("fulfill"), "{target}{position}: {words}");
            assert!(words.contains("op:abort"), "{target}{position}: {words}");
        }
    }
    assert_eq!(pasture.pid("emacs"), pid);
    assert!(!pasture.says("audit -n 100").contains("used"));
}

#[test]
fn a_gift_that_nobody_left_is_not_to_be_had() {
    let (pasture, swiss, _) = granted("status");
    let mut honest = Intruder::new(&pasture.socket(), 1);
    honest.fetch(&swiss).unwrap();
    let theirs = honest.established.clone().unwrap();
    let mut intruder = Intruder::new(&pasture.socket(), 2);
    let ours = intruder.established.clone().unwrap();
    let (key, forged) = (intruder.session.key(), SessionKey::from_entropy([3; 32]));
    let gifter = honest.session.key().public().id();
    for (signed_by, side) in [
        (&*key, gifter),
        (&forged, gifter),
        (&forged, PublicId([7; 32])),
        (&*key, key.public().id()),
    ] {
        let give = HandoffGive {
            receiver_key: key.public(),
            exporter: pasture.sturdyref("ci.cap").peer,
            session: theirs.session_id,
            gifter_side: side,
            gift: GiftId::from_entropy([5; 32]),
        };
        let receive = HandoffReceive {
            session: ours.session_id,
            receiver_side: key.public().id(),
            count: 0,
            give: Signed::new(give, signed_by),
        };
        let receive = Signed::new(receive, &key);
        let asked =
            intruder.ask(BOOTSTRAP, &[Said::symbol("withdraw-gift"), receive.to_passable()]);
        assert!(intruder.outcome(asked).is_err());
    }
}

#[test]
fn a_narrow_capability_is_no_way_to_a_wide_one() {
    let (pasture, swiss, pid) = granted("status,poke");
    let mut intruder = Intruder::new(&pasture.socket(), 1);
    let cap = intruder.fetch(&swiss).unwrap();
    assert!(intruder.call(cap, "poke", &["emacs"]).is_ok());
    let status = [Said::symbol("status"), Said::string("emacs"), Said::Int(5)];
    let asked = intruder.ask(cap, &status);
    assert!(!has_reference(&intruder.outcome(asked).unwrap()));
    let statuses = intruder.call(cap, "statuses", &[]).unwrap();
    assert!(!has_reference(&statuses));
    assert!(!format!("{statuses:?}").contains("vi\""), "{statuses:?}");
    let definition = "{\"command\": [\"/bin/sh\", \"-c\", \"exit\"]}";
    let tries: [(&'static str, &[&str]); 26] = [
        ("start", &["emacs"]),
        ("stop", &["emacs"]),
        ("restart", &["emacs"]),
        ("enable", &["emacs"]),
        ("disable", &["emacs"]),
        ("doc", &["emacs"]),
        ("follow", &["emacs"]),
        ("bring-up", &["vi"]),
        ("action", &["emacs", "poke"]),
        ("action", &["vi", "poke"]),
        ("describe", &["emacs"]),
        ("describe", &[]),
        ("spawn", &["evil", definition]),
        ("spawn", &["emacs", definition]),
        ("define", &["emacs"]),
        ("reload", &[]),
        ("reload", &["emacs"]),
        ("watch", &[]),
        ("events", &[]),
        ("boot", &["now"]),
        ("shut-down", &[]),
        ("grants", &[]),
        ("grant", &["emacs", "stop"]),
        ("revoke", &[]),
        ("revoke", &["1"]),
        ("serve", &[]),
    ];
    for (method, args) in tries {
        let refused = intruder.call(cap, method, args).unwrap_err();
        let Said::Error(error) = &refused else { panic!("{method}: {refused:?}") };
        assert!(error.fields.iter().any(|field| field.as_symbol() == Some("refused")), "{method}");
    }
    // What is granted is for the one service only, by whatever name it is called.
    for name in ["vi", "root", " ", "emacs ", "EMACS", "../emacs", "nothing"] {
        let refused = intruder.call(cap, "poke", &[name]).unwrap_err();
        assert!(format!("{refused:?}").contains("another service"), "{name}: {refused:?}");
    }
    // And none of these is a message at all.
    let odd: [&[Said]; 5] = [
        &[],
        &[Said::string("poke"), Said::string("emacs")],
        &[Said::symbol("poke")],
        &[Said::symbol("poke"), Said::symbol("emacs")],
        &[Said::symbol("poke"), Said::List(vec![Said::string("emacs")])],
    ];
    for args in odd {
        let asked = intruder.ask(cap, args);
        assert!(intruder.outcome(asked).is_err(), "{args:?}");
    }
    assert_eq!(pasture.pid("emacs"), pid);
    let audit = pasture.audit_with("refused id=1 method=serve");
    for (method, _) in tries {
        assert!(audit.contains(&format!("refused id=1 method={method} ")), "{method}: {audit}");
    }
    assert!(audit.matches("refused id=1").count() >= tries.len() + 7, "{audit}");
}

#[test]
fn what_is_revoked_is_gone_at_once_and_stays_so() {
    let (mut pasture, swiss, pid) = granted("restart,status");
    let mut holder = Intruder::new(&pasture.socket(), 1);
    let cap = holder.fetch(&swiss).unwrap();
    assert!(holder.call(cap, "statuses", &[]).is_ok());
    pasture.says("revoke 1");
    let refused = |holder: &mut Intruder, cap| {
        let refused = holder.call(cap, "restart", &["emacs"]).unwrap_err();
        let Said::Error(error) = refused else { panic!("{refused:?}") };
        let fields: Vec<_> = error.fields.iter().filter_map(|field| field.as_symbol()).collect();
        assert_eq!(fields, ["refused", "revoked"]);
    };
    refused(&mut holder, cap);
    // What was answered is kept, also by a shepherd that is killed at once.
    pasture.says("grant emacs --actions restart -o more.cap");
    pasture.says("revoke 2");
    pasture.end("-KILL");
    pasture.start(&[]);
    for file in ["ci.cap", "more.cap"] {
        let mut again = Intruder::new(&pasture.socket(), 1);
        let cap = again.fetch(&pasture.swiss(file)).unwrap();
        refused(&mut again, cap);
    }
    pasture.until("emacs was found again", |pasture| pasture.json("emacs")["state"] == "running");
    assert_eq!(pasture.pid("emacs"), pid);
    let audit = pasture.audit_with("refused id=2 method=restart");
    assert!(audit.contains("refused id=1 method=restart service=emacs: "), "{audit}");
    assert!(audit.contains("has been revoked"), "{audit}");
}

/// Another user is asked for by the kernel, whatever he holds and whatever the file
/// system lets him.
#[test]
fn another_user_is_hung_up_on() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::process::CommandExt as _;
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this needs root");
        return;
    }
    let (mut pasture, ..) = granted("status");
    pasture.end("-TERM");
    let set = |name: &str, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(pasture.place.path(name), mode).unwrap();
    };
    std::fs::copy(env!("CARGO_BIN_EXE_hob"), pasture.place.path("hob")).unwrap();
    set("", 0o755);
    pasture.start(&["--socket", "shared", "--users", "65533"]);
    let herd = pasture.place.read("s/herd.cap");
    // The owner's own capability, and a grant, both for sockets that everybody may open.
    let own = pasture.sturdyref("s/herd.cap").peer;
    let shared = own.hints.get("path").unwrap().to_owned();
    let state = pasture.socket().canonicalize().unwrap();
    assert_eq!(std::path::Path::new(&shared).file_name().unwrap(), "shared");
    let set = |name: &str, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(pasture.place.path(name), mode).unwrap();
    };
    set("s", 0o755);
    set("s/sock", 0o666);
    let locator = ocapn::netlayers::unix::designator_of(state.to_str().unwrap());
    let peer = PeerLocator::new("unix", locator).with_hint("path", state.to_str().unwrap());
    let by_state = Sturdyref::new(peer, pasture.sturdyref("s/herd.cap").swiss);
    let run = |user: u32, name: &str, cap: &str| {
        pasture.place.write(name, 0o600, cap);
        chown(pasture.place.path(name), Some(user), Some(user)).unwrap();
        let mut command = Command::new(pasture.place.path("hob"));
        command.current_dir(pasture.place.path("")).uid(user).gid(user).arg("svc");
        command.args(["-c", name, "stop", "emacs"]).env_remove("HOB_STATE");
        Done::from(command.stdin(Stdio::null()).output().unwrap())
    };
    let by_state = by_state.reveal_uri();
    assert_eq!(run(65534, "a.cap", &herd).code, Some(5));
    assert_eq!(run(65534, "b.cap", &by_state).code, Some(5));
    assert_eq!(run(65533, "c.cap", &by_state).code, Some(5));
    assert_eq!(pasture.json("emacs")["state"], "running");
    let audit = pasture.audit_with("refused user=65533");
    assert!(audit.contains("refused user=65534"), "{audit}");
    set("s", 0o700);
    // He who may connect, with a capability to everything, may do everything.
    assert_eq!(run(65533, "d.cap", &herd).code, Some(0));
}
