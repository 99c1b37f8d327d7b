//! Changes kept apart from the world that they are over: merged, thrown away, or refused
//! when another timeline came first.

mod manual;

use manual::Cell;
use vat_runtime::{Actormap, Fault, MergeError, Promise, Ref, Turn, Value};

fn read(map: &Actormap, cell: &Ref) -> Value {
    map.peek(cell, vec![]).unwrap()
}

/// A world with two cells, of 1 and 2.
fn world() -> (Actormap, Ref, Ref) {
    let map = Actormap::new();
    let (one, two) = (map.spawn(Cell(1.into())), map.spawn(Cell(2.into())));
    (map, one, two)
}

#[test]
fn a_delta_is_seen_only_above_until_it_is_merged() {
    let (map, one, two) = world();
    let below = map.turn(&one, vec![10.into()]).unwrap().map;
    let above = below.turn(&two, vec![20.into()]).unwrap().map;
    let (three, top) = above.spawn_apart(Cell(3.into())).unwrap();
    assert_eq!(
        [&map, &below, &above, &top].map(|map| read(map, &one)),
        [1, 10, 10, 10].map(Value::from)
    );
    assert_eq!(
        [&map, &below, &above, &top].map(|map| read(map, &two)),
        [2, 2, 20, 20].map(Value::from)
    );
    assert_eq!(read(&top, &three), 3.into());
    assert!(above.peek(&three, vec![]).is_err());
    assert_eq!((map.len(), above.len(), top.len()), (2, 2, 3));
    assert!(!top.parent().is_whactormap() && below.parent().is_whactormap());
    let changes = above.delta();
    assert_eq!(changes.len(), 1);
    assert!(changes[0].before.is_some());
    assert!(top.delta()[0].before.is_none());

    // All that it stands on goes with it.
    top.merge().unwrap();
    assert_eq!(
        (read(&map, &one), read(&map, &two), read(&map, &three)),
        (10.into(), 20.into(), 3.into())
    );
    assert!([below, above, top.clone()].iter().all(|map| map.is_merged()));
    assert_eq!(top.merge(), Err(MergeError::Merged));
    assert!(top.poke(&one, vec![]).is_err());
}

#[test]
fn a_branch_of_a_merged_map_goes_on_from_there() {
    let (map, one, two) = world();
    let below = map.turn(&one, vec![10.into()]).unwrap().map;
    let above = below.turn(&two, vec![20.into()]).unwrap().map;
    below.merge().unwrap();
    assert_eq!(read(&above, &one), 10.into());
    above.merge().unwrap();
    assert_eq!((read(&map, &one), read(&map, &two)), (10.into(), 20.into()));
}

#[test]
fn timelines_that_have_nothing_to_do_with_each_other_are_merged() {
    let (map, one, two) = world();
    let (left, right) = (map.branch(), map.branch());
    left.poke(&one, vec![10.into()]).unwrap();
    right.poke(&two, vec![20.into()]).unwrap();
    let born = left.spawn(Cell(3.into()));
    let other = right.spawn(Cell(4.into()));
    left.merge().unwrap();
    right.merge().unwrap();
    let all = [&one, &two, &born, &other].map(|cell| read(&map, cell));
    assert_eq!(all, [10, 20, 3, 4].map(Value::from));
}

#[test]
fn of_two_timelines_that_changed_the_same_the_second_is_refused() {
    let (map, one, two) = world();
    let (left, right) = (map.branch(), map.branch());
    left.poke(&one, vec![10.into()]).unwrap();
    right.poke(&one, vec![11.into()]).unwrap();
    right.poke(&two, vec![21.into()]).unwrap();
    left.merge().unwrap();
    let Err(MergeError::Conflict(kinds)) = right.merge() else { panic!("merged") };
    assert!(kinds.len() == 1 && kinds[0].ends_with("Cell"));
    assert_eq!((read(&map, &one), read(&map, &two)), (10.into(), 2.into()), "nothing was merged");
    assert!(!right.is_merged());
    assert!(right.peek(&two, vec![]).is_err(), "what it stands on is not so any more");
    right.merge_anyway().unwrap();
    assert_eq!((read(&map, &one), read(&map, &two)), (11.into(), 21.into()));
}

/// Two withdrawals that are each allowed while the other has not been made.
#[test]
fn a_timeline_that_rests_on_what_another_changed_is_refused() {
    let (map, one, two) = world();
    let withdraw = |turn: &mut Turn<'_>, from: &Ref, other: &Ref| {
        let sum = turn.call(from, vec![])?.as_int().zip(turn.call(other, vec![])?.as_int());
        if sum.is_none_or(|(here, there)| here + there < 3) {
            return Err(Fault::from("not enough"));
        }
        turn.call(from, vec![0.into()])
    };
    let (left, right) = (map.branch(), map.branch());
    left.run_and_commit(|turn| withdraw(turn, &one, &two)).unwrap();
    right.run_and_commit(|turn| withdraw(turn, &two, &one)).unwrap();
    left.merge().unwrap();
    assert!(matches!(right.merge(), Err(MergeError::Conflict(_))));
    assert_eq!((read(&map, &one), read(&map, &two)), (0.into(), 2.into()));
}

#[test]
fn changes_below_that_were_not_looked_at_do_no_harm() {
    let (map, one, two) = world();
    let apart = map.branch();
    apart.poke(&one, vec![10.into()]).unwrap();
    map.poke(&two, vec![20.into()]).unwrap();
    assert_eq!(read(&apart, &two), 20.into());
    apart.merge().unwrap();
    assert_eq!((read(&map, &one), read(&map, &two)), (10.into(), 20.into()));
}

#[test]
fn what_was_called_in_vain_is_no_conflict_of_its_own_making() {
    let (map, one, _two) = world();
    let apart = map.branch();
    apart
        .run_and_commit(|turn| {
            let faulty = turn.spawn(|turn: &mut Turn<'_>, _args: vat_runtime::Args| {
                let ghost = turn.spawn(Cell(1.into()));
                turn.call(&ghost, vec![2.into()])?;
                Err(Fault::from(Value::from(ghost)))
            });
            assert!(turn.call(&faulty, vec![]).is_err());
            turn.call(&one, vec![10.into()])
        })
        .unwrap();
    apart.merge().unwrap();
    assert_eq!(read(&map, &one), 10.into());
}

/// A delta remembers actors by name; one that is gone must not come back, least of all
/// in the place of another.
#[test]
fn the_dead_of_a_delta_do_not_come_back() {
    let map = Actormap::new();
    let cell = map.spawn(Cell("secret".into()));
    let apart = map.turn(&cell, vec!["more secret".into()]).unwrap().map;
    let lost = apart.spawn(Cell("lost".into()));
    drop((cell, lost));
    assert!(map.is_empty());
    let strangers = [map.spawn(Cell("first".into())), map.spawn(Cell("second".into()))];
    assert_eq!(apart.delta().len(), 2);
    apart.merge().unwrap();
    let after = strangers.each_ref().map(|stranger| read(&map, stranger));
    assert_eq!(after, ["first", "second"].map(Value::from));
    assert_eq!(map.len(), 2);
}

#[test]
fn what_a_branch_wants_sent_is_merged_with_it() {
    let (map, one, _two) = world();
    let apart = map.branch();
    let answer: Promise = apart.run_and_commit(|turn| Ok(turn.send(&one, vec![]))).unwrap();
    assert_eq!(map.churn(), 0);
    apart.merge().unwrap();
    assert_eq!(map.churn(), 1);
    assert_eq!(answer.wait(), Ok(1.into()));

    let dropped = map.branch();
    let answer: Promise = dropped.run_and_commit(|turn| Ok(turn.send(&one, vec![]))).unwrap();
    drop(dropped);
    assert!(answer.wait().is_err());
}

#[test]
fn a_branch_of_a_restored_world_is_refused_where_it_differs() {
    let (map, one, _two) = world();
    let before = map.snapshot().unwrap();
    map.poke(&one, vec![10.into()]).unwrap();
    let apart = map.turn(&one, vec![11.into()]).unwrap().map;
    map.restore(&before).unwrap();
    assert!(apart.merge().is_err());
    map.restore(&before).unwrap();
    let again = map.turn(&one, vec![12.into()]).unwrap().map;
    again.merge().unwrap();
    assert_eq!(read(&map, &one), 12.into());
}

#[test]
fn a_snapshot_of_a_branch_is_a_world_of_its_own() {
    let (map, one, _two) = world();
    let apart = map.turn(&one, vec![10.into()]).unwrap().map;
    let fork = apart.fork().unwrap();
    assert_eq!(read(&fork, &one), 10.into());
    assert_eq!(read(&map, &one), 1.into());
    assert!(fork.is_whactormap());
}

#[test]
fn a_high_pile_is_dropped_without_a_deep_stack() {
    let (map, ..) = world();
    let mut top = map.branch();
    for _ in 0..if cfg!(miri) { 1000 } else { 200_000 } {
        top = top.branch();
    }
    drop((map, top));
}
