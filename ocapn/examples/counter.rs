//! Two nodes in one program: one calls an object of the other's over tcp-tls. The
//! README shows the same program.

use ocapn::netlayers::{Identity, TcpOptions, TcpTls};
use ocapn::{Args, Behaviour, Fault, Node, Reply, Sturdyref, Turn, Value};

struct Counter(i64);

impl Behaviour for Counter {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        let count = self.0 + args.first().and_then(Value::as_int).ok_or("how many?")?;
        Ok(Reply::become_with(Counter(count), count))
    }
}

async fn node() -> Result<Node, Box<dyn std::error::Error>> {
    let tls = TcpTls::bind("127.0.0.1:0", Identity::generate()?, TcpOptions::default()).await?;
    Ok(Node::builder().netlayer(tls).start())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, client) = (node().await?, node().await?);
    let object = server.vat("counters").spawn(Counter(0));
    let uri = server.mint(&object)?.reveal_uri(); // a secret: who has it may call
    let counter = client.enliven(&uri.parse::<Sturdyref>()?); // usable before it is there
    counter.send_only(vec![5.into()]);
    let count = counter.send(vec![10.into()]).await?;
    assert_eq!(count, Value::Int(15));
    println!("counted to {count:?}");
    Ok(())
}
