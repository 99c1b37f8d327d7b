//! What every netlayer must do, run against each of them. All that is said in it is
//! Syrup, as some netlayers send nothing else.
//!
//! To put another netlayer to it: implement [`Subject`] and add a line to the bottom.
mod subjects;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use netlayers::{AcceptError, Authentication, Channel, ConnectError, Direction, Netlayer};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use subjects::{
    LoopbackSubject, Subject, TestingOnlySubject, TlsSubject, UnixDomainSocketSubject, UnixSubject,
    WebsocketSubject, WrongDesignator,
};
async fn pair(dialler: &dyn Netlayer, listener: &dyn Netlayer) -> (Channel, Channel) {
    let to = listener.location();
    let (dialled, accepted) = tokio::join!(dialler.connect(&to), listener.accept());
    (dialled.expect("dials"), accepted.expect("accepts"))
}

async fn two<S: Subject>(subject: &S) -> (Box<dyn Netlayer>, Box<dyn Netlayer>) {
    (subject.listen().await, subject.listen().await)
}

/// A byte array with this content.
fn value(content: &[u8]) -> Vec<u8> {
    [format!("{}:", content.len()).as_bytes(), content].concat()
}

/// Byte arrays of many lengths with `length` bytes of content together, in which every
/// position is different from its neighbours and its period.
fn pattern(seed: usize, length: usize) -> Vec<u8> {
    let content: Vec<u8> =
        (0..length).map(|n| (n ^ (n / 251) ^ (n / 65_003) ^ seed).to_le_bytes()[0]).collect();
    let mut rest = content.as_slice();
    let mut values = Vec::new();
    for size in [0, 1, 40, 300, 5000, 200_000].into_iter().cycle() {
        if rest.is_empty() {
            return values;
        }
        let (chunk, later) = rest.split_at(size.min(rest.len()));
        values.extend(value(chunk));
        rest = later;
    }
    values
}

async fn a_location_is_its_own<S: Subject>(subject: S) {
    let (ada, ben) = two(&subject).await;
    for layer in [&ada, &ben] {
        let location = layer.location();
        assert_eq!(location.transport, layer.transport());
        assert_eq!(location.to_string().parse(), Ok(location.clone()));
        let canonical = layer.canonical_designator(&location.designator);
        assert_eq!(canonical, location.designator);
    }
    assert!(!ada.location().same_peer(&ben.location()));
}

async fn both_ends_are_told_what_was_proven<S: Subject>(subject: S) {
    let (ada, ben) = two(&subject).await;
    let (dialled, accepted) = pair(&*ada, &*ben).await;
    assert_eq!((dialled.direction, accepted.direction), (Direction::Dialled, Direction::Accepted));
    assert!(!dialled.peer_address.is_empty() && !accepted.peer_address.is_empty());
    let (ada, who) = (ada.location().designator, ben.guarantees().authentication);
    let ben = ben.location().designator;
    let (of_ben, of_ada) = match who {
        Authentication::FaceValue => (None, None),
        Authentication::Dialled => (Some(ben), None),
        // Our own always offer a proof.
        Authentication::DialledAndWilling | Authentication::Both => (Some(ben), Some(ada)),
    };
    assert_eq!((dialled.proven, accepted.proven), (of_ben, of_ada));
}

async fn bytes_keep_their_order_both_ways<S: Subject>(subject: S) {
    async fn talk(channel: Channel, says: Vec<u8>, hears: Vec<u8>, half_closes: bool) {
        let (reader, mut writer) = tokio::io::split(channel.io);
        let speak = async {
            let mut rest = says.as_slice();
            for size in [1, 2, 3, 7, 100, 4096, 70_000].into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, later) = rest.split_at(size.min(rest.len()));
                writer.write_all(chunk).await.unwrap();
                writer.flush().await.unwrap();
                rest = later;
            }
            if half_closes {
                writer.shutdown().await.unwrap();
            }
        };
        let mut heard = Vec::new();
        // Without half-closing, an end would cut off what the other has still to say.
        let limit = if half_closes { u64::MAX } else { hears.len() as u64 };
        let mut reader = reader.take(limit);
        let (_, count) = tokio::join!(speak, reader.read_to_end(&mut heard));
        count.unwrap();
        assert!(heard == hears, "{} bytes came, {} were sent", heard.len(), hears.len());
    }
    let (ada, ben) = two(&subject).await;
    let (dialled, accepted) = pair(&*ada, &*ben).await;
    let (one, other) = (pattern(1, 3_000_000), pattern(2, 2_000_000));
    tokio::join!(
        talk(dialled, one.clone(), other.clone(), S::HALF_CLOSES),
        talk(accepted, other, one, S::HALF_CLOSES),
    );
}

async fn a_slow_reader_holds_the_writer_back<S: Subject>(subject: S) {
    const TOO_MUCH: usize = 256 << 20;
    let (ada, ben) = two(&subject).await;
    let (mut dialled, mut accepted) = pair(&*ada, &*ben).await;
    let data = pattern(3, 1 << 20);
    let mut written = 0;
    // Nobody reads, so some day the writer is told to wait.
    let full = poll_fn(|context| {
        while written < TOO_MUCH {
            let rest = &data[written % data.len()..];
            match Pin::new(&mut dialled.io).poll_write(context, rest) {
                Poll::Ready(count) => written += count.unwrap(),
                Poll::Pending => return Poll::Ready(true),
            }
        }
        Poll::Ready(false)
    });
    assert!(full.await, "{TOO_MUCH} bytes were swallowed");
    let begun = written % data.len();
    let rest = if begun == 0 { &[] } else { &data[begun..] };
    written += rest.len();
    let more = pattern(4, 1 << 20);
    let finish = async {
        dialled.io.write_all(rest).await.unwrap();
        dialled.io.write_all(&more).await.unwrap();
        dialled.io.shutdown().await.unwrap();
    };
    let mut heard = Vec::new();
    let (_, count) = tokio::join!(finish, accepted.io.read_to_end(&mut heard));
    assert_eq!(count.unwrap(), written + more.len());
    assert!(heard[written..] == more[..], "the end is garbled");
    let intact = heard[..written].chunks(data.len()).all(|chunk| data.starts_with(chunk));
    assert!(intact, "the beginning is garbled");
}

async fn many_dial_at_once<S: Subject>(subject: S) {
    const COUNT: u8 = 60;
    let (ada, ben) = two(&subject).await;
    let to = ben.location();
    let dial_all = async {
        let mut channels = Vec::new();
        let dials: Vec<_> = (0..COUNT)
            .map(|number| {
                let dial = ada.connect(&to);
                async move {
                    let mut channel = dial.await.unwrap();
                    channel.io.write_all(&value(&[number])).await.unwrap();
                    channel.io.flush().await.unwrap();
                    channel
                }
            })
            .collect();
        let mut dials: Vec<_> = dials.into_iter().map(Box::pin).collect();
        poll_fn(|context| {
            dials.retain_mut(|dial| match dial.as_mut().poll(context) {
                Poll::Ready(channel) => {
                    channels.push(channel);
                    false
                }
                Poll::Pending => true,
            });
            if dials.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        channels
    };
    let accept_all = async {
        let mut numbers = BTreeSet::new();
        for _ in 0..COUNT {
            let mut channel = ben.accept().await.unwrap();
            let mut heard = [0; 3];
            channel.io.read_exact(&mut heard).await.unwrap();
            numbers.insert(heard[2]);
        }
        numbers
    };
    let (_channels, numbers) = tokio::join!(dial_all, accept_all);
    assert_eq!(numbers.len(), usize::from(COUNT));
}

async fn half_closed_channels_still_answer<S: Subject>(subject: S) {
    let (ada, ben) = two(&subject).await;
    let (mut dialled, mut accepted) = pair(&*ada, &*ben).await;
    if !S::HALF_CLOSES {
        // What was said before is heard, and the end is told.
        accepted.io.write_all(b"6:answer").await.unwrap();
        accepted.io.flush().await.unwrap();
        dialled.io.write_all(b"8:question").await.unwrap();
        dialled.io.shutdown().await.unwrap();
        let (mut asked, mut answered) = (String::new(), String::new());
        let count = accepted.io.read_to_string(&mut asked).await;
        assert_eq!((count.unwrap(), asked.as_str()), (10, "8:question"));
        assert!(accepted.io.write_all(b"too late").await.is_err());
        let count = dialled.io.read_to_string(&mut answered).await;
        assert_eq!((count.unwrap(), answered.as_str()), (8, "6:answer"));
        return;
    }
    let answer = pattern(5, 300_000);
    let ask = async {
        dialled.io.write_all(b"8:question").await.unwrap();
        dialled.io.shutdown().await.unwrap();
        let mut heard = Vec::new();
        dialled.io.read_to_end(&mut heard).await.unwrap();
        assert!(heard == answer);
    };
    let reply = async {
        let mut heard = String::new();
        accepted.io.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "8:question");
        accepted.io.write_all(&answer).await.unwrap();
        accepted.io.shutdown().await.unwrap();
    };
    tokio::join!(ask, reply);
}

async fn a_dropped_channel_ends_the_other<S: Subject>(subject: S) {
    let (ada, ben) = two(&subject).await;
    let (dialled, mut accepted) = pair(&*ada, &*ben).await;
    drop(dialled);
    // An end or an error, but not silence.
    let outcome = accepted.io.read(&mut [0; 8]).await;
    assert!(matches!(outcome, Ok(0) | Err(_)), "{outcome:?}");
}

async fn a_dead_address_is_unreachable<S: Subject>(subject: S) {
    let (ada, ben) = two(&subject).await;
    ben.shutdown().await;
    let outcome = ada.connect(&ben.location()).await;
    match outcome {
        Ok(mut channel) if S::TELLS_LATE => {
            assert_eq!(channel.io.read(&mut [0; 8]).await.unwrap(), 0);
        }
        outcome => assert!(
            !S::TELLS_LATE && matches!(outcome, Err(ConnectError::Unreachable { .. })),
            "{outcome:?}"
        ),
    }
}

async fn another_peers_designator_is_noticed<S: Subject>(subject: S) {
    let (ada, ben) = two(&subject).await;
    let mut to = ben.location();
    let listens = subject.listen().await;
    let cleo = listens.location();
    to.designator = cleo.designator.clone();
    if matches!(S::WRONG_DESIGNATOR, WrongDesignator::Unreachable) {
        to.designator = "nobody".into();
    }
    let outcome = ada.connect(&to).await;
    match (S::WRONG_DESIGNATOR, outcome) {
        (
            WrongDesignator::Mismatch,
            Err(ConnectError::IdentityMismatch { expected, found, .. }),
        ) => {
            assert_eq!(expected, cleo.designator);
            assert_eq!(found, Some(ben.location().designator));
        }
        (
            WrongDesignator::MismatchUnnamed,
            Err(ConnectError::IdentityMismatch { expected, found: None, .. }),
        ) => assert_eq!(expected, cleo.designator),
        (WrongDesignator::Unreachable, Err(ConnectError::Unreachable { .. })) => {}
        (WrongDesignator::NobodyNotices, Ok(channel)) => assert_eq!(channel.proven, None),
        (WrongDesignator::Leads, Ok(channel)) => {
            assert_eq!(channel.proven, Some(cleo.designator));
            listens.accept().await.unwrap();
        }
        (_, outcome) => panic!("{outcome:?}"),
    }
}

async fn bad_locators_are_refused<S: Subject>(subject: S) {
    let (ada, ben) = two(&subject).await;
    let mut locators = subject.undiallable(&ben.location());
    let mut foreign = ben.location();
    foreign.transport = "carrier-pigeon".into();
    locators.push(foreign);
    for locator in locators {
        let outcome = ada.connect(&locator).await;
        assert!(matches!(outcome, Err(ConnectError::BadLocator(_))), "{locator}: {outcome:?}");
    }
}

async fn shutdown_frees_the_address<S: Subject>(subject: S) {
    let (ada, ben) = two(&subject).await;
    let (mut dialled, mut accepted) = pair(&*ada, &*ben).await;
    // Nobody has accepted this one, and nobody will.
    let _waiting = ada.connect(&ben.location()).await;
    let taken = subject.listen_again(&ben.location()).await;
    assert!(taken.is_err(), "two listen at one address");

    ben.shutdown().await;
    ben.shutdown().await;
    assert_eq!(ben.accept().await.unwrap_err(), AcceptError::Closed);
    let again = subject.listen_again(&ben.location()).await.expect("the address is free");
    drop(ben);
    pair(&*ada, &*again).await;

    // What was open stays so.
    dialled.io.write_all(b"10:still here").await.unwrap();
    dialled.io.shutdown().await.unwrap();
    let mut heard = String::new();
    accepted.io.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "10:still here");
}

async fn shutdown_wakes_who_waits_to_accept<S: Subject>(subject: S) {
    let ben = subject.listen().await;
    let (outcome, ()) = tokio::join!(ben.accept(), ben.shutdown());
    assert_eq!(outcome.unwrap_err(), AcceptError::Closed);
}

async fn dropping_frees_the_address_soon<S: Subject>(subject: S) {
    let ben = subject.listen().await;
    let at = ben.location();
    drop(ben);
    while subject.listen_again(&at).await.is_err() {
        tokio::task::yield_now().await;
    }
}

async fn giving_up_on_accept_loses_nothing<S: Subject>(subject: S) {
    let (ada, ben) = two(&subject).await;
    let to = ben.location();
    let mut dial = ada.connect(&to);
    // Accepting is begun and dropped again and again until the dialler is done.
    let mut early = None;
    let mut dialled = poll_fn(|context| {
        if early.is_none()
            && let Poll::Ready(channel) = ben.accept().as_mut().poll(context)
        {
            early = Some(channel.unwrap());
        }
        dial.as_mut().poll(context)
    })
    .await
    .unwrap();
    let mut accepted = match early {
        Some(channel) => channel,
        None => ben.accept().await.unwrap(),
    };
    dialled.io.write_all(b"1:x").await.unwrap();
    dialled.io.flush().await.unwrap();
    let mut heard = [0; 3];
    accepted.io.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"1:x");
}

async fn rude_clients_delay_nobody<S: Subject>(subject: S) {
    let (ada, ben) = two(&subject).await;
    let to = ben.location();
    let mut rude = Vec::new();
    for number in 0..200 {
        let Some(mut client) = subject.rude(&to).await else {
            break;
        };
        match number % 4 {
            0 => client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap(),
            1 => client.write_all(&[22, 3, 1, 255, 255]).await.unwrap(),
            2 => client.shutdown().await.unwrap(),
            _silent => {}
        }
        rude.push(client);
    }
    for _ in 0..3 {
        pair(&*ada, &*ben).await;
    }
}

/// The subject, where a test that would hang fails instead.
fn run<S: Subject, F: Future<Output = ()>>(test: impl FnOnce(S) -> F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let guarded = async { tokio::time::timeout(Duration::from_secs(120), test(S::new())).await };
    runtime.block_on(guarded).expect("the test hangs");
}

macro_rules! contract {
    ($($subject:ty => $module:ident;)*) => {
        contract!(@each [
            a_location_is_its_own,
            both_ends_are_told_what_was_proven,
            bytes_keep_their_order_both_ways,
            a_slow_reader_holds_the_writer_back,
            many_dial_at_once,
            half_closed_channels_still_answer,
            a_dropped_channel_ends_the_other,
            a_dead_address_is_unreachable,
            another_peers_designator_is_noticed,
            bad_locators_are_refused,
            shutdown_frees_the_address,
            shutdown_wakes_who_waits_to_accept,
            dropping_frees_the_address_soon,
            giving_up_on_accept_loses_nothing,
            rude_clients_delay_nobody,
        ] $($subject => $module;)*);
    };
    (@each $tests:tt $($subject:ty => $module:ident;)*) => {
        $(mod $module { use super::*; contract!(@one $subject, $tests); })*
    };
    (@one $subject:ty, [$($test:ident,)*]) => {
        $(#[test] fn $test() { super::run(super::$test::<$subject>); })*
    };
}

contract! {
    LoopbackSubject => loopback;
    TestingOnlySubject<false> => tcp_testing_only;
    TestingOnlySubject<true> => tcp_testing_only_framed;
    TlsSubject<false> => tcp_tls;
    TlsSubject<true> => tcp_tls_framed;
    UnixSubject<false> => unix;
    UnixSubject<true> => unix_framed;
    UnixDomainSocketSubject<false> => unix_domain_socket;
    UnixDomainSocketSubject<true> => unix_domain_socket_framed;
    WebsocketSubject<false> => websocket;
    WebsocketSubject<true> => websocket_tls;
}
