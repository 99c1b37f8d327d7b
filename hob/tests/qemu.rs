//! Virtual machines: the provider `qemu` with real ones.
//!
//! They need `qemu-system-x86_64`; those that boot Linux also the test guest's kernel,
//! which `interop-tests/guest/kernel.sh` gets, and what `initrd.sh` there needs.

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use hob::providers::qemu::{Qemu, QemuSettings};
use hob::providers::{Enrolment, FleetId, Key, Order, Provider as _};
use ocapn::netlayers::{Unix, UnixOptions};
use ocapn::{Node, Sturdyref, Value};
use support::{Done, Place, Server, skipped};
use tempfile::TempDir;

/// How long a machine may take to do something: many times what it takes.
const PATIENCE: Duration = Duration::from_secs(400);
/// The first file system of the test guest, once it is made.
static INITRD: OnceLock<PathBuf> = OnceLock::new();
/// How often is looked.
const LOOK: Duration = Duration::from_millis(50);

fn step(_: &str) {}

fn order(name: &str, fleet: &FleetId, enrolment: &str) -> Order {
    Order {
        name: name.to_owned(),
        key: Key::random().unwrap(),
        fleet: fleet.clone(),
        enrolment: Enrolment::new(enrolment),
        spec: serde_json::Map::new(),
    }
}

/// Whether a program is here; else that is why the test is skipped.
fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    let found = command.arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skipped(&format!("there is no {program}"));
    }
    found
}

/// Machines that are destroyed in any case.
struct Machines {
    qemu: Qemu,
    directory: TempDir,
    fleet: FleetId,
    orders: Vec<Order>,
}

impl Machines {
    /// None of them yet.
    fn new(settings: &str) -> Self {
        // Commas mean something to QEMU.
        let directory = tempfile::Builder::new().prefix("hob-test,").tempdir().unwrap();
        let qemu = qemu(settings, directory.path());
        Self { qemu, directory, fleet: FleetId::random().unwrap(), orders: Vec::new() }
    }

    fn order(&mut self, name: &str, enrolment: &str) -> Order {
        let order = order(name, &self.fleet, enrolment);
        self.orders.push(order.clone());
        order
    }

    fn entries(&self) -> usize {
        fs::read_dir(self.directory.path()).unwrap().count()
    }

    fn pid(&self, order: &Order) -> u32 {
        self.qemu.process(&order.key).unwrap().unwrap()
    }

    /// Reads the console until something is on it, and gives all of it.
    fn console_until(&self, order: &Order, wanted: &str) -> String {
        let (mut text, until) = (String::new(), Instant::now() + PATIENCE);
        while !text.contains(wanted) {
            assert!(Instant::now() < until, "no {wanted:?} on the console:\n{text}");
            std::thread::sleep(LOOK);
            text += &self.qemu.console(&order.key).unwrap();
        }
        text
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for order in &self.orders {
            if let Err(error) = self.qemu.destroy(&order.target()) {
                eprintln!("{} may still be there: {error}", order.name);
            }
        }
    }
}

fn qemu(settings: &str, directory: &Path) -> Qemu {
    let settings: QemuSettings = toml::from_str(settings).unwrap();
    Qemu::new(settings, directory).unwrap()
}

fn alive(pid: u32) -> bool {
    // One that has ended may stay in the table for a while, with nothing left of it.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The session of a process.
fn session(pid: &str) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned()
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// A disk that writes `hi` to the serial line when it is booted, and halts.
fn boot_disk() -> Vec<u8> {
    let mut disk = vec![0; 1024 * 1024];
    // mov dx, 0x3f8; mov al, 'h'; out dx, al; mov al, 'i'; out dx, al; hlt; jmp $-1
    let code = b"\xba\xf8\x03\xb0h\xee\xb0i\xee\xf4\xeb\xfd";
    disk[..code.len()].copy_from_slice(code);
    disk[510..512].copy_from_slice(b"\x55\xaa");
    disk
}

const TCG: &str = "accelerator = 'tcg'\ncpu = 'qemu64'\nmemory = '64M'\nargs = ['-S']\n";

#[test]
fn machines_are_made_once_listed_and_removed() {
    if !has("qemu-system-x86_64") {
        return;
    }
    let place = Place::new();
    fs::write(place.path("image"), boot_disk()).unwrap();
    let settings = format!("{TCG}image = {:?}\n", place.path("image"));
    let mut machines = Machines::new(&settings);
    let (db, app) = (machines.order("db", "ocapn://a.b/s/one"), machines.order("app", "ocapn://c"));
    let other = order("db", &FleetId::random().unwrap(), "ocapn://d");
    machines.orders.push(other.clone());

    let made = machines.qemu.create(&db, &step).unwrap();
    let pid = machines.pid(&db);
    machines.qemu.create(&app, &step).unwrap();
    machines.qemu.create(&other, &step).unwrap();
    // Another boss, after the first was killed.
    let later = qemu(&settings, machines.directory.path());
    assert_eq!(later.create(&db, &step), Ok(made.clone()));
    assert_eq!(machines.pid(&db), pid);
    let mut listed = later.list(&machines.fleet).unwrap();
    assert_eq!(listed.len(), 2);
    listed.retain(|instance| *instance == made);
    assert_eq!(listed.len(), 1);

    // It is in another session, and nothing secret among its arguments.
    assert_ne!(session(&pid.to_string()), session("self"));
    for file in ["cmdline", "environ"] {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        assert!(!text.contains("ocapn://"), "{text}");
    }

    machines.qemu.destroy(&db.target()).unwrap();
    machines.qemu.destroy(&db.target()).unwrap();
    assert!(!alive(pid));
    assert_eq!(later.list(&machines.fleet).unwrap().len(), 1);
    machines.qemu.destroy(&app.target()).unwrap();
    assert_eq!(later.list(&machines.fleet), Ok(vec![]));
    machines.qemu.destroy(&other.target()).unwrap();
    assert_eq!(machines.entries(), 0);
}

#[test]
fn a_machine_that_does_not_end_is_ended() {
    if !has("qemu-system-x86_64") {
        return;
    }
    let mut machines = Machines::new(&format!("{TCG}kernel = '/dev/null'\n"));
    let order = machines.order("db", "ocapn://a");
    // What has no kernel in it is refused by QEMU, and nothing of the machine stays.
    let error = machines.qemu.create(&order, &step).unwrap_err();
    assert!(error.why.contains("/dev/null"), "{error}");
    assert_eq!(machines.entries(), 0);

    let place = Place::new();
    fs::write(place.path("image"), boot_disk()).unwrap();
    machines.qemu =
        qemu(&format!("{TCG}image = {:?}", place.path("image")), machines.directory.path());
    machines.qemu.create(&order, &step).unwrap();
    let pid = machines.pid(&order);
    kill("-STOP", pid);
    machines.qemu.destroy(&order.target()).unwrap();
    assert!(!alive(pid));
    assert_eq!(machines.entries(), 0);
}

#[test]
fn an_image_is_copied_and_booted_and_its_port_stays() {
    if !has("qemu-system-x86_64") {
        return;
    }
    let place = Place::new();
    fs::write(place.path("image"), boot_disk()).unwrap();
    let settings = format!("{}image = {:?}", TCG.replace("'-S'", ""), place.path("image"));
    let mut machines = Machines::new(&settings);
    let mut order = machines.order("db", "ocapn://a");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    order.spec.insert("host-port".to_owned(), port.into());
    let error = machines.qemu.create(&order, &step).unwrap_err();
    assert!(error.temporary && error.why.contains(&port.to_string()), "{error}");
    assert_eq!(machines.entries(), 0);
    drop(taken);
    let made = machines.qemu.create(&order, &step).unwrap();
    assert_eq!(made.address, Some(format!("127.0.0.1:{port}")));
    machines.console_until(&order, "hi");
    machines.qemu.reset(&order.key).unwrap();
    machines.console_until(&order, "hi");

    // What it has written is there when it is started again, whatever the image is by now.
    kill("-KILL", machines.pid(&order));
    while machines.qemu.process(&order.key).unwrap().is_some() {
        std::thread::sleep(LOOK);
    }
    fs::write(place.path("image"), vec![0; 512]).unwrap();
    assert_eq!(machines.qemu.create(&order, &step), Ok(made.clone()));
    machines.console_until(&order, "hi");
    // A machine that has run loses nothing because it can't be started just now.
    kill("-KILL", machines.pid(&order));
    while machines.qemu.process(&order.key).unwrap().is_some() {
        std::thread::sleep(LOOK);
    }
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let error = machines.qemu.create(&order, &step).unwrap_err();
    assert!(error.temporary && error.why.contains(&port.to_string()), "{error}");
    drop(taken);
    assert_eq!(machines.qemu.create(&order, &step), Ok(made));
    machines.console_until(&order, "hi");
}

/// The settings with which the test guest is booted.
fn guest() -> Option<String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop-tests/guest");
    let kernel = target.parent().unwrap().join("guest");
    if !kernel.join("vmlinuz").exists() {
        skipped("no kernel for the guest: run interop-tests/guest/kernel.sh");
        return None;
    }
    if !["qemu-system-x86_64", "busybox", "cpio"].into_iter().all(has) {
        return None;
    }
    let initrd = INITRD.get_or_init(|| {
        let initrd = target.join("guest-initrd");
        let mut make = Command::new(scripts.join("initrd.sh"));
        let made = make.arg(env!("CARGO_BIN_EXE_hob")).args([&initrd, &kernel]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        initrd
    });
    let kernel = kernel.join("vmlinuz");
    Some(format!(
        "accelerator = 'tcg'\ncpu = 'qemu64'\nmemory = '256M'\n\
         kernel = {kernel:?}\ninitrd = {initrd:?}\nstate-disk = 64\n\
         append = 'console=ttyS0 quiet nokaslr mitigations=off no_timer_check tsc=reliable'\n\
         install = {{ present = '/bin/hob' }}\n"
    ))
}

/// A boss that is reached from machines.
struct Boss {
    place: Place,
    words: String,
    server: Option<Server>,
    runtime: tokio::runtime::Runtime,
}

impl Boss {
    /// One with this in its config file.
    fn start(config: &str) -> Self {
        let place = Place::new();
        place.write("hob.toml", 0o600, config);
        // In a machine this host is 10.0.2.2, and its port has to be known beforehand.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let words = format!(
            "boss --config hob.toml --state boss --listen tcp-tls:127.0.0.1:{port} \
             --public-address 10.0.2.2:{port}"
        );
        let server = Some(place.serve(&words));
        Self { place, words, server, runtime: tokio::runtime::Runtime::new().unwrap() }
    }

    fn call(&self, words: &str) -> Done {
        self.place.hob(&format!("call --file boss/boss.cap {words}"))
    }

    /// Makes a machine that is to be enrolled, and gives its enrolment.
    fn enrolment(&self, name: &str) -> String {
        self.call(&format!("create-machine \"{name}\"")).with(0);
        self.call(&format!("--cap-out enrol.cap token \"{name}\"")).with(0);
        self.place.read("enrol.cap").trim().to_owned()
    }

    /// Asks until the machine answers what is bound in it, with nothing.
    fn until_it_answers(&self, name: &str) {
        let cap: Sturdyref = self.place.read("boss/boss.cap").trim().parse().unwrap();
        let socket = tempfile::Builder::new().prefix("hob-test-").tempdir().unwrap();
        let ask = async {
            let unix = Unix::bind(socket.path().join("sock"), UnixOptions::default()).await;
            let node = Node::builder().netlayer(unix.unwrap()).start();
            let boss = node.resolve(&cap).await.unwrap();
            loop {
                let found = boss.send(vec![Value::symbol("get-machine"), name.into()]).await;
                let Ok(Value::Ref(machine)) = found else { panic!("{found:?}") };
                match machine.send(vec![Value::symbol("list-bindings")]).await {
                    Ok(bindings) => break assert_eq!(bindings, Value::List(vec![])),
                    // It has not registered yet, or the session has gone with its reboot.
                    Err(_) => tokio::time::sleep(LOOK).await,
                }
            }
            node.shutdown().await;
        };
        let answered = async { tokio::time::timeout(PATIENCE, ask).await };
        self.runtime.block_on(answered).expect("the machine answers");
    }
}

#[test]
fn a_machine_boots_joins_comes_back_and_goes() {
    let Some(settings) = guest() else { return };
    let mut machines = Machines::new(&settings);
    let boss = Boss::start("");
    let order = machines.order("app", &boss.enrolment("app"));
    let start = Instant::now();
    let made = machines.qemu.create(&order, &step).unwrap();
    boss.until_it_answers("app");
    println!("from the order to the answer: {:.1} s", start.elapsed().as_secs_f64());
    let console = machines.console_until(&order, "guest: ready");
    assert!(console.contains("guest: new instance"), "{console}");
    assert!(!console.contains(order.enrolment.reveal()), "{console}");
    let identity = identity(&console);

    // A reboot keeps its disk, and so its identity and what it is in the fleet.
    let start = Instant::now();
    machines.qemu.reset(&order.key).unwrap();
    let console = machines.console_until(&order, "guest: ready");
    assert!(console.contains("guest: known instance"), "{console}");
    assert_eq!(self::identity(&console), identity);
    println!("from the reset to `ready`: {:.1} s", start.elapsed().as_secs_f64());
    boss.until_it_answers("app");
    println!("from the reset to the answer: {:.1} s", start.elapsed().as_secs_f64());

    // As does a machine that is made anew after it has died.
    kill("-KILL", machines.pid(&order));
    while machines.qemu.process(&order.key).unwrap().is_some() {
        std::thread::sleep(LOOK);
    }
    assert_eq!(machines.qemu.create(&order, &step), Ok(made.clone()));
    let console = machines.console_until(&order, "guest: ready");
    assert_eq!(self::identity(&console), identity);
    boss.until_it_answers("app");

    let (pid, address) = (machines.pid(&order), made.address.unwrap());
    assert!(TcpStream::connect(&address).is_ok(), "it is reached at {address}");
    machines.qemu.destroy(&order.target()).unwrap();
    assert!(!alive(pid));
    assert!(TcpStream::connect(&address).is_err(), "nothing is reached at {address}");
    assert_eq!(machines.entries(), 0);
}

/// What the guest says of its identity.
fn identity(console: &str) -> String {
    let line = console.lines().find_map(|line| line.split_once("guest: identity "));
    line.expect("an identity").1.trim().to_owned()
}

/// What a boss has made with its provider `qemu`, removed in any case.
struct Made(Qemu, PathBuf);

impl Made {
    /// The keys of the machines.
    fn keys(&self) -> Vec<Key> {
        let entries = self.1.read_dir().into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for key in self.keys() {
            let mut order = order("app", &FleetId::random().unwrap(), "");
            order.key = key;
            if let Err(error) = self.0.destroy(&order.target()) {
                eprintln!("a machine may still be there: {error}");
            }
        }
    }
}

#[test]
fn a_boss_that_is_killed_while_its_machine_boots_finds_it_again() {
    let Some(settings) = guest() else { return };
    let mut boss = Boss::start(&format!("[providers.qemu]\n{settings}"));
    let directory = boss.place.path("boss/providers/qemu");
    let made = Made(qemu(&settings, &directory), directory);
    boss.call("create-machine app qemu").with(0);
    let until = Instant::now() + PATIENCE;
    let runs = |key: &Key| made.0.process(key).unwrap().is_some();
    while !made.keys().iter().any(runs) {
        assert!(Instant::now() < until, "no machine is made");
        std::thread::sleep(LOOK);
    }
    boss.server.take().unwrap().end("-KILL");
    boss.server = Some(boss.place.serve(&boss.words));
    boss.until_it_answers("app");
    assert_eq!(made.keys().len(), 1);
    boss.call("destroy-machine app").with(0);
    while made.1.read_dir().unwrap().count() > 0 {
        assert!(Instant::now() < until, "the machine is not removed");
        std::thread::sleep(LOOK);
    }
}
