//! Two banks that are killed again and again while clients transfer between them.
//!
//! After each kill: what was acknowledged to a client is on both sides, no bank has heard
//! of an order that the other knows nothing of, and no money is lost or made.
//! `CRASHES=1000 cargo test -p interop-tests --test crash` kills that many times.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ocapn::netlayers::{Unix, UnixOptions};
use ocapn::{Node, Ref, Sturdyref, Value};

const NAMES: [&str; 2] = ["ada", "ben"];
const CLIENTS: usize = 4;

/// A bank's process. Killed when dropped.
struct Bank(Child);

impl Bank {
    /// Starts a bank and waits until it serves. `None` if it died before, as it was told
    /// to.
    fn start(directory: &Path, name: &str, writes: Option<u64>) -> Option<(Self, Sturdyref)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teller"));
        command.arg(directory).arg(name).args(writes.map(|writes| writes.to_string()));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let ended = child.wait().unwrap();
            assert!(writes.is_some(), "{name} does not start: {ended}");
            return None;
        }
        Some((Self(child), line.trim().parse().unwrap()))
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        let _dead_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// How far a bank has got.
#[derive(Debug)]
struct Books {
    balance: i64,
    sent: BTreeMap<String, i64>,
    received: BTreeMap<String, i64>,
}

impl Books {
    fn read(books: Value) -> Option<Self> {
        let Value::List(fields) = books else { return None };
        let [balance, sent, received] = <[Value; 3]>::try_from(fields).ok()?;
        let orders = |orders| {
            let Value::Struct(orders) = orders else { return None };
            let orders = orders.into_iter();
            orders.map(|(client, last)| Some((client.to_string(), last.as_int()?))).collect()
        };
        Some(Self { balance: balance.as_int()?, sent: orders(sent)?, received: orders(received)? })
    }

    /// What all orders up to the last ones come to.
    fn sum(orders: &BTreeMap<String, i64>) -> i64 {
        orders.values().map(|last| (1..=*last).map(|number| number % 7 + 1).sum::<i64>()).sum()
    }
}

struct World {
    directory: tempfile::TempDir,
    node: Node,
    banks: Mutex<[Option<Bank>; 2]>,
    sturdyrefs: Mutex<Vec<Sturdyref>>,
    /// The last order of each client that was acknowledged. Even ones pay from the first
    /// bank to the second, the others back.
    acknowledged: [AtomicI64; CLIENTS],
    over: AtomicBool,
}

impl World {
    async fn new() -> Arc<Self> {
        let directory = tempfile::tempdir().unwrap();
        let socket = Unix::bind(directory.path().join("client"), UnixOptions::default()).await;
        let node = Node::builder().netlayer(socket.unwrap()).start();
        let mut banks = [None, None];
        let mut sturdyrefs = Vec::new();
        for (bank, name) in banks.iter_mut().zip(NAMES) {
            let (started, sturdyref) = Bank::start(directory.path(), name, None).unwrap();
            *bank = Some(started);
            sturdyrefs.push(sturdyref);
        }
        let (banks, sturdyrefs) = (Mutex::new(banks), Mutex::new(sturdyrefs));
        let acknowledged = std::array::from_fn(|_| AtomicI64::new(0));
        let over = AtomicBool::new(false);
        Arc::new(Self { directory, node, banks, sturdyrefs, acknowledged, over })
    }

    fn restart(&self, which: usize, writes: Option<u64>) -> bool {
        let mut banks = self.banks.lock().unwrap();
        if let Some(bank) = &mut banks[which] {
            bank.kill();
        }
        let started = Bank::start(self.directory.path(), NAMES[which], writes);
        let serves = started.is_some();
        banks[which] = started.map(|(bank, sturdyref)| {
            self.sturdyrefs.lock().unwrap()[which] = sturdyref;
            bank
        });
        serves
    }

    fn sturdyref(&self, which: usize) -> Sturdyref {
        self.sturdyrefs.lock().unwrap()[which].clone()
    }

    async fn account(&self, which: usize) -> Option<Ref> {
        self.node.resolve(&self.sturdyref(which)).await.ok()
    }

    /// Has one bank know the other.
    async fn link(&self, which: usize) -> Option<Ref> {
        let account = self.account(which).await?;
        let other = self.sturdyref(1 - which);
        account.send(vec![Value::symbol("link"), other.into()]).await.ok()?;
        Some(account)
    }

    /// Gives one order after the other, each until it is acknowledged.
    async fn client(self: Arc<Self>, client: usize) {
        let mut number = 1;
        let mut account = None;
        while !self.over.load(Ordering::SeqCst) {
            let Some(bank) = &account else {
                account = self.link(client % 2).await;
                tokio::task::yield_now().await;
                continue;
            };
            let name = client.to_string();
            let order = vec![Value::symbol("pay"), name.as_str().into(), number.into()];
            match bank.send(order).await {
                Ok(Value::Int(done)) => {
                    assert_eq!(done, number);
                    self.acknowledged[client].store(number, Ordering::SeqCst);
                    number += 1;
                }
                Ok(other) => panic!("{other:?} is no answer"),
                Err(fault) => {
                    let fault = fault.to_string();
                    assert!(!fault.contains("comes"), "orders are lost: {fault}");
                    account = None;
                }
            }
        }
    }

    async fn books(&self, which: usize) -> Books {
        for _ in 0..1000 {
            let Some(account) = self.account(which).await else { continue };
            if let Ok(books) = account.send(vec![Value::symbol("audit")]).await {
                return Books::read(books).unwrap();
            }
        }
        panic!("{} does not answer", NAMES[which]);
    }

    /// What must hold at every moment at which both banks are up.
    async fn audit(&self) -> i64 {
        let acknowledged: Vec<_> =
            self.acknowledged.iter().map(|last| last.load(Ordering::SeqCst)).collect();
        let mut total = 0;
        for (to, from) in [(0, 1), (1, 0)] {
            // The sender's books are read last: they may only be further on.
            let (there, here) = (self.books(to).await, self.books(from).await);
            assert_eq!(
                there.balance,
                Books::sum(&there.received) - Books::sum(&there.sent),
                "{there:?}"
            );
            for (client, last) in &there.received {
                let sent = here.sent.get(client).copied().unwrap_or(0);
                assert!(*last <= sent, "{} heard of {client}/{last}, not of {sent}", NAMES[to]);
            }
            for client in (0..CLIENTS).filter(|client| client % 2 == from) {
                let name = client.to_string();
                for orders in [&here.sent, &there.received] {
                    let last = orders.get(&name).copied().unwrap_or(0);
                    assert!(
                        last >= acknowledged[client],
                        "{client}/{} was acknowledged and is lost",
                        acknowledged[client]
                    );
                }
            }
            total += there.balance;
        }
        total
    }

    /// Ends the clients and lets what is on its way arrive.
    async fn settle(self: &Arc<Self>, clients: Vec<tokio::task::JoinHandle<()>>) {
        self.over.store(true, Ordering::SeqCst);
        for client in clients {
            client.await.unwrap();
        }
        for client in 0..CLIENTS {
            let from = client % 2;
            let last = self.books(from).await.sent.get(&client.to_string()).copied();
            let Some(last) = last else { continue };
            let account = self.link(from).await.unwrap();
            let order = vec![Value::symbol("pay"), client.to_string().as_str().into(), last.into()];
            assert_eq!(account.send(order).await, Ok(last.into()));
        }
        assert_eq!(self.audit().await, 0, "money was lost or made");
        assert!(self.acknowledged.iter().all(|last| last.load(Ordering::SeqCst) > 0));
    }
}

fn crashes() -> u64 {
    std::env::var("CRASHES").map_or(25, |crashes| crashes.parse().unwrap())
}

/// The same numbers every time.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
    *seed >> 33
}

#[tokio::test]
async fn killed_at_random_moments() {
    let world = World::new().await;
    let clients: Vec<_> =
        (0..CLIENTS).map(|client| tokio::spawn(world.clone().client(client))).collect();
    let mut seed = 1;
    for _ in 0..crashes() {
        // A moment like any other, also while the banks are still finding each other.
        let moment = Duration::from_micros(random(&mut seed) % 30_000);
        tokio::time::sleep(moment).await;
        let which = random(&mut seed) % 3;
        for bank in 0..2 {
            if which == bank as u64 || which == 2 {
                let world = world.clone();
                let restarted = tokio::task::spawn_blocking(move || world.restart(bank, None));
                assert!(restarted.await.unwrap());
            }
        }
        world.audit().await;
    }
    world.settle(clients).await;
}

#[tokio::test]
async fn torn_at_every_write() {
    let world = World::new().await;
    let clients: Vec<_> =
        (0..CLIENTS).map(|client| tokio::spawn(world.clone().client(client))).collect();
    for write in 1..=crashes() {
        let dying = world.clone();
        let bank = usize::try_from(write % 2).unwrap();
        let serves = move || dying.restart(bank, Some(write)).then_some(dying);
        if let Some(dying) = tokio::task::spawn_blocking(serves).await.unwrap() {
            // It dies in the course of the clients' work.
            let waits = move || {
                let mut dead = dying.banks.lock().unwrap()[bank].take().unwrap();
                dead.0.wait().unwrap()
            };
            assert!(!tokio::task::spawn_blocking(waits).await.unwrap().success());
        }
        let again = world.clone();
        assert!(tokio::task::spawn_blocking(move || again.restart(bank, None)).await.unwrap());
        world.audit().await;
    }
    world.settle(clients).await;
}
