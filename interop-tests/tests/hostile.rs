//! Peers that break the rules. Their session ends, with a reason; every other one
//! on that node goes on, and nothing panics.

mod support;

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use interop_tests::objects::WellKnown;
use interop_tests::scripted::{Greeting, Halt, Scripted, Target, Term};
use ocapn::netlayers::{Netlayer as _, TcpOptions, TcpTestingOnly};
use ocapn::{Limits, Node, NodeBuilder};
use support::{PATIENCE, Served, tcp_testing_only};

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics from here on, also those that a task would keep to itself.
fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            report(info);
        }));
    });
}

/// A node, and somebody with a session that should not suffer.
struct Scene {
    served: Served,
    bystander: Scripted,
    echo: Target,
}

impl Scene {
    async fn new() -> Self {
        Self::with(Node::builder()).await
    }

    async fn with(builder: NodeBuilder) -> Self {
        count_panics();
        let served = Served::with(builder, &tcp_testing_only()).await;
        let mut bystander = connect(&served).await;
        bystander.greet().await.unwrap();
        let echo = bystander.fetch(WellKnown::Echo.swiss()).await.unwrap();
        Self { served, bystander, echo }
    }

    /// A connection of somebody's who has not greeted.
    async fn stranger(&self) -> Scripted {
        connect(&self.served).await
    }

    /// A session of somebody's.
    async fn guest(&self) -> Scripted {
        let mut guest = self.stranger().await;
        guest.greet().await.unwrap();
        guest
    }

    /// The bystander is still answered, and is the only one left.
    async fn goes_on(mut self) {
        let sent = [Term::text("still there?")];
        let settled = self.bystander.call(self.echo, sent.clone()).await.unwrap();
        assert_eq!(settled, Ok(Term::list(sent)));
        while self.served.node.sessions().len() > 1 {
            tokio::task::yield_now().await;
        }
        drop(self.bystander);
        self.served.node.shutdown().await;
        assert_eq!(PANICS.load(Ordering::SeqCst), 0);
    }
}

async fn connect(served: &Served) -> Scripted {
    let netlayer = TcpTestingOnly::bind("127.0.0.1:0", TcpOptions::default()).await;
    let netlayer = netlayer.unwrap();
    let channel = netlayer.connect(&served.location()).await.unwrap();
    Scripted::over(channel, netlayer.location(), PATIENCE)
}

/// What op:abort says to somebody who sends that before greeting.
async fn refused(said: &[u8]) -> String {
    let scene = Scene::new().await;
    let mut stranger = scene.stranger().await;
    stranger.say_bytes(said).await.unwrap();
    let reason = stranger.aborted().await.unwrap();
    scene.goes_on().await;
    reason
}

/// What op:abort says to a guest who sends that.
async fn aborted(said: &[u8]) -> String {
    aborted_within(Limits::default(), said).await
}

async fn aborted_within(limits: Limits, said: &[u8]) -> String {
    let scene = Scene::with(Node::builder().limits(limits)).await;
    let mut guest = scene.guest().await;
    guest.say_bytes(said).await.unwrap();
    let reason = guest.aborted().await.unwrap();
    // The node hangs up as well.
    guest.hang_up().await.unwrap();
    guest.ended().await.unwrap();
    scene.goes_on().await;
    reason
}

/// What op:abort says to a greeting that is false in some way.
async fn misgreeted(change: impl FnOnce(&mut Greeting)) -> String {
    let scene = Scene::new().await;
    let mut stranger = scene.stranger().await;
    let mut greeting = stranger.greeting();
    change(&mut greeting);
    stranger.say(&greeting.term()).await.unwrap();
    let reason = stranger.aborted().await.unwrap();
    scene.goes_on().await;
    reason
}

#[tokio::test]
async fn garbage() {
    for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00", b"]", b"3\"\xff\xff\xff"]
    {
        let reason = refused(said).await;
        assert!(reason.starts_with("malformed Syrup: "), "{said:?}: {reason}");
        let reason = aborted(said).await;
        assert!(reason.starts_with("malformed Syrup: "), "{said:?}: {reason}");
    }
}

#[tokio::test]
async fn syrup_that_is_no_operation() {
    assert_eq!(refused(b"5:hello").await, "at byte 0: expected an operation");
    assert_eq!(aborted(b"[]").await, "at byte 0: expected an operation");
    assert_eq!(aborted(b"<8'op:dance>").await, "unknown operation");
}

#[tokio::test]
async fn half_a_message_and_no_more() {
    let scene = Scene::new().await;
    let mut guest = scene.guest().await;
    guest.say_bytes(b"<10'op:deliver<11'desc:ex").await.unwrap();
    guest.hang_up().await.unwrap();
    assert!(matches!(guest.aborted().await, Err(Halt::Closed)));
    scene.goes_on().await;
}

#[tokio::test]
async fn a_message_too_deep() {
    let mut limits = Limits::default();
    limits.message_depth = 16;
    let said = [b"<10'op:deliver<11'desc:export0+>".as_slice(), &[b'['; 40]].concat();
    assert_eq!(aborted_within(limits, &said).await, "limit exceeded: message_depth (16)");
}

#[tokio::test]
async fn a_message_too_large() {
    let mut limits = Limits::default();
    limits.message_size = 4096;
    // By what it says it holds, before it has been sent.
    let reason = aborted_within(limits, b"<10'op:deliver<11'desc:export0+>[1000000:").await;
    assert_eq!(reason, "limit exceeded: message_size (4096)");
    // By what it has sent, piece by piece.
    let said = [b"<10'op:deliver<11'desc:export0+>[".as_slice(), &b"1+".repeat(4096)].concat();
    assert_eq!(aborted_within(limits, &said).await, "limit exceeded: message_size (4096)");
}

#[tokio::test]
async fn an_integer_too_long() {
    let mut limits = Limits::default();
    limits.int_digits = 50;
    let said = [b"<10'op:deliver<11'desc:export0+>[".as_slice(), &[b'7'; 60], b"+]ff>"].concat();
    assert_eq!(aborted_within(limits, &said).await, "limit exceeded: int_digits (50)");
}

#[tokio::test]
async fn more_of_ours_than_the_node_will_hold() {
    let mut limits = Limits::default();
    limits.imports = 3;
    let echo = Term::descriptor("desc:export", 0);
    let objects: Vec<_> = (1..=4).map(|pos| Term::descriptor("desc:import-object", pos)).collect();
    let (no, args) = (Term::Bool(false), Term::List(objects));
    let said = Term::record("op:deliver", [echo, args, no.clone(), no]).encode();
    assert_eq!(aborted_within(limits, &said).await, "limit exceeded: imports (3)");
}

#[tokio::test]
async fn more_answers_than_the_node_will_hold() {
    let mut limits = Limits::default();
    limits.answers = 3;
    let ask = |answer| format!("<10'op:deliver<11'desc:export0+>[5'fetch1:x]{answer}+f>");
    let said: String = (0..4).map(ask).collect();
    assert_eq!(aborted_within(limits, said.as_bytes()).await, "limit exceeded: answers (3)");
}

#[tokio::test]
async fn another_version() {
    let reason = misgreeted(|greeting| "goblins-0.16".clone_into(&mut greeting.version)).await;
    assert_eq!(reason, "CapTP version is incompatible: \"goblins-0.16\"");
}

#[tokio::test]
async fn a_location_not_signed_for() {
    let nothing = |greeting: &mut Greeting| greeting.signed = Term::text("nothing of the kind");
    assert_eq!(misgreeted(nothing).await, "location signature does not verify");
}

#[tokio::test]
async fn a_location_of_another_shape() {
    let reason = misgreeted(|greeting| greeting.location = Term::text("here")).await;
    assert!(reason.ends_with("expected an ocapn-peer"), "{reason}");
}

#[tokio::test]
async fn a_message_before_the_greeting() {
    let reason = refused(b"<10'op:deliver<11'desc:export0+>[]ff>").await;
    assert_eq!(reason, "expected op:start-session first");
}

#[tokio::test]
async fn a_second_greeting() {
    let scene = Scene::new().await;
    let mut guest = scene.guest().await;
    let again = guest.greeting().term();
    guest.say(&again).await.unwrap();
    assert_eq!(guest.aborted().await.unwrap(), "op:start-session repeated");
    scene.goes_on().await;
}

#[tokio::test]
async fn silence() {
    let builder = Node::builder().handshake_timeout(Duration::from_millis(50));
    let scene = Scene::with(builder).await;
    let mut stranger = scene.stranger().await;
    assert_eq!(stranger.aborted().await.unwrap(), "no op:start-session in time");
    // Half a greeting is silence too.
    let mut stranger = scene.stranger().await;
    let greeting = stranger.greeting().term().encode();
    stranger.say_bytes(&greeting[..50]).await.unwrap();
    assert_eq!(stranger.aborted().await.unwrap(), "no op:start-session in time");
    scene.goes_on().await;
}

#[tokio::test]
async fn what_is_not_there() {
    let cases = [
        ("<10'op:deliver<11'desc:export99+>[]ff>", "no export 99"),
        ("<10'op:deliver<11'desc:export0+>[<11'desc:export99+>]ff>", "no export 99"),
        ("<10'op:deliver<11'desc:answer99+>[]ff>", "no answer 99"),
        ("<9'op:listen<11'desc:export99+><18'desc:import-object1+>f>", "no export 99"),
        ("<13'op:gc-exports[99+][1+]>", "no export 99"),
        ("<13'op:gc-answers[99+]>", "no answer 99"),
        (
            "<10'op:deliver<11'desc:export9223372036854775807+>[]ff>",
            "no export 9223372036854775807",
        ),
    ];
    for (said, reason) in cases {
        assert_eq!(aborted(said.as_bytes()).await, reason, "{said}");
    }
}

#[tokio::test]
async fn what_is_malformed() {
    let cases = [
        ("<13'op:gc-exports[1+2+][1+]>", "op:gc-exports with lists of different lengths"),
        ("<10'op:deliver<11'desc:export0+>[]ff1+>", "expected the end of a record"),
        ("<10'op:deliver<11'desc:export0+>[]f>", "expected a resolver or false"),
        ("<10'op:deliver<11'desc:export1->[]ff>", "expected a position"),
        ("<10'op:deliver<11'desc:export9223372036854775808+>[]ff>", "expected a position"),
        ("<10'op:deliver0+[]ff>", "expected a target"),
        ("<10'op:deliver<11'desc:export0+>5'fetchff>", "expected a list of arguments"),
    ];
    for (said, reason) in cases {
        let found = aborted(said.as_bytes()).await;
        assert!(found.ends_with(reason), "{said}: {found}");
    }
}

#[tokio::test]
async fn more_released_than_was_sent() {
    let scene = Scene::new().await;
    let mut guest = scene.guest().await;
    let Target::Export(echo) = guest.fetch(WellKnown::Echo.swiss()).await.unwrap() else {
        panic!("an export")
    };
    let lists = [Term::list([Term::int(echo)]), Term::list([Term::int(5)])];
    guest.say(&Term::record("op:gc-exports", lists)).await.unwrap();
    let reason = format!("export {echo} released 5 times, sent 1 times");
    assert_eq!(guest.aborted().await.unwrap(), reason);
    scene.goes_on().await;
}

#[tokio::test]
async fn an_answer_position_twice() {
    let ask = b"<10'op:deliver<11'desc:export0+>[5'fetch1:x]0+f>";
    assert_eq!(aborted(&ask.repeat(2)).await, "answer 0 is still in use");
}

#[tokio::test]
async fn what_came_before_the_fault_is_acted_on() {
    let scene = Scene::new().await;
    let mut guest = scene.guest().await;
    let mailbox = guest.fetch(WellKnown::Mailbox.swiss()).await.unwrap();
    guest.tell(mailbox, [Term::text("last words")]).await.unwrap();
    guest.say_bytes(b"<8'op:dance>").await.unwrap();
    assert_eq!(guest.aborted().await.unwrap(), "unknown operation");
    let mut other = scene.guest().await;
    let mailbox = other.fetch(WellKnown::Mailbox.swiss()).await.unwrap();
    let kept = other.call(mailbox, []).await.unwrap();
    assert_eq!(kept, Ok(Term::list([Term::list([Term::text("last words")])])));
    other.say(&Term::record("op:abort", [Term::text("done")])).await.unwrap();
    scene.goes_on().await;
}
