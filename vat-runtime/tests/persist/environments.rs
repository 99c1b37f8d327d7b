//! Kinds by name: versions, migrations, namespaces, and what is said when they don't fit.

use vat_runtime::persist::{Durable, Environment, EnvironmentError, Memory, RestoreError};
use vat_runtime::{Args, Behaviour, Fault, Limits, Reply, Turn, Value};

use crate::kit::{Counter, World, environment};

/// What counters are three versions later: they count by a step, and have a name.
struct Stepper {
    name: String,
    step: i64,
    count: i64,
}

impl Behaviour for Stepper {
    fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
        Ok(format!("{} {} by {}", self.name, self.count, self.step).into())
    }
}

impl Durable for Stepper {
    const VERSION: u32 = 4;

    fn portray(&self) -> Value {
        vec![Value::from(self.name.as_str()), self.step.into(), self.count.into()].into()
    }

    fn restore(portrait: Value) -> Result<Self, RestoreError> {
        let Value::List(fields) = portrait else { return Err(RestoreError::new("not a list")) };
        match fields.as_slice() {
            [Value::String(name), Value::Int(step), Value::Int(count)] => {
                Ok(Self { name: name.to_string(), step: *step, count: *count })
            }
            _ => Err(RestoreError::new("not name, step and count")),
        }
    }
}

fn newer() -> Environment {
    let mut environment = Environment::new();
    environment.kind::<Stepper>("stepper").unwrap();
    environment.renamed("counter", "stepper").unwrap();
    environment
        .migrate("stepper", 1, |count| Ok(vec![Value::from(1), count].into()))
        .unwrap()
        .migrate("stepper", 2, |value| match value {
            Value::List(mut fields) => {
                fields.insert(0, "someone".into());
                Ok(fields.into())
            }
            _ => Err(RestoreError::new("not a list")),
        })
        .unwrap()
        .migrate("stepper", 3, Ok)
        .unwrap();
    environment
}

#[test]
fn older_portraits_are_migrated_step_by_step_also_under_a_former_name() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("v");
    let root = vat.root_or_spawn("root", || Counter(9)).unwrap();
    world.hand.run_until_idle();
    drop(root);
    world.commit();
    let world = World::open(disk);
    let vat = world.vat_with("v", Limits::default(), &newer());
    let root = vat.root("root").unwrap().unwrap();
    assert_eq!(world.ask(&root, vec![]), Ok("someone 9 by 1".into()));
    assert_eq!(world.store.doctor().unwrap().ailments, []);
}

#[test]
fn what_does_not_fit_is_said() {
    let why = |environment: &Environment, kind: &str, version, portrait: Value| {
        environment.restore(kind, version, portrait).err().unwrap().to_string()
    };
    let known = environment();
    let text = why(&known, "clock", 1, Value::Null);
    assert_eq!(text, r#"no kind is called "clock" in this vat's environment"#);
    let text = why(&known, "counter", 2, 1.into());
    assert!(text.contains("a newer program wrote it"), "{text}");
    assert_eq!(
        why(&known, "counter", 1, Value::Null),
        r#"restoring "counter": a counter is a number"#
    );
    let text = why(&known, "counter", 0, 1.into());
    assert!(text.contains("there is no migration from version 0 to 1"), "{text}");
    let text = why(&newer(), "stepper", 2, Value::Null);
    assert_eq!(text, r#"migrating "stepper" from version 2: not a list"#);
}

#[test]
fn names_and_types_are_registered_once() {
    let mut environment = environment();
    let taken = |name: &str| EnvironmentError::NameTaken(name.into());
    assert_eq!(environment.kind::<Stepper>("counter").err(), Some(taken("counter")));
    let (there, wanted) = ("counter".into(), "count".into());
    let error = environment.kind::<Counter>("count").err();
    assert_eq!(error, Some(EnvironmentError::TypeTaken { there, wanted }));
    for name in ["", "a/b"] {
        let bad = EnvironmentError::BadName(name.into());
        assert_eq!(environment.kind::<Stepper>(name).err(), Some(bad));
    }
    environment.kind::<Stepper>("stepper").unwrap();
    let nobody = EnvironmentError::NoSuchKind("nobody".into());
    assert_eq!(environment.migrate("nobody", 1, Ok).err(), Some(nobody.clone()));
    assert_eq!(environment.renamed("x", "nobody").err(), Some(nobody));
    assert_eq!(environment.renamed("counter", "stepper").err(), Some(taken("counter")));
    let (kind, version) = ("stepper".into(), 4);
    let not_older = EnvironmentError::NotOlder { kind, version, from: 4 };
    assert_eq!(environment.migrate("stepper", 4, Ok).err(), Some(not_older));
    environment.migrate("stepper", 3, Ok).unwrap();
    let twice = EnvironmentError::MigrationTaken { kind: "stepper".into(), from: 3 };
    assert_eq!(environment.migrate("stepper", 3, Ok).err(), Some(twice));
}

#[test]
fn environments_are_put_together_in_namespaces() {
    let mut fleet = Environment::new();
    fleet.extend("books", &newer()).unwrap();
    let mut all = environment();
    all.extend("fleet", &fleet).unwrap();
    let kinds: Vec<_> = all.kinds().collect();
    assert_eq!(kinds, ["counter", "fleet/books/stepper", "holder", "purse"]);
    assert!(all.knows("fleet/books/counter"), "former names are, too");
    let before = format!("{all:?}");
    assert!(all.extend("again", &newer()).is_err(), "the type is there already");
    assert_eq!(format!("{all:?}"), before);

    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat_with("v", Limits::default(), &all);
    let stepper = || Stepper { name: "it".into(), step: 2, count: 4 };
    let root = vat.root_or_spawn("root", stepper).unwrap();
    world.hand.run_until_idle();
    drop(root);
    world.commit();
    let world = World::open(disk);
    let vat = world.vat_with("v", Limits::default(), &all);
    let root = vat.root("root").unwrap().unwrap();
    assert_eq!(world.ask(&root, vec![]), Ok("it 4 by 2".into()));
}

#[test]
fn closures_make_a_kind_of_a_type_that_knows_nothing_of_it() {
    struct Greeter {
        greeting: &'static str,
        name: String,
    }
    impl Behaviour for Greeter {
        fn receive(&self, _turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
            Ok(format!("{}, {}!", self.greeting, self.name).into())
        }
    }
    // The greeting is the program's and not stored.
    let kinds = |greeting: &'static str| {
        let mut environment = Environment::new();
        let restore = move |portrait: Value| match portrait {
            Value::String(name) => Ok(Greeter { greeting, name: name.into() }),
            _ => Err(RestoreError::new("a greeter's portrait is a name")),
        };
        let portray = |greeter: &Greeter| greeter.name.as_str().into();
        environment.kind_with("greeter", 1, portray, restore).unwrap();
        environment
    };
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat_with("v", Limits::default(), &kinds("Hello"));
    let greeter = || Greeter { greeting: "Hello", name: "Ada".into() };
    let root = vat.root_or_spawn("root", greeter).unwrap();
    assert_eq!(world.ask(&root, vec![]), Ok("Hello, Ada!".into()));
    world.commit();
    let world = World::open(disk);
    let vat = world.vat_with("v", Limits::default(), &kinds("Bonjour"));
    let root = vat.root("root").unwrap().unwrap();
    assert_eq!(world.ask(&root, vec![]), Ok("Bonjour, Ada!".into()));
}

#[test]
fn an_object_that_cannot_be_restored_breaks_its_messages_and_is_reported() {
    let disk = Memory::new();
    let world = World::open(disk.clone());
    let vat = world.vat("v");
    let root = vat.root_or_spawn("root", || Counter(1)).unwrap();
    world.hand.run_until_idle();
    world.commit();
    drop(root);
    let world = World::open(disk);
    let vat = world.vat_with("v", Limits::default(), &Environment::new());
    let root = vat.root("root").unwrap().unwrap();
    let fault = world.ask(&root, vec![]).unwrap_err();
    assert_eq!(fault.to_string(), "the object could not be restored", "no local detail");
    let report = world.store.doctor().unwrap().to_string();
    let expected = "test counter (counter), object 1 of vat v: cannot be restored: no kind is \
                    called \"counter\" in this vat's environment";
    assert!(report.contains(expected), "{report}");
}
