//! The providers of Linode and Hetzner against a cloud that goes wrong in every way it
//! can: there is never a machine too many, or too few.

#[path = "support/fake_cloud/mod.rs"]
mod fake_cloud;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fake_cloud::{Dice, FakeCloud, Fault, LATEST, Machine, TestClock, Vendor, Weather};
use hob::providers::cloud::hetzner::Hetzner;
use hob::providers::cloud::http::Clock as _;
use hob::providers::cloud::linode::Linode;
use hob::providers::{
    Context, Enrolment, FleetId, Instance, Order, Progress, Provider, ProviderError, provider,
};
use serde_json::{Map, json};
use tempfile::TempDir;

const VENDORS: [Vendor; 2] = [Vendor::Linode, Vendor::Hetzner];

/// A cloud, and what its bosses have.
struct World {
    cloud: FakeCloud,
    clock: Arc<TestClock>,
    vendor: Vendor,
    fleet: FleetId,
    dice: Dice,
    directory: TempDir,
    boss: u64,
}

impl World {
    fn new(vendor: Vendor, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let clock = TestClock::seeded(seed);
        let directory = tempfile::tempdir().unwrap();
        write_token(directory.path(), FakeCloud::TOKEN, 0o600);
        Self {
            cloud: FakeCloud::start(vendor, clock.clone()),
            clock,
            vendor,
            fleet: dice.mark(),
            dice,
            directory,
            boss: 0,
        }
    }

    /// The provider of a new boss, as the one before was killed; with more settings.
    fn provider_with(&mut self, more: &str) -> Result<Box<dyn Provider>, ProviderError> {
        self.cloud.kill(self.boss);
        self.boss += 1;
        let settings = format!(
            "base-url = \"{}\"\ntoken-file = \"{}\"\nimage = \"debian\"\n\
             install = {{ present = \"/usr/bin/hob\" }}\n",
            self.cloud.url(self.boss),
            self.directory.path().join("token").display(),
        );
        let clock = self.clock.clone();
        Ok(match self.vendor {
            Vendor::Linode => {
                let own = format!("{settings}region = \"nl-ams\"\ntype = \"g6-nanode-1\"\n{more}");
                Box::new(Linode::with_clock(toml::from_str(&own).unwrap(), clock)?)
            }
            Vendor::Hetzner => {
                let own = format!("{settings}location = \"nbg1\"\nserver-type = \"cx22\"\n{more}");
                Box::new(Hetzner::with_clock(toml::from_str(&own).unwrap(), clock)?)
            }
        })
    }

    fn provider(&mut self) -> Box<dyn Provider> {
        self.provider_with("").unwrap()
    }

    fn order(&mut self, name: &str) -> Order {
        Order {
            name: name.to_owned(),
            key: self.dice.mark(),
            fleet: self.fleet.clone(),
            enrolment: Enrolment::new(format!("ocapn://boss.tcp-tls/s/secret-of-{name}")),
            spec: Map::new(),
        }
    }

    /// What a boss does that is killed again and again, and asks again each time.
    fn insist<T>(&mut self, ask: impl Fn(&dyn Provider) -> Result<T, ProviderError>) -> T {
        for _ in 0..300 {
            let provider = self.provider();
            match ask(&*provider) {
                Ok(answer) => return answer,
                Err(error) => assert!(error.temporary, "{error}"),
            }
            let pause = self.dice.below(20);
            self.clock.advance(Duration::from_secs(pause));
        }
        panic!("it never works");
    }

    fn marks(&self, order: &Order) -> [String; 2] {
        match self.vendor {
            Vendor::Linode => {
                [format!("hob-key-{}", order.key), format!("hob-fleet-{}", order.fleet)]
            }
            Vendor::Hetzner => {
                [format!("hob-key={}", order.key), format!("hob-fleet={}", order.fleet)]
            }
        }
    }

    /// The ids of the order's machines that there really are.
    fn alive(&self, order: &Order) -> Vec<u64> {
        let marks = self.marks(order);
        let alive = self.cloud.state().alive();
        let ours = |machine: &&Machine| marks.iter().all(|mark| machine.marks.contains(mark));
        alive.iter().filter(ours).map(|machine| machine.id).collect()
    }

    fn requests(&self, method: &str) -> usize {
        let state = self.cloud.state();
        state.log.iter().filter(|line| line.starts_with(method)).count()
    }
}

fn write_token(directory: &Path, token: &str, mode: u32) {
    let path = directory.join("token");
    fs::write(&path, format!("{token}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn quiet() -> impl Progress {
    |_: &str| {}
}

fn id(instance: &Instance) -> u64 {
    instance.id.parse().unwrap()
}

#[test]
fn a_machine_is_made_with_its_user_data_listed_and_removed() {
    for vendor in VENDORS {
        let mut world = World::new(vendor, 1);
        let order = world.order("db");
        let provider = world.provider();
        let made = provider.create(&order, &quiet()).unwrap();
        assert_eq!(made.key, order.key.as_str());
        assert!(made.address.is_some());
        let alive = world.cloud.state().alive();
        assert_eq!(alive.len(), 1);
        assert!(alive[0].user_data.starts_with("#cloud-config\n"), "{vendor:?}");
        assert!(alive[0].user_data.contains("/s/secret-of-db"));
        assert!(alive[0].name.starts_with("hob-db-"), "{}", alive[0].name);

        assert_eq!(provider.create(&order, &quiet()), Ok(made.clone()));
        assert_eq!(provider.list(&order.fleet), Ok(vec![made]));
        assert_eq!(provider.list(&world.dice.mark()), Ok(vec![]));
        assert_eq!(world.requests("POST"), 1);

        provider.destroy(&order.target()).unwrap();
        provider.destroy(&order.target()).unwrap();
        assert!(world.alive(&order).is_empty());
        assert_eq!(provider.list(&order.fleet), Ok(vec![]));
    }
}

/// The story of one seed: some orders, of which some are destroyed before they are there.
fn live_through(vendor: Vendor, seed: u64) {
    let mut world = World::new(vendor, seed);
    let percent = world.dice.below(60);
    {
        let mut state = world.cloud.state();
        state.weather = Weather::Bad { percent, dice: Dice::new(!seed) };
        // Hetzner documents that names are unique; Linode does not.
        state.unique_names = vendor == Vendor::Hetzner || seed.is_multiple_of(2);
        if world.dice.chance(50) {
            state.lag = LATEST.mul_f64(world.dice.below(100) as f64 / 100.0);
        }
    }
    let foreign: FleetId = world.dice.mark();
    let theirs = Order { fleet: foreign, ..world.order("theirs") };
    let [key, fleet] = world.marks(&theirs);
    let others = [Machine::new("somebody-s", &[]), Machine::new("theirs", &[&key, &fleet])];
    let others = others.map(|machine| world.cloud.state().add(machine));

    let orders = ["a", "7--b", "a-very-long-name-that-does-not-fit-into-what-clouds-take-as-one"]
        .map(|name| world.order(name));
    let mut made = BTreeMap::new();
    for order in &orders {
        if world.dice.chance(20) {
            // Given up before anybody knows what became of it.
            let provider = world.provider();
            let _unknown = provider.create(order, &quiet());
            world.insist(|provider| provider.destroy(&order.target()));
            assert!(world.alive(order).is_empty(), "given up");
        }
        let instance = world.insist(|provider| provider.create(order, &quiet()));
        assert_eq!(world.alive(order), [id(&instance)], "made");
        made.insert(order.key.clone(), instance);
    }
    for order in &orders {
        // Asked for once more, it is the same.
        let instance = world.insist(|provider| provider.create(order, &quiet()));
        assert_eq!(made.get(&order.key), Some(&instance));
    }
    let mut listed = world.insist(|provider| provider.list(&orders[0].fleet));
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(listed, made.values().cloned().collect::<Vec<_>>());
    for order in &orders {
        world.insist(|provider| provider.destroy(&order.target()));
        assert!(world.alive(order).is_empty(), "destroyed");
    }
    let left: Vec<u64> = world.cloud.state().alive().iter().map(|machine| machine.id).collect();
    assert_eq!(left, others);
}

#[test]
fn whatever_goes_wrong_there_is_one_machine_for_each_order_and_none_after_it() {
    const SEEDS: u64 = 300;
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    for vendor in VENDORS {
                        let lived = std::panic::catch_unwind(|| live_through(vendor, seed));
                        assert!(lived.is_ok(), "{vendor:?}, seed {seed}: see above");
                    }
                }
            });
        }
    });
}

#[test]
fn of_two_machines_the_older_stays() {
    for vendor in VENDORS {
        let mut world = World::new(vendor, 2);
        let order = world.order("db");
        let [key, fleet] = world.marks(&order);
        let older = world.cloud.state().add(Machine::new("one", &[&key, &fleet]));
        world.clock.advance(Duration::from_secs(5));
        world.cloud.state().add(Machine::new("two", &[&fleet, &key]));
        let found = world.provider().create(&order, &quiet()).unwrap();
        assert_eq!((id(&found), world.alive(&order)), (older, vec![older]));
    }
}

#[test]
fn machines_without_all_the_marks_are_left_alone_even_if_the_cloud_lists_them() {
    for vendor in VENDORS {
        let mut world = World::new(vendor, 3);
        let order = world.order("db");
        let other = world.order("other");
        let foreign = Order { fleet: world.dice.mark(), ..order.clone() };
        let [key, fleet] = world.marks(&order);
        let sets = [vec![], vec![key], vec![fleet], world.marks(&foreign).to_vec()];
        for marks in &sets {
            let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
            world.cloud.state().add(Machine::new("somebody-s", &marks));
        }
        world.cloud.state().ignores_filters = true;
        let provider = world.provider();
        let made = provider.create(&order, &quiet()).unwrap();
        let second = provider.create(&other, &quiet()).unwrap();
        assert_eq!(world.alive(&order), [id(&made)]);
        let listed = provider.list(&order.fleet).unwrap();
        assert_eq!(listed, [made, second.clone()]);
        provider.destroy(&order.target()).unwrap();
        assert_eq!(world.alive(&other), [id(&second)]);
        assert_eq!(world.cloud.state().alive().len(), sets.len() + 1);
    }
}

#[test]
fn a_list_has_all_its_pages() {
    for (vendor, count) in [(Vendor::Linode, 1201), (Vendor::Hetzner, 101)] {
        let mut world = World::new(vendor, 4);
        let mut keys = Vec::new();
        for _ in 0..count {
            let order = world.order("db");
            let [key, fleet] = world.marks(&order);
            world.cloud.state().add(Machine::new("db", &[&key, &fleet]));
            keys.push(order.key.to_string());
        }
        let fleet = world.fleet.clone();
        let listed = world.provider().list(&fleet).unwrap();
        let mut listed: Vec<String> = listed.into_iter().map(|instance| instance.key).collect();
        listed.sort();
        keys.sort();
        assert!(listed == keys, "{} of {count}", listed.len());
        assert_eq!(world.requests("GET"), 3);
    }
}

#[test]
fn the_cloud_says_when_to_ask_again() {
    for vendor in VENDORS {
        let mut world = World::new(vendor, 5);
        let order = world.order("db");
        let busy = |seconds| Some(Fault::Busy(Some(seconds)));
        world.cloud.state().weather = Weather::Script(vec![busy(40), None, busy(50)]);
        world.provider().create(&order, &quiet()).unwrap();
        let waited = world.clock.now().as_secs();
        assert!((90..90 + 2 + 10).contains(&waited), "{waited} s");
        assert_eq!((world.requests("POST"), world.alive(&order).len()), (2, 1));

        // Longer than there is patience for: then it is the boss's turn to wait.
        world.cloud.state().weather = Weather::Script(vec![busy(3600)]);
        let before = world.clock.now();
        let error = world.provider().destroy(&order.target()).unwrap_err();
        assert!(error.temporary && error.why.contains("429"), "{error}");
        assert_eq!(world.clock.now(), before);
    }
}

#[test]
fn patience_ends() {
    for vendor in VENDORS {
        let mut world = World::new(vendor, 6);
        let order = world.order("db");
        let broken = vec![Some(Fault::Broken { done: false }); 1000];
        world.cloud.state().weather = Weather::Script(broken);
        let provider = world.provider_with("limits = { patience = \"100s\" }").unwrap();
        let error = provider.create(&order, &quiet()).unwrap_err();
        assert!(error.temporary && error.why.contains("500"), "{error}");
        assert!(world.clock.now() <= Duration::from_secs(100));
        let requests = world.requests("GET");
        // Less and less often.
        assert!((5..15).contains(&requests), "{requests} requests in 100 s");
    }
}

#[test]
fn what_the_api_says_is_passed_on_and_the_token_is_not() {
    for vendor in VENDORS {
        let mut world = World::new(vendor, 7);
        let order = world.order("db");
        write_token(world.directory.path(), "another-token", 0o600);
        let error = world.provider().create(&order, &quiet()).unwrap_err();
        let said = [("Linode", "Invalid Token"), ("Hetzner", "unauthorized: unable to")];
        let (name, why) = said[vendor as usize];
        assert!(!error.temporary, "{error}");
        assert!(error.why.starts_with(name) && error.why.contains(why), "{error}");
        assert!(!error.why.contains("another-token"), "{error}");
        assert_eq!(world.requests("POST"), 0);

        // The token is read anew each time.
        let provider = world.provider();
        write_token(world.directory.path(), FakeCloud::TOKEN, 0o600);
        provider.create(&order, &quiet()).unwrap();

        for mode in [0o640, 0o604] {
            write_token(world.directory.path(), FakeCloud::TOKEN, mode);
            let error = provider.list(&order.fleet).unwrap_err();
            assert!(!error.temporary && error.why.contains("chmod 600"), "{error}");
        }
        for text in ["", "two words", "two\nlines", &"x".repeat(5000)] {
            write_token(world.directory.path(), text, 0o600);
            let error = provider.list(&order.fleet).unwrap_err();
            assert!(!error.temporary && error.why.contains("one token"), "{error}");
        }
        fs::remove_file(world.directory.path().join("token")).unwrap();
        assert!(!provider.list(&order.fleet).unwrap_err().temporary);
    }
}

#[test]
fn no_secret_comes_back_in_a_message() {
    for vendor in VENDORS {
        // The message is cut off at a length, so the secret is put at many places.
        for length in 0..300 {
            let mut world = World::new(vendor, 12);
            let uri = format!("ocapn://{}.tcp-tls/s/secret-of-db", "b".repeat(length));
            let order = Order { enrolment: Enrolment::new(uri), ..world.order("db") };
            world.cloud.state().weather = Weather::Script(vec![None, Some(Fault::Echo)]);
            let error = world.provider().create(&order, &quiet()).unwrap_err();
            assert!(!error.temporary && error.why.contains("what is"), "{error}");
            for secret in ["secret-of", "I2Nsb3Vk", FakeCloud::TOKEN, "aZ7-"] {
                assert!(!error.why.contains(secret), "{error}");
            }
        }
    }
}

#[test]
fn a_lasting_refusal_is_not_asked_for_again() {
    for vendor in VENDORS {
        let mut world = World::new(vendor, 8);
        let mut order = world.order("db");
        let own = [("region", "type"), ("location", "server-type")][vendor as usize];
        order.spec.insert(own.0.to_owned(), json!("elsewhere"));
        order.spec.insert(own.1.to_owned(), json!("large"));
        world.provider().create(&order, &quiet()).unwrap();

        let mut odd = world.order("odd");
        odd.spec.insert("colour".to_owned(), json!("green"));
        let error = world.provider().create(&odd, &quiet()).unwrap_err();
        assert!(!error.temporary && error.why.contains("colour"), "{error}");

        // More than either cloud takes as user data.
        let uri = format!("ocapn://a.b/s/{}", "c".repeat(60_000));
        let large = Order { enrolment: Enrolment::new(uri), ..world.order("large") };
        let error = world.provider().create(&large, &quiet()).unwrap_err();
        assert!(!error.temporary && error.why.contains("bytes"), "{error}");

        // A name that somebody else has taken: the provider can only wait.
        let taken = world.order("taken");
        let name = format!("hob-taken-{}", &taken.key.as_str()[..16]);
        world.cloud.state().add(Machine::new(&name, &[]));
        let before = world.requests("POST");
        let error = world.provider().create(&taken, &quiet()).unwrap_err();
        assert!(error.temporary && error.why.contains("unique"), "{error}");
        assert_eq!(world.requests("POST"), before + 1);
    }
}

#[test]
fn an_answer_that_is_too_large_or_never_comes_is_a_lost_one() {
    for vendor in VENDORS {
        let mut world = World::new(vendor, 9);
        let order = world.order("db");
        for done in [false, true] {
            let script = vec![Some(Fault::Silent { done }), None, Some(Fault::Silent { done })];
            world.cloud.state().weather = Weather::Script(script);
            let provider = world.provider_with("limits = { request = \"200ms\" }").unwrap();
            provider.create(&order, &quiet()).unwrap();
            assert_eq!(world.alive(&order).len(), 1);
            world.provider().destroy(&order.target()).unwrap();
        }
        let [key, fleet] = world.marks(&order);
        world.cloud.state().add(Machine::new("db", &[&key, &fleet]));
        let limits = "limits = { response-bytes = 100, patience = \"9s\" }";
        let error = world.provider_with(limits).unwrap().list(&order.fleet).unwrap_err();
        assert!(error.temporary && error.why.contains("breaks off"), "{error}");
        assert_eq!(world.provider().list(&order.fleet).unwrap().len(), 1);
    }
}

#[test]
fn settings_with_which_no_machine_could_be_made_are_refused() {
    let good = "token-file = \"token\"\nimage = \"debian\"\nlocation = \"nbg1\"\n\
                server-type = \"cx22\"\ninstall = { present = \"/usr/bin/hob\" }\n";
    let context = Context { state: PathBuf::from("/nowhere"), program: PathBuf::from("hob") };
    let kind = |more: &str| {
        let table = toml::from_str(&format!("kind = \"hetzner\"\n{good}{more}\n")).unwrap();
        provider("cloud", table, &context).map(|_provider| ())
    };
    assert_eq!(kind(""), Ok(()));
    for base in ["http://api.example.org/v1", "ftp://127.0.0.1", "127.0.0.1", "/v1", ""] {
        let error = kind(&format!("base-url = {base:?}")).unwrap_err();
        assert!(error.why.contains("base-url"), "{error}");
    }
    for more in [
        "port = 0",
        "colour = \"green\"",
        "limits = { patience = \"0s\" }",
        "limits = { request = 30 }",
        "limits = { impatience = \"1s\" }",
    ] {
        assert!(kind(more).is_err(), "{more}");
    }
}

#[test]
fn what_was_done_though_its_answer_was_lost_is_not_asked_for_again() {
    for vendor in VENDORS {
        for fault in [Fault::Broken { done: true }, Fault::Cut { done: true }, Fault::Torn] {
            let mut world = World::new(vendor, 11);
            let order = world.order("db");
            {
                let mut state = world.cloud.state();
                state.weather = Weather::Script(vec![None, Some(fault)]);
                state.lag = LATEST;
            }
            let made = world.provider().create(&order, &quiet()).unwrap();
            assert_eq!(world.alive(&order), [id(&made)]);
            assert_eq!(world.requests("POST"), 1, "{vendor:?} {fault:?}");
        }
    }
}
