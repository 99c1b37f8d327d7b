//! Scripts made from a seed.

use super::rng::Rng;
use super::script::{Arg, Line, Op, Proof, SLOTS, Script, Send, Spec};

/// The script of a seed, of `steps` operations, or of a number that the seed decides.
#[must_use]
pub fn generate(seed: u64, steps: Option<usize>) -> Script {
    let rng = &mut Rng::new(seed ^ 0x005e_ed0f_1a2b);
    let peers = rng.pick(&[2, 2, 3, 3, 3, 4, 4, 5, 6]);
    let spec = Spec {
        peers,
        proof: rng.pick(&[Proof::Both, Proof::Both, Proof::Dialled, Proof::Claims]),
        give_promises: rng.percent(50),
        inline: rng.percent(50),
        delay: rng.pick(&[100, 1_000, 10_000, 200_000]),
        chunks: rng.percent(50),
        wall: rng.percent(15),
        seed: rng.next(),
    };
    // Most worlds are free of faults, so that nothing may be lost in them at all.
    let faults = if rng.percent(40) { rng.pick(&[1, 3, 8]) } else { 0 };
    let mut author = Author { peers, faults, gap: spec.delay * rng.pick(&[0, 1, 2, 4]) / 2 };
    let count = steps.unwrap_or_else(|| rng.pick(&[12, 40, 120, 400, 1000]));
    let mut lines = Vec::with_capacity(count + 2 * peers);
    for peer in 0..peers {
        let op = author.enliven(rng, peer);
        lines.push(Line { after: rng.below(author.gap), peer, op });
    }
    for _ in 0..count {
        let after = if rng.percent(50) { 0 } else { rng.below(author.gap + 1) };
        let peer = rng.below(peers as u64) as usize;
        let op = author.op(rng, peer);
        lines.push(Line { after, peer, op });
    }
    Script { spec, lines }
}

struct Author {
    peers: usize,
    /// How many operations in a hundred are faults.
    faults: u64,
    gap: u64,
}

impl Author {
    fn enliven(&mut self, rng: &mut Rng, peer: usize) -> Op {
        let at = (peer + 1 + rng.below(self.peers as u64 - 1) as usize) % self.peers;
        Op::Enliven { at, slot: rng.below(SLOTS as u64) as usize }
    }

    fn op(&mut self, rng: &mut Rng, peer: usize) -> Op {
        if rng.percent(self.faults) {
            return self.fault(rng);
        }
        let var = rng.below(1000) as usize;
        match rng.below(100) {
            0..60 => Op::Send(self.send(rng)),
            60..68 => Op::Promise,
            68..78 => Op::Resolve { which: rng.below(100) as usize, with: self.resolution(rng) },
            78..88 => Op::Drop { var },
            88..92 => Op::Listen { var },
            92..97 => self.enliven(rng, peer),
            97 => Op::Mint { slot: rng.below(SLOTS as u64) as usize },
            98 => Op::Revoke { slot: rng.below(SLOTS as u64) as usize },
            _ if rng.percent(20) => Op::Settle,
            _ => Op::Enliven { at: peer, slot: 0 },
        }
    }

    fn fault(&mut self, rng: &mut Rng) -> Op {
        let time = rng.below(self.gap * 20 + 1000);
        match rng.below(10) {
            0..4 => Op::Cut { conn: rng.below(100) as usize },
            4..6 => Op::Close { link: rng.below(100) as usize },
            6 => Op::Crash { back: time },
            7 => Op::Part { other: rng.below(self.peers as u64) as usize, time },
            _ => Op::Refuse { time },
        }
    }

    fn send(&mut self, rng: &mut Rng) -> Send {
        let args = (0..rng.pick(&[0, 1, 1, 2, 3])).map(|_| self.arg(rng, 0)).collect();
        let reply = match rng.below(10) {
            0..3 => Arg::Nth(rng.below(3) as usize),
            3 => Arg::Me,
            4 => Arg::Promise,
            5 => Arg::Break,
            6 => Arg::Int(rng.below(100) as i64),
            _ => self.arg(rng, 0),
        };
        let then = rng.percent(15).then(|| {
            let arg = if rng.percent(50) { Arg::Nth(0) } else { self.arg(rng, 1) };
            (rng.below(1000) as usize, arg)
        });
        Send { to: recent(rng), args, want: rng.percent(60), reply, then }
    }

    fn arg(&mut self, rng: &mut Rng, depth: usize) -> Arg {
        match rng.below(20) {
            0..11 => Arg::Var(recent(rng)),
            11..14 => Arg::New,
            14..16 => Arg::Promise,
            16..18 if depth < 3 => {
                let one = self.arg(rng, depth + 1);
                // The same thing twice in a message.
                Arg::List(vec![one.clone(), self.arg(rng, depth + 1), one])
            }
            _ => Arg::Int(rng.below(100) as i64),
        }
    }

    fn resolution(&mut self, rng: &mut Rng) -> Arg {
        match rng.below(10) {
            0..7 => Arg::Var(recent(rng)),
            7 => Arg::New,
            8 => Arg::Int(rng.below(100) as i64),
            _ => Arg::Break,
        }
    }
}

/// A variable's number, counted from the newest: half the time one of the last few.
fn recent(rng: &mut Rng) -> usize {
    if rng.percent(50) { rng.below(4) as usize } else { rng.below(1000) as usize }
}
