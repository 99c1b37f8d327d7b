//! A game without a vat, a thread or an async runtime: `cargo run -p vat-runtime --example
//! game_loop`.
//!
//! The world is an [`Actormap`]. A stage ticks its sprites once for each frame, each frame
//! is drawn by peeking, and before each frame a snapshot is taken. When the ship is hit the
//! game goes back a few frames and plays on another way: the pilot tries its moves in forks
//! of the world and throws them away.

use std::collections::VecDeque;

use vat_runtime::{Actormap, Args, Behaviour, Fault, Ref, Reply, Snapshot, Turn, Value};

const WIDTH: i64 = 24;
const FRAMES: usize = 32;
/// How many frames the game can go back.
const REWIND: usize = 6;
/// How many frames ahead the pilot looks.
const LOOKAHEAD: usize = 8;

/// A method of a sprite or of the stage.
fn ask(turn: &mut Turn<'_>, of: &Ref, method: &'static str) -> Result<Value, Fault> {
    turn.call(of, vec![Value::symbol(method)])
}

fn method(args: &Args) -> &str {
    match args.first() {
        Some(Value::Symbol(name)) => name,
        _ => "",
    }
}

/// The player's ship, in the bottom row.
#[derive(Clone)]
struct Ship {
    x: i64,
    steering: i64,
}

impl Behaviour for Ship {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match method(&args) {
            "steer" => {
                let steering = args.get(1).and_then(Value::as_int).ok_or("which way?")?;
                Ok(Reply::becomes(Self { steering, ..self.clone() }))
            }
            "tick" => {
                let x = (self.x + self.steering).clamp(0, WIDTH - 1);
                Ok(Reply::become_with(Self { x, ..self.clone() }, true))
            }
            "x" => Ok(self.x.into()),
            _ => Err("a ship does no such thing".into()),
        }
    }
}

/// A rock that falls, one row for each tick, from high above.
struct Rock {
    x: i64,
    height: i64,
    drift: i64,
}

impl Behaviour for Rock {
    fn receive(&self, _turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match method(&args) {
            "tick" => {
                let x = (self.x + self.drift).rem_euclid(WIDTH);
                let fallen = Self { x, height: self.height - 1, drift: self.drift };
                let here = fallen.height >= 0;
                Ok(Reply::become_with(fallen, here))
            }
            "x" => Ok(self.x.into()),
            "height" => Ok(self.height.into()),
            _ => Err("a rock does no such thing".into()),
        }
    }
}

/// Ticks whatever is on it, lets go of what has left it, and lets rocks fall.
struct Stage {
    ship: Ref,
    rocks: Vec<Ref>,
    frame: i64,
}

impl Stage {
    fn tick(&self, turn: &mut Turn<'_>) -> Result<Reply, Fault> {
        let mut rocks = Vec::new();
        for rock in &self.rocks {
            if ask(turn, rock, "tick")? == true.into() {
                rocks.push(rock.clone());
            }
        }
        // No dice: the same program plays the same game each time.
        let drift = (self.frame % 3) - 1;
        rocks.push(turn.spawn(Rock { x: (self.frame * 7 + 3) % WIDTH, height: 7, drift }));
        ask(turn, &self.ship, "tick")?;
        let (ship, frame) = (self.ship.clone(), self.frame + 1);
        Ok(Reply::becomes(Self { ship, rocks, frame }))
    }

    fn hit(&self, turn: &mut Turn<'_>) -> Result<bool, Fault> {
        let ship = ask(turn, &self.ship, "x")?;
        for rock in &self.rocks {
            if ask(turn, rock, "height")? == 0.into() && ask(turn, rock, "x")? == ship {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn draw(&self, turn: &mut Turn<'_>) -> Result<String, Fault> {
        let hit = self.hit(turn)?;
        let mut row = vec!['.'; usize::try_from(WIDTH).unwrap_or_default()];
        let mut put = |x: Value, what: char| {
            let at = x.as_int().and_then(|x| usize::try_from(x).ok());
            if let Some(place) = at.and_then(|at| row.get_mut(at)) {
                *place = what;
            }
        };
        for rock in &self.rocks {
            // The last rows above the ship, from afar to near.
            match ask(turn, rock, "height")?.as_int() {
                Some(0) => put(ask(turn, rock, "x")?, '*'),
                Some(1) => put(ask(turn, rock, "x")?, 'o'),
                _ => {}
            }
        }
        put(ask(turn, &self.ship, "x")?, if hit { 'X' } else { 'A' });
        Ok(row.into_iter().collect())
    }
}

impl Behaviour for Stage {
    fn receive(&self, turn: &mut Turn<'_>, args: Args) -> Result<Reply, Fault> {
        match method(&args) {
            "tick" => self.tick(turn),
            "hit" => Ok(self.hit(turn)?.into()),
            "draw" => Ok(self.draw(turn)?.into()),
            _ => Err("a stage does no such thing".into()),
        }
    }
}

struct Game {
    world: Actormap,
    stage: Ref,
    ship: Ref,
    /// The last frames, to go back to.
    past: VecDeque<Snapshot>,
}

impl Game {
    fn new() -> Self {
        let world = Actormap::new();
        let ship = world.spawn(Ship { x: 10, steering: 0 });
        let stage = world.spawn(Stage { ship: ship.clone(), rocks: Vec::new(), frame: 0 });
        Self { world, stage, ship, past: VecDeque::new() }
    }

    fn steer(&self, world: &Actormap, way: i64) -> Result<(), Fault> {
        world.poke(&self.ship, vec![Value::symbol("steer"), way.into()]).map(drop)
    }

    /// One frame in a world: whether the ship survives it.
    fn tick(&self, world: &Actormap) -> Result<bool, Fault> {
        world.poke(&self.stage, vec![Value::symbol("tick")])?;
        Ok(world.peek(&self.stage, vec![Value::symbol("hit")])? != true.into())
    }

    /// How many frames the ship survives if it steers that way for one frame and then
    /// stays, in a world that nobody will hear of.
    fn what_if(&self, way: i64) -> Result<usize, Fault> {
        let world = self.world.fork()?;
        self.steer(&world, way)?;
        for frame in 0..LOOKAHEAD {
            if !self.tick(&world)? {
                return Ok(frame);
            }
            self.steer(&world, 0)?;
        }
        Ok(LOOKAHEAD)
    }

    fn look_ahead(&self) -> Result<i64, Fault> {
        let mut best = (0, 0);
        for way in [0, -1, 1] {
            let frames = self.what_if(way)?;
            if frames > best.1 {
                best = (way, frames);
            }
        }
        Ok(best.0)
    }

    fn play(&mut self) -> Result<(), Fault> {
        let (mut frame, mut careful) = (0, false);
        while frame < FRAMES {
            if self.past.len() == REWIND {
                self.past.pop_front();
            }
            self.past.push_back(self.world.snapshot()?);
            let way = if careful { self.look_ahead()? } else { 0 };
            self.steer(&self.world, way)?;
            let alive = self.tick(&self.world)?;
            frame += 1;
            let drawn = self.world.peek(&self.stage, vec![Value::symbol("draw")])?;
            println!("{frame:3} {}", drawn.as_str().unwrap_or_default());
            if !alive {
                let back = self.past.len();
                let Some(then) = self.past.pop_front() else { return Ok(()) };
                self.past.clear();
                self.world.restore(&then)?;
                frame -= back;
                println!("    hit! back {back} frames, and the pilot looks ahead from now on");
                careful = true;
            }
        }
        println!("{} sprites are left", self.world.len());
        Ok(())
    }
}

fn main() -> Result<(), Fault> {
    Game::new().play()
}
