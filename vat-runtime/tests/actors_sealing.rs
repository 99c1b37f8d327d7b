//! Sealers and wards: what only the right hands open.

mod by_hand;

use std::sync::{Arc, Mutex};

use by_hand::ByHand;
use vat_runtime::actors::{Cell, enchant, sealers, ward, warding_pair};
use vat_runtime::{Args, Fault, Promise, Ref, Reply, Turn, Value, Vat, promise};

#[test]
fn only_its_unsealer_opens_a_box() {
    let test = ByHand::default();
    let (sealer, unsealer, check) = test.turn(|turn| Ok(sealers(turn, "one"))).unwrap();
    let (other_sealer, other_unsealer, other_check) =
        test.turn(|turn| Ok(sealers(turn, "one"))).unwrap();
    let sealed = test.send(&sealer, vec!["secret".into()]).unwrap();
    assert_eq!(test.send(&unsealer, vec![sealed.clone()]), Ok("secret".into()));
    assert_eq!(test.send(&unsealer, vec![sealed.clone()]), Ok("secret".into()), "again");
    assert_eq!(test.send(&check, vec![sealed.clone()]), Ok(true.into()));
    assert_eq!(test.send(&other_check, vec![sealed.clone()]), Ok(false.into()));
    assert_eq!(
        test.send(&other_unsealer, vec![sealed.clone()]).unwrap_err().to_string(),
        "unsealer: this was not sealed by its sealer"
    );
    let not = test.send(&other_sealer, vec!["secret".into()]).unwrap();
    for not in [not, "secret".into(), (&sealer).into(), Value::List(vec![sealed.clone()])] {
        assert!(test.send(&unsealer, vec![not.clone()]).is_err());
        assert_eq!(test.send(&check, vec![not]), Ok(false.into()));
    }
    let Value::Ref(sealed) = sealed else { panic!("a box is a reference") };
    for args in [vec![], vec![Value::symbol("unseal")], vec![(&unsealer).into()]] {
        assert!(test.send(&sealed, args).is_err(), "the box itself tells nobody");
    }
}

#[test]
fn a_stranger_in_place_of_a_box_is_not_called() {
    let test = ByHand::default();
    let (sealer, unsealer, check) = test.turn(|turn| Ok(sealers(turn, "one"))).unwrap();
    let called = Arc::new(Mutex::new(0));
    let calls = called.clone();
    let genuine = test.send(&sealer, vec![1.into()]).unwrap();
    let proxy = test.spawn(move |turn: &mut Turn<'_>, args: Args| {
        *calls.lock().unwrap() += 1;
        turn.call(genuine.as_ref().unwrap(), args).map(Reply::value)
    });
    assert!(test.send(&unsealer, vec![(&proxy).into()]).is_err());
    assert_eq!(test.send(&check, vec![(&proxy).into()]), Ok(false.into()));
    assert_eq!(*called.lock().unwrap(), 0);
}

#[test]
fn a_box_may_come_as_a_promise() {
    let test = ByHand::default();
    let (sealer, unsealer, check) = test.turn(|turn| Ok(sealers(turn, "one"))).unwrap();
    let sealed = test.send(&sealer, vec![1.into()]).unwrap();
    let (later, resolver) = promise();
    let opened = unsealer.send(vec![(&later).into()]);
    let checked = check.send(vec![(&later).into()]);
    test.hand.run_until_idle();
    assert!(opened.is_promise() && checked.is_promise());
    resolver.fulfill(sealed.clone());
    test.hand.run_until_idle();
    assert_eq!((opened.wait(), checked.wait()), (Ok(1.into()), Ok(true.into())));
    let settled = Promise::settled(Ok(sealed));
    assert_eq!(test.send(&unsealer, vec![settled.into()]), Ok(1.into()));
    let (never, resolver) = promise();
    let checked = check.send(vec![never.into()]);
    resolver.break_with("no");
    test.hand.run_until_idle();
    assert_eq!(checked.wait(), Ok(false.into()));
}

/// Notes what it is called with and answers with a name.
fn named(test: &ByHand, name: &'static str, heard: &Arc<Mutex<Vec<(&'static str, Args)>>>) -> Ref {
    let heard = heard.clone();
    test.spawn(move |_: &mut Turn<'_>, args: Args| -> Result<Reply, Fault> {
        heard.lock().unwrap().push((name, args));
        Ok(Reply::value(name))
    })
}

#[test]
fn only_the_incanter_passes_a_ward() {
    let test = ByHand::default();
    let heard = Arc::default();
    let (protected, open) = (named(&test, "protected", &heard), named(&test, "open", &heard));
    let (warded, bare, incanter, other) = test
        .turn(|turn| {
            let (warden, incanter) = warding_pair(turn);
            let warded = ward(turn, warden.clone(), protected.clone(), Some(open));
            let bare = ward(turn, warden, protected, None);
            Ok((warded, bare, incanter, warding_pair(turn).1))
        })
        .unwrap();
    let through = |incanter: &Ref, to: &Ref| test.send(incanter, vec![to.into(), 1.into()]);
    assert_eq!(through(&incanter, &warded), Ok("protected".into()));
    assert_eq!(through(&incanter, &bare), Ok("protected".into()));
    assert_eq!(test.send(&warded, vec![2.into()]), Ok("open".into()));
    assert_eq!(through(&other, &warded), Ok("open".into()), "another pair's incanter");
    assert!(test.send(&bare, vec![2.into()]).is_err());
    assert!(through(&other, &bare).is_err());
    let heard: Vec<_> = std::mem::take(&mut *heard.lock().unwrap());
    assert_eq!(heard[0], ("protected", vec![1.into()]));
    assert_eq!(heard[2], ("open", vec![2.into()]));

    let (passing, to) = (incanter.clone(), bare.clone());
    let enchanted = test.turn(move |turn| Ok(enchant(turn, passing, to))).unwrap();
    assert_eq!(test.send(&enchanted, vec![]), Ok("protected".into()));
}

#[test]
fn what_passed_a_ward_passes_none_again() {
    let test = ByHand::default();
    let heard = Arc::default();
    let protected = named(&test, "protected", &heard);
    let stolen = Arc::new(Mutex::new(None));
    let thief = stolen.clone();
    let (warded, incanter, middle) = test
        .turn(move |turn| {
            let (warden, incanter) = warding_pair(turn);
            let warded = ward(turn, warden, protected, None);
            let to = warded.clone();
            // A proxy that keeps what it passes on.
            let middle = turn.spawn(move |turn: &mut Turn<'_>, args: Args| {
                *thief.lock().unwrap() = Some(args.clone());
                turn.call(&to, args).map(Reply::value)
            });
            Ok((warded, incanter, middle))
        })
        .unwrap();
    assert_eq!(test.send(&incanter, vec![middle.into()]), Ok("protected".into()));
    let stolen: Args = stolen.lock().unwrap().take().unwrap();
    assert_eq!(
        test.send(&warded, stolen.clone()).unwrap_err().to_string(),
        "this has passed a ward already"
    );
    let Value::Ref(charm) = &stolen[0] else { panic!() };
    assert!(test.send(charm, vec![(&warded).into()]).is_err(), "it speaks to its warden only");
}

#[test]
fn a_ward_may_be_in_another_vat_than_its_warden() {
    let test = ByHand::default();
    let heard = Arc::default();
    let protected = named(&test, "protected", &heard);
    let other = Vat::new("other", test.hand.clone());
    let open = other.spawn(Cell::new("open"));
    let pair = other.run(|turn| Ok(warding_pair(turn)));
    test.hand.run_until_idle();
    let (warden, incanter) = pair.wait().unwrap();
    let warded = test.turn(move |turn| Ok(ward(turn, warden, protected, Some(open)))).unwrap();
    let passed = test.send(&incanter, vec![(&warded).into(), 1.into()]);
    assert_eq!(passed, Ok("protected".into()));
    assert_eq!(test.send(&warded, vec![(&incanter).into()]), Ok(Value::Undefined), "the cell's");
    assert_eq!(heard.lock().unwrap().len(), 1);
}
