//! The smallest there is: an object that answers with what it is sent, in another node,
//! over a Unix socket.

use ocapn::netlayers::{Unix, UnixOptions};
use ocapn::{Args, Fault, Node, Reply, Turn, Value};

fn echo(_turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    Ok(Value::List(args).into())
}

async fn node(name: &str) -> Result<Node, Box<dyn std::error::Error>> {
    let socket = std::env::temp_dir().join(format!("echo-{}-{name}", std::process::id()));
    let netlayer = Unix::bind(socket, UnixOptions::default()).await?;
    Ok(Node::builder().netlayer(netlayer).start())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (far, near) = (node("far").await?, node("near").await?);
    let sturdyref = far.mint(&far.vat("echoes").spawn(echo))?;

    let echo = near.enliven(&sturdyref);
    let answer = echo.send(vec!["hello".into(), 42.into()]).await?;

    println!("{answer:?}");
    assert_eq!(answer, Value::List(vec!["hello".into(), 42.into()]));
    near.shutdown().await;
    far.shutdown().await;
    Ok(())
}
