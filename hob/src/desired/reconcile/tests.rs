//! Tests of reconciling: single cases by hand, and a world in which messages are lost,
//! peers are parted and machines die.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::desired::machine::DesiredState;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn generation(number: u64, package: &str) -> Generation {
    let packages = [package.to_owned()].into();
    Generation { number, state: DesiredState { packages, ..DesiredState::default() } }
}

/// A machine that is driven by hand.
struct Machine {
    reconciler: Reconciler,
    now: Duration,
}

impl Machine {
    fn new() -> Self {
        let held = Generation::none().id();
        let now = Duration::ZERO;
        Self { reconciler: Reconciler::new(Settings::default(), held, None, 1, now), now }
    }

    /// What comes of an input, without the reports.
    fn told(&mut self, input: Input) -> Vec<Output> {
        self.reconciler.handle(self.now, input);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<Output> {
        let all = std::iter::from_fn(|| self.reconciler.poll());
        all.filter(|output| !matches!(output, Output::Report(_))).collect()
    }

    fn later(&mut self, by: u64) -> Vec<Output> {
        self.now += seconds(by);
        self.told(Input::Tick)
    }

    fn pulled(&mut self, id: u64, generation: &Generation) -> Vec<Output> {
        self.told(Input::Pulled { id, result: Ok(generation.clone()) })
    }

    fn well(&mut self) -> Vec<Output> {
        self.told(Input::Done(Ok(Done::Well)))
    }

    fn trial(&self) -> u64 {
        self.reconciler.report().trying.expect("nothing is on trial").1
    }
}

fn apply(generation: &Generation) -> [Output; 1] {
    [Output::Work(Work::Apply(Box::new(generation.clone())))]
}

#[test]
fn a_generation_is_pulled_applied_and_confirmed() {
    let mut machine = Machine::new();
    let one = generation(1, "one");
    assert_eq!(machine.outputs(), [Output::Pull { id: 1 }]);
    assert_eq!(machine.pulled(1, &one), apply(&one));
    assert_eq!(machine.well(), []);
    let trial = machine.trial();
    // Only this trial is confirmed, and no other.
    assert_eq!(machine.told(Input::Confirmed { generation: one.id(), trial: trial ^ 1 }), []);
    let confirm = Output::Work(Work::Confirm(one.id()));
    assert_eq!(machine.told(Input::Confirmed { generation: one.id(), trial }), [confirm]);
    assert_eq!(machine.well(), []);
    let report = machine.reconciler.report();
    assert_eq!((report.held, report.trying, report.refused), (one.id(), None, None));
    // A push of what is held is nothing new; one of something else is.
    assert_eq!(machine.told(Input::Pushed(1)), []);
    assert_eq!(machine.told(Input::Pushed(2)), [Output::Pull { id: 2 }]);
    // While that pull is under way another push has it followed by a second.
    assert_eq!(machine.told(Input::Pushed(3)), []);
    assert_eq!(machine.pulled(2, &one), [Output::Pull { id: 3 }]);
}

#[test]
fn what_is_not_confirmed_is_gone_back_from_and_tried_again_later() {
    let mut machine = Machine::new();
    let one = generation(1, "one");
    machine.outputs();
    machine.pulled(1, &one);
    machine.well();
    let work = |outputs: Vec<Output>| -> Vec<Output> {
        outputs.into_iter().filter(|output| matches!(output, Output::Work(_))).collect()
    };
    assert_eq!(work(machine.later(119)), []);
    assert_eq!(work(machine.later(1)), [Output::Work(Work::RollBack)]);
    machine.well();
    let (refused, why) = machine.reconciler.report().refused.unwrap();
    assert_eq!((refused, why.as_str()), (one.id(), "the boss did not confirm it within 120 s"));
    // Too early it is not tried again, and later only once the boss is heard.
    let pull = machine.reconciler.pulls;
    assert_eq!(work(machine.pulled(pull, &one)), []);
    assert_eq!(machine.later(36), [Output::Pull { id: pull + 1 }]);
    assert_eq!(machine.pulled(pull + 1, &one), apply(&one));
    // It fails this time, and waits twice as long.
    let failed = machine.told(Input::Done(Err("no space".into())));
    assert_eq!(failed, [Output::Work(Work::RollBack)]);
    machine.well();
    let pull = machine.reconciler.pulls;
    machine.later(47);
    assert_eq!(work(machine.pulled(pull + 1, &one)), []);
    // Another generation need not wait.
    let two = generation(2, "two");
    machine.told(Input::Pushed(2));
    let pull = machine.reconciler.pulls;
    assert_eq!(machine.pulled(pull, &two), apply(&two));
    assert_eq!(machine.reconciler.report().refused, None);
}

#[test]
fn what_the_boss_no_longer_wants_need_not_be_confirmed() {
    let mut machine = Machine::new();
    let (one, two) = (generation(1, "one"), generation(2, "two"));
    machine.outputs();
    machine.pulled(1, &one);
    machine.well();
    machine.told(Input::Pushed(2));
    assert_eq!(machine.pulled(2, &two), apply(&two));
    machine.well();
    assert_eq!(machine.reconciler.report().trying.unwrap().0, two.id());
    // What it holds is wanted again, by a boss that was restored from a backup.
    machine.told(Input::Pushed(0));
    let back = machine.pulled(3, &Generation::none());
    assert_eq!(back, [Output::Work(Work::RollBack)]);
    machine.well();
    assert_eq!(machine.reconciler.report().trying, None);
}

#[test]
fn late_answers_to_pulls_that_were_given_up_are_ignored() {
    let mut machine = Machine::new();
    machine.outputs();
    let outputs = machine.later(30);
    assert_eq!(outputs, [], "the pull is given up, and the next one is a little later");
    assert_eq!(machine.later(2), [Output::Pull { id: 2 }]);
    assert_eq!(machine.pulled(1, &generation(1, "late")), []);
    let one = generation(1, "one");
    assert_eq!(machine.pulled(2, &one), apply(&one));
}

#[test]
fn drift_is_found_reported_and_repaired() {
    let mut machine = Machine::new();
    machine.outputs();
    machine.pulled(1, &Generation::none());
    machine.now = machine.reconciler.check_at;
    let outputs = machine.told(Input::Tick);
    assert!(outputs.contains(&Output::Work(Work::Check)), "{outputs:?}");
    let drift = Drift {
        part: "files",
        item: "/etc/motd".into(),
        wanted: "mode 0644".into(),
        found: "mode 0600".into(),
    };
    let found = machine.told(Input::Done(Ok(Done::Checked(vec![drift.clone()]))));
    assert_eq!(found, [Output::Work(Work::Repair)]);
    assert_eq!(machine.reconciler.report().drift, vec![drift.clone()]);
    assert_eq!(machine.well(), [Output::Work(Work::Check)]);
    // If that was of no use, it is not done again at once.
    assert_eq!(machine.told(Input::Done(Ok(Done::Checked(vec![drift])))), []);
    assert_eq!(machine.reconciler.report().drift.len(), 1);
    assert!(machine.reconciler.check_at > machine.now + seconds(200));
}

#[test]
fn a_machine_that_died_on_trial_goes_back_first() {
    let one = generation(1, "one");
    let held = Generation::none().id();
    let now = seconds(5);
    let mut reconciler = Reconciler::new(Settings::default(), held, Some(one.id()), 7, now);
    let outputs: Vec<Output> = std::iter::from_fn(|| reconciler.poll()).collect();
    assert_eq!(outputs, [Output::Pull { id: 1 }, Output::Work(Work::RollBack)]);
    reconciler.handle(now, Input::Done(Err("disk full".into())));
    assert_eq!(reconciler.report().trouble.as_deref(), Some("disk full"));
    // It goes on trying to go back, and does nothing else.
    reconciler.handle(now, Input::Pulled { id: 1, result: Ok(generation(2, "two")) });
    let at = reconciler.roll_back_at.unwrap();
    assert!(at > now && reconciler.poll_timeout() <= at);
    let outputs: Vec<Output> = std::iter::from_fn(|| reconciler.poll()).collect();
    assert!(!outputs.iter().any(|output| matches!(output, Output::Work(_))));
    reconciler.handle(at, Input::Tick);
    let outputs: Vec<Output> = std::iter::from_fn(|| reconciler.poll()).collect();
    assert!(outputs.contains(&Output::Work(Work::RollBack)), "{outputs:?}");
}

/// What befalls a fleet of one machine.
#[derive(Clone, Debug)]
enum Event {
    /// The boss wants something else; the push arrives or not.
    Wants {
        package: u8,
        push: bool,
    },
    /// The boss is restored from a backup: its number goes back.
    Restored {
        package: u8,
    },
    Parted(bool),
    /// The machine dies, and starts again.
    Crash,
    /// The next so many pieces of work fail.
    Fails(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..3u8, any::<bool>()).prop_map(|(package, push)| Event::Wants { package, push }),
        1 => (0..3u8).prop_map(|package| Event::Restored { package }),
        4 => any::<bool>().prop_map(Event::Parted),
        2 => Just(Event::Crash),
        1 => (1..4u8).prop_map(Event::Fails),
    ]
}

/// What is on its way, and to which start of the machine.
enum Mail {
    ToMachine(Input),
    Pull(u64),
    Report(Report),
    /// Does not go by the network.
    Done(Work),
}

/// A boss and a machine with a network between them, and the machine's disk.
struct World {
    now: Duration,
    random: u64,
    boss: Generation,
    /// Which one that is.
    wanted: GenerationId,
    parted: bool,
    fails: u8,
    reconciler: Reconciler,
    start: u64,
    held: GenerationId,
    trying: Option<(GenerationId, bool)>,
    mail: BTreeMap<(Duration, u64), (u64, Mail)>,
    sent: u64,
    steps: u64,
}

fn settings() -> Settings {
    Settings { retry_most: seconds(600), ..Settings::default() }
}

impl World {
    fn new(seed: u64) -> Self {
        let held = Generation::none().id();
        let reconciler = Reconciler::new(settings(), held, None, seed, Duration::ZERO);
        Self {
            now: Duration::ZERO,
            random: seed,
            boss: Generation::none(),
            wanted: held,
            parted: false,
            fails: 0,
            reconciler,
            start: 0,
            held,
            trying: None,
            mail: BTreeMap::new(),
            sent: 0,
            steps: 0,
        }
    }

    fn send(&mut self, longest: u64, mail: Mail) {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let delay = Duration::from_millis((self.random >> 33) % (longest * 1000) + 1);
        self.sent += 1;
        self.mail.insert((self.now + delay, self.sent), (self.start, mail));
    }

    fn befall(&mut self, event: &Event) {
        match event {
            Event::Wants { package, push } => {
                self.boss = generation(self.boss.number + 1, &format!("package{package}"));
                if *push {
                    self.send(3, Mail::ToMachine(Input::Pushed(self.boss.number)));
                }
            }
            Event::Restored { package } => {
                let number = self.boss.number.saturating_sub(2).max(1);
                self.boss = generation(number, &format!("package{package}"));
            }
            Event::Parted(parted) => self.parted = *parted,
            Event::Fails(times) => self.fails = *times,
            Event::Crash => {
                self.start += 1;
                let unfinished = self.trying.map(|(id, _)| id);
                let seed = self.random ^ self.start;
                self.reconciler =
                    Reconciler::new(settings(), self.held, unfinished, seed, self.now);
            }
        }
        self.wanted = self.boss.id();
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.reconciler.poll() {
            self.steps += 1;
            match output {
                Output::Pull { id } => self.send(3, Mail::Pull(id)),
                Output::Report(report) => self.send(3, Mail::Report(report)),
                Output::Work(work) => {
                    // What is written down before the work is done.
                    if let Work::Apply(generation) = &work {
                        self.trying = Some((generation.id(), false));
                    }
                    self.send(20, Mail::Done(work));
                }
            }
        }
    }

    fn arrives(&mut self, start: u64, mail: Mail) {
        let lost = self.parted && !matches!(mail, Mail::Done(_));
        if lost || start != self.start {
            return;
        }
        let input = match mail {
            Mail::ToMachine(input) => input,
            Mail::Pull(id) => {
                let result = Ok(self.boss.clone());
                return self.send(3, Mail::ToMachine(Input::Pulled { id, result }));
            }
            Mail::Report(report) => {
                if let Some((generation, trial)) = report.trying
                    && generation == self.wanted
                {
                    self.send(3, Mail::ToMachine(Input::Confirmed { generation, trial }));
                }
                return;
            }
            Mail::Done(work) => Input::Done(self.work(&work)),
        };
        self.reconciler.handle(self.now, input);
        self.drain();
    }

    fn work(&mut self, work: &Work) -> Result<Done, String> {
        if self.fails > 0 {
            self.fails -= 1;
            return Err("it fails".into());
        }
        match work {
            Work::Apply(generation) => self.trying = Some((generation.id(), true)),
            Work::Confirm(id) => {
                assert_eq!(self.trying, Some((*id, true)), "that is not on trial");
                self.held = *id;
                self.trying = None;
            }
            Work::RollBack => self.trying = None,
            Work::Check => return Ok(Done::Checked(Vec::new())),
            Work::Repair => assert_eq!(self.trying, None, "a trial is overwritten"),
        }
        Ok(Done::Well)
    }

    /// Lets time pass.
    fn run(&mut self, until: Duration) {
        loop {
            let mail = self.mail.first_key_value().map(|((at, _), _)| *at);
            let timeout = self.reconciler.poll_timeout().max(self.now);
            let next = mail.map_or(timeout, |at| at.min(timeout));
            if next > until {
                self.now = until;
                return;
            }
            self.now = next;
            self.steps += 1;
            if mail == Some(next) {
                let (_, (start, mail)) = self.mail.pop_first().expect("mail");
                self.arrives(start, mail);
            } else {
                self.reconciler.handle(self.now, Input::Tick);
                self.drain();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_lost_the_machine_comes_to_what_the_boss_said_last(
        seed: u64,
        script in prop::collection::vec((0..300u64, event()), 0..20),
    ) {
        let mut world = World::new(seed);
        world.drain();
        for (pause, event) in &script {
            let at = world.now + seconds(*pause);
            world.run(at);
            world.befall(event);
        }
        world.befall(&Event::Parted(false));
        world.fails = 0;
        let at = world.now + seconds(3600);
        world.run(at);
        prop_assert_eq!(world.held, world.wanted);
        prop_assert_eq!(world.trying, None);
        let report = world.reconciler.report();
        prop_assert_eq!(report.held, world.held);
        prop_assert_eq!(report.refused, None);
        // Nobody goes round in circles: a few steps a minute are enough.
        let minutes = at.as_secs() / 60 + 1;
        prop_assert!(world.steps < minutes * 60 + 1000, "{} in {minutes} min", world.steps);
    }
}

#[test]
fn what_was_changed_while_it_was_off_is_found_at_once() {
    let held = generation(1, "one").id();
    let now = seconds(5);
    let mut reconciler = Reconciler::new(Settings::default(), held, None, 7, now);
    let outputs: Vec<Output> = std::iter::from_fn(|| reconciler.poll()).collect();
    assert_eq!(outputs, [Output::Pull { id: 1 }, Output::Work(Work::Check)]);
}
