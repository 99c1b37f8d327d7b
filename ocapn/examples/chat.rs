//! A chat room with typed interfaces: a lobby gives rooms, a room gives seats, and who
//! has a seat may speak. Three nodes over tcp-tls. `chat_by_hand` is the same program
//! without macros; either can talk to the other.

use std::collections::BTreeMap;

use ocapn::netlayers::{Identity, TcpOptions, TcpTls};
use ocapn::{Fault, Node, Passable, Turn, interface, object};
use tokio::sync::mpsc;

/// Where rooms are found.
#[interface]
trait Lobby {
    /// The room of a name; the first who asks for it makes it.
    fn room(&mut self, turn: &mut Turn<'_>, name: String) -> RoomRef;
}

/// Where people talk.
#[interface]
trait Room {
    /// Takes a seat. What is said in the room is told to the listener.
    fn join(
        &self,
        turn: &mut Turn<'_>,
        nick: String,
        listener: ListenerRef,
    ) -> Result<SeatRef, Fault>;
}

/// The right to speak in a room, under one name.
#[interface]
trait Seat {
    /// Says something, and tells how many will hear it.
    fn say(&self, turn: &mut Turn<'_>, text: String) -> Result<usize, Fault>;
}

/// Who is told what is said.
#[interface]
trait Listener {
    /// Hears a line.
    fn hear(&self, line: Line);
}

/// Something that was said.
#[derive(Passable, Clone, Debug, PartialEq)]
struct Line {
    nick: String,
    text: String,
}

#[derive(Clone, Default)]
struct Den {
    rooms: BTreeMap<String, RoomRef>,
}

#[object]
impl Lobby for Den {
    fn room(&mut self, turn: &mut Turn<'_>, name: String) -> RoomRef {
        let make = || {
            let floor = FloorRef::spawn(turn, Floor::default());
            RoomRef::spawn(turn, Door { floor })
        };
        self.rooms.entry(name).or_insert_with(make).clone()
    }
}

/// The room as its guests see it: they can come in, and not speak for others.
struct Door {
    floor: FloorRef,
}

#[object]
impl Room for Door {
    fn join(
        &self,
        turn: &mut Turn<'_>,
        nick: String,
        listener: ListenerRef,
    ) -> Result<SeatRef, Fault> {
        self.floor.call(turn).add(&nick, listener)?;
        Ok(SeatRef::spawn(turn, Chair { nick, floor: self.floor.clone() }))
    }
}

/// The room as its seats see it.
#[derive(Clone, Default)]
struct Floor {
    listeners: BTreeMap<String, ListenerRef>,
}

#[object(reference = FloorRef)]
impl Floor {
    #[method]
    fn add(&mut self, nick: String, listener: ListenerRef) -> Result<(), Fault> {
        if self.listeners.contains_key(&nick) {
            return Err(format!("{nick} is here already").into());
        }
        self.listeners.insert(nick, listener);
        Ok(())
    }

    #[method]
    fn tell(&self, turn: &mut Turn<'_>, line: Line) -> usize {
        for listener in self.listeners.values() {
            listener.send_only(turn).hear(line.clone());
        }
        self.listeners.len()
    }
}

struct Chair {
    nick: String,
    floor: FloorRef,
}

#[object]
impl Seat for Chair {
    fn say(&self, turn: &mut Turn<'_>, text: String) -> Result<usize, Fault> {
        self.floor.call(turn).tell(Line { nick: self.nick.clone(), text })
    }
}

/// Hands what it hears to the program.
struct Ear(mpsc::UnboundedSender<Line>);

#[object]
impl Listener for Ear {
    fn hear(&self, line: Line) {
        let _nobody_listens_any_more = self.0.send(line);
    }
}

async fn node() -> Result<Node, Box<dyn std::error::Error>> {
    let tls = TcpTls::bind("127.0.0.1:0", Identity::generate()?, TcpOptions::default()).await?;
    Ok(Node::builder().netlayer(tls).start())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (host, ada, ben) = (node().await?, node().await?, node().await?);
    let lobby = LobbyRef::spawn_in(&host.vat("lobby"), Den::default());
    let sturdyref = host.mint(lobby.untyped())?;

    let (sender, mut heard) = mpsc::unbounded_channel();
    let listener = ListenerRef::spawn_in(&ada.vat("ada"), Ear(sender));
    let lobby = LobbyRef::from(ada.enliven(&sturdyref));
    // Four messages on their way before the first answer is: connecting, the room, the
    // seat, what is said.
    let seat = lobby.room("tea").cap().join("ada", listener).cap();
    assert_eq!(seat.say("Is anybody here?").await?, 1); // the only wait

    let (sender, _) = mpsc::unbounded_channel();
    let listener = ListenerRef::spawn_in(&ben.vat("ben"), Ear(sender));
    let room = LobbyRef::from(ben.enliven(&sturdyref)).room("tea").cap();
    let refused = room.join("ada", listener.clone()).await.unwrap_err();
    assert_eq!(refused.to_string(), "ada is here already");
    let listeners = room.join("ben", listener).cap().say("I am.").await?;
    assert_eq!(listeners, 2);

    for expected in ["ada: Is anybody here?", "ben: I am."] {
        let Line { nick, text } = heard.recv().await.ok_or("nothing to hear")?;
        println!("{nick}: {text}");
        assert_eq!(format!("{nick}: {text}"), expected);
    }
    print!("{}", RoomRef::DESCRIPTION.describe());
    Ok(())
}
