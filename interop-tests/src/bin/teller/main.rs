//! A bank in a process that may be killed at any moment, for `tests/crash.rs`.
//!
//! ```text
//! teller DIRECTORY NAME [WRITES]
//! ```
//!
//! Opens the bank of that directory, or makes one, prints the sturdyref of its account,
//! and serves until it is killed. With WRITES it kills itself in the middle of that
//! write to its store, counted from 1, half of which is then done.

mod account;
mod disk;

use std::error::Error;
use std::path::PathBuf;

use ocapn::netlayers::{Unix, UnixOptions};
use ocapn::persist::{Environment, Redb, Store};
use ocapn::{Node, SwissNum};

use crate::account::Account;
use crate::disk::Dying;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let directory = PathBuf::from(args.next().ok_or("a directory is wanted")?);
    let name = args.next().ok_or("a name is wanted")?;
    let writes = args.next().map(|writes| writes.parse()).transpose()?;
    let disk = Dying::open(&directory.join(format!("{name}.redb")), writes)?;
    let store = Store::open(Redb::on_storage(disk)?)?;
    let socket = directory.join(format!("{name}.sock"));
    let socket = Unix::bind(socket, UnixOptions::default()).await?;
    let node = Node::builder().netlayer(socket).start_durable(&store)?;
    let mut environment = Environment::new();
    let with = node.clone();
    let restore = move |portrait| Account::restore(with.clone(), portrait);
    environment.kind_with("account", 1, Account::portray, restore)?;
    let vat = node.open_vat("bank", &environment)?;
    let account = vat.root_or_spawn("account", || Account::new(node.clone()))?;
    let sturdyref = node.mint_with(&account, SwissNum::from_entropy([7; 32]))?;
    node.durable().await?;
    println!("{}", sturdyref.reveal_uri());
    std::future::pending().await
}
