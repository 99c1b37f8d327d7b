//! Promise pipelining: three calls, each of what the one before will give, and one wait.
//!
//! A depot makes workshops, a workshop makes cars, a car drives. Nothing waits for the
//! depot to answer before the workshop is asked, nor for the workshop before the car:
//! all three messages are on their way before the first answer is.

use ocapn::netlayers::{Identity, TcpOptions, TcpTls};
use ocapn::{Args, Fault, Node, Reply, Turn};

// Closures and functions are behaviours too: these three never change.

fn depot(turn: &mut Turn<'_>, _args: Args) -> Result<Reply, Fault> {
    Ok(turn.spawn(workshop).into())
}

fn workshop(turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
    let colour = args.first().and_then(|colour| colour.as_symbol()).ok_or("which colour?")?;
    let sound = format!("Vroom! I am a {colour} car!");
    let car = move |_turn: &mut Turn<'_>, _args: Args| Ok(Reply::value(sound.as_str()));
    Ok(turn.spawn(car).into())
}

async fn node() -> Result<Node, Box<dyn std::error::Error>> {
    let tls = TcpTls::bind("127.0.0.1:0", Identity::generate()?, TcpOptions::default()).await?;
    Ok(Node::builder().netlayer(tls).start())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (far, near) = (node().await?, node().await?);
    let depot = far.vat("depots").spawn(depot);
    let depot = near.enliven(&far.mint(&depot)?);

    let workshop = depot.send(vec![]);
    let car = workshop.send(vec![ocapn::Value::symbol("red")]);
    let sound = car.send(vec![]).await?; // the only wait

    assert_eq!(sound.as_str(), Some("Vroom! I am a red car!"));
    println!("{}", sound.as_str().unwrap_or_default());
    near.shutdown().await;
    far.shutdown().await;
    Ok(())
}
