//! Sturdyrefs in three steps: one that ends with its process, one that does not, and one
//! that is taken back.

use std::path::Path;

use ocapn::netlayers::{Unix, UnixOptions};
use ocapn::persist::{Environment, Redb, Store};
use ocapn::{Become, Durable, Node, object};

/// Counts. What is derived says how it is stored: by its fields.
#[derive(Clone, Default, Durable)]
struct Counter {
    count: i64,
}

#[object(reference = CounterRef)]
impl Counter {
    #[method]
    fn add(&self, by: i64) -> Become<Self, i64> {
        let count = self.count + by;
        Become::new(Self { count }).and(count)
    }
}

/// A node with a store in a directory. Each time it is started it is the same to others.
async fn node(directory: &Path) -> Result<Node, Box<dyn std::error::Error>> {
    let socket = Unix::bind(directory.join("socket"), UnixOptions::default()).await?;
    let store = Store::open(Redb::open(directory.join("store"))?)?;
    Ok(Node::builder().netlayer(socket).start_durable(&store)?)
}

async fn end(node: Node) -> Result<(), Box<dyn std::error::Error>> {
    node.shutdown().await;
    if let Some(store) = node.store() {
        store.close()?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let socket = Unix::bind(directory.path().join("client"), UnixOptions::default()).await?;
    let client = Node::builder().netlayer(socket).start();
    let mut kinds = Environment::new();
    kinds.kind::<Counter>("counter")?;

    let server = node(directory.path()).await?;
    // 1. Ephemeral: an actor of an ordinary vat, until the process ends.
    let ephemeral = server.mint(&server.vat("memory").spawn(Counter::default()))?;
    // 2. Persistent: an actor of a vat in the store.
    let vat = server.open_vat("counters", &kinds)?;
    let persistent = server.mint(&vat.spawn(Counter::default()))?;
    for sturdyref in [&ephemeral, &persistent] {
        let counter = CounterRef::from(client.enliven(sturdyref));
        assert_eq!(counter.add(1).await?, 1);
    }
    drop(vat);
    end(server).await?;

    let server = node(directory.path()).await?;
    let _vat = server.open_vat("counters", &kinds)?;
    assert!(client.resolve(&ephemeral).await.is_err());
    let counter = CounterRef::from(client.enliven(&persistent));
    assert_eq!(counter.add(1).await?, 2);
    println!("after a restart the persistent counter goes on, and the ephemeral one is gone");

    // 3. Revoked: nobody can enliven it any more, also after the next restart.
    server.revoke(&persistent.swiss);
    assert!(client.resolve(&persistent).await.is_err());
    assert_eq!(counter.add(1).await?, 3, "who has it already keeps it while connected");
    println!("revoked: it can't be enlivened, but live references go on");
    client.shutdown().await;
    end(server).await
}
