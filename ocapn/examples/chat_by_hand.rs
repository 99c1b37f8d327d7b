//! The chat room of `chat` without macros: messages are made and taken apart by hand. It
//! is what the macros generate, but for errors that say what was wrong with an argument.

use std::collections::BTreeMap;

use ocapn::netlayers::{Identity, TcpOptions, TcpTls};
use ocapn::{Args, Behaviour, Fault, Node, Promise, Ref, Reply, Turn, Value};
use tokio::sync::mpsc;

/// The method's name and its arguments.
fn message(method: &'static str, args: impl IntoIterator<Item = Value>) -> Args {
    std::iter::once(Value::symbol(method)).chain(args).collect()
}

fn text(value: &Value) -> Result<String, Fault> {
    value.as_str().map(str::to_owned).ok_or_else(|| "expected a string".into())
}

fn reference(value: &Value) -> Result<Ref, Fault> {
    value.as_ref().cloned().ok_or_else(|| "expected a reference".into())
}

/// `['room name]`: the room of a name; the first who asks for it makes it.
#[derive(Clone, Default)]
struct Den {
    rooms: BTreeMap<String, Ref>,
}

impl Behaviour for Den {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match args.as_slice() {
            [Value::Symbol(method), name] if method == "room" => {
                let name = text(name)?;
                if let Some(room) = self.rooms.get(&name) {
                    return Ok(Reply::value(room.clone()));
                }
                let floor = turn.spawn(Floor::default());
                let room = turn.spawn(Door { floor });
                let mut next = self.clone();
                next.rooms.insert(name, room.clone());
                Ok(Reply::become_with(next, room))
            }
            _ => Err("a lobby has room".into()),
        }
    }
}

/// `['join nick listener]`: takes a seat, and has the listener told what is said.
struct Door {
    floor: Ref,
}

impl Behaviour for Door {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match args.as_slice() {
            [Value::Symbol(method), nick, listener] if method == "join" => {
                turn.call(&self.floor, message("add", [nick.clone(), listener.clone()]))?;
                let chair = Chair { nick: text(nick)?, floor: self.floor.clone() };
                Ok(Reply::value(turn.spawn(chair)))
            }
            _ => Err("a room has join".into()),
        }
    }
}

/// `['add nick listener]`, `['tell line]`: the room as its seats see it.
#[derive(Clone, Default)]
struct Floor {
    listeners: BTreeMap<String, Ref>,
}

impl Behaviour for Floor {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match args.as_slice() {
            [Value::Symbol(method), nick, listener] if method == "add" => {
                let nick = text(nick)?;
                if self.listeners.contains_key(&nick) {
                    return Err(format!("{nick} is here already").into());
                }
                let mut next = self.clone();
                next.listeners.insert(nick, reference(listener)?);
                Ok(Reply::becomes(next))
            }
            [Value::Symbol(method), line] if method == "tell" => {
                for listener in self.listeners.values() {
                    turn.send_only(listener, message("hear", [line.clone()]));
                }
                Ok(Reply::value(self.listeners.len() as u64))
            }
            _ => Err("a floor has add and tell".into()),
        }
    }
}

/// `['say text]`: says something, and tells how many will hear it.
struct Chair {
    nick: String,
    floor: Ref,
}

impl Behaviour for Chair {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match args.as_slice() {
            [Value::Symbol(method), said] if method == "say" => {
                let line = Value::Struct(vec![
                    ("nick".into(), self.nick.as_str().into()),
                    ("text".into(), text(said)?.into()),
                ]);
                turn.call(&self.floor, message("tell", [line])).map(Reply::value)
            }
            _ => Err("a seat has say".into()),
        }
    }
}

/// `['hear line]`: hands what it hears to the program.
struct Ear(mpsc::UnboundedSender<(String, String)>);

impl Behaviour for Ear {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match args.as_slice() {
            [Value::Symbol(method), Value::Struct(line)] if method == "hear" => {
                let field = |name: &str| {
                    let found = line.iter().find(|(field, _)| field == name);
                    found.map_or_else(|| Err("a field is missing".into()), |(_, value)| text(value))
                };
                let _nobody_listens_any_more = self.0.send((field("nick")?, field("text")?));
                Ok(Reply::value(()))
            }
            _ => Err("a listener has hear".into()),
        }
    }
}

fn room(lobby: &Ref, name: &str) -> Promise {
    lobby.send(message("room", [name.into()]))
}

fn join(room: &Ref, nick: &str, listener: &Ref) -> Promise {
    room.send(message("join", [nick.into(), listener.into()]))
}

async fn say(seat: &Ref, said: &str) -> Result<i64, Fault> {
    let answer = seat.send(message("say", [said.into()])).await?;
    answer.as_int().ok_or_else(|| "expected an integer".into())
}

async fn node() -> Result<Node, Box<dyn std::error::Error>> {
    let tls = TcpTls::bind("127.0.0.1:0", Identity::generate()?, TcpOptions::default()).await?;
    Ok(Node::builder().netlayer(tls).start())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (host, ada, ben) = (node().await?, node().await?, node().await?);
    let lobby = host.vat("lobby").spawn(Den::default());
    let sturdyref = host.mint(&lobby)?;

    let (sender, mut heard) = mpsc::unbounded_channel();
    let listener = ada.vat("ada").spawn(Ear(sender));
    let lobby = ada.enliven(&sturdyref);
    // Four messages on their way before the first answer is: connecting, the room, the
    // seat, what is said.
    let seat = join(&room(&lobby, "tea"), "ada", &listener);
    assert_eq!(say(&seat, "Is anybody here?").await?, 1); // the only wait

    let (sender, _) = mpsc::unbounded_channel();
    let listener = ben.vat("ben").spawn(Ear(sender));
    let room = room(&ben.enliven(&sturdyref), "tea");
    let refused = join(&room, "ada", &listener).await.unwrap_err();
    assert_eq!(refused.to_string(), "ada is here already");
    let listeners = say(&join(&room, "ben", &listener), "I am.").await?;
    assert_eq!(listeners, 2);

    for expected in ["ada: Is anybody here?", "ben: I am."] {
        let (nick, text) = heard.recv().await.ok_or("nothing to hear")?;
        println!("{nick}: {text}");
        assert_eq!(format!("{nick}: {text}"), expected);
    }
    Ok(())
}
