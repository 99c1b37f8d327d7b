//! Makes a script that fails as small as it gets.

use super::run;
use super::script::{Line, Script, Spec};

/// A smaller script that fails, too, with what it fails with. Runs at most `tries`
/// scripts.
#[must_use]
pub fn shrink(script: &Script, tries: usize) -> (Script, String) {
    let mut shrinker = Shrinker { best: script.clone(), failure: String::new(), left: tries };
    let Some(failure) = run(script, false).failure else {
        return (script.clone(), String::new());
    };
    shrinker.failure = failure;
    loop {
        let before = shrinker.best.clone();
        shrinker.fewer_lines();
        shrinker.simpler_world();
        shrinker.simpler_lines();
        if shrinker.best == before || shrinker.left == 0 {
            return (shrinker.best, shrinker.failure);
        }
    }
}

struct Shrinker {
    best: Script,
    failure: String,
    left: usize,
}

impl Shrinker {
    /// Takes the script if it fails in the same kind of way.
    fn take(&mut self, script: Script) -> bool {
        if self.left == 0 || script == self.best {
            return false;
        }
        self.left -= 1;
        match run(&script, false).failure {
            Some(failure) if kind(&failure) == kind(&self.failure) => {
                self.best = script;
                self.failure = failure;
                true
            }
            _ => false,
        }
    }

    fn fewer_lines(&mut self) {
        let mut size = (self.best.lines.len() / 2).max(1);
        loop {
            let mut from = 0;
            while from < self.best.lines.len() {
                let mut script = self.best.clone();
                let to = (from + size).min(script.lines.len());
                script.lines.drain(from..to);
                if !self.take(script) {
                    from += size;
                }
            }
            if size == 1 || self.left == 0 {
                return;
            }
            size = (size / 2).max(1);
        }
    }

    fn simpler_world(&mut self) {
        let spec = self.best.spec.clone();
        let worlds = [
            Spec { peers: spec.peers.saturating_sub(1).max(2), ..spec.clone() },
            Spec { delay: 1, ..spec.clone() },
            Spec { delay: spec.delay / 10 + 1, ..spec.clone() },
            Spec { chunks: false, ..spec.clone() },
            Spec { wall: false, ..spec.clone() },
            Spec { inline: true, ..spec.clone() },
            Spec { give_promises: false, ..spec.clone() },
            Spec { proof: super::script::Proof::Both, ..spec.clone() },
            Spec { seed: 0, ..spec },
        ];
        for world in worlds {
            let mut with = self.best.spec.clone();
            with.clone_from(&world);
            let script = Script { spec: with, lines: self.best.lines.clone() };
            self.take(script);
        }
    }

    fn simpler_lines(&mut self) {
        for at in 0..self.best.lines.len() {
            for line in simpler(&self.best.lines[at]) {
                let mut script = self.best.clone();
                script.lines[at] = line;
                self.take(script);
            }
        }
    }
}

/// Ways in which a line could be simpler.
fn simpler(line: &Line) -> Vec<Line> {
    use super::script::{Arg, Op};
    let with = |op: Op| Line { op, ..line.clone() };
    let mut lines = Vec::new();
    if line.after > 0 {
        lines.push(Line { after: 0, ..line.clone() });
        lines.push(Line { after: line.after / 2, ..line.clone() });
    }
    match &line.op {
        Op::Send(send) => {
            let mut change = |f: &dyn Fn(&mut super::script::Send)| {
                let mut simple = send.clone();
                f(&mut simple);
                if simple != *send {
                    lines.push(with(Op::Send(simple)));
                }
            };
            change(&|send| send.then = None);
            change(&|send| send.args.clear());
            change(&|send| send.args.truncate(1));
            change(&|send| {
                if let [Arg::List(inner)] = &send.args[..] {
                    send.args = inner.clone();
                }
            });
            change(&|send| {
                if !send.args.is_empty() {
                    send.args.remove(0);
                }
            });
            change(&|send| send.reply = Arg::Int(1));
            change(&|send| send.want = false);
            change(&|send| send.to %= 24);
            change(&|send| send.to = 0);
        }
        Op::Drop { var } if *var > 0 => lines.push(with(Op::Drop { var: 0 })),
        Op::Listen { var } if *var > 0 => lines.push(with(Op::Listen { var: 0 })),
        Op::Resolve { which, with: arg } if *which > 0 => {
            lines.push(with(Op::Resolve { which: 0, with: arg.clone() }));
        }
        _ => {}
    }
    lines
}

/// What kind of failure it is: its words, without the numbers.
fn kind(failure: &str) -> String {
    let line = failure.lines().next().unwrap_or_default();
    line.chars().filter(|char| !char.is_ascii_digit()).take(24).collect()
}
