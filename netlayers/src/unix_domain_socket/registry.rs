//! Who is with an introduction server, and the sockets that wait for them.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A socket that waits for a peer, and the record that goes before it.
pub(super) struct Introduction {
    pub(super) from: String,
    pub(super) record: Vec<u8>,
    pub(super) socket: OwnedFd,
    /// How long it waits for a peer that is not here; `None` is for ever.
    pub(super) until: Option<Instant>,
}

/// What is known of the peers. Sockets that can't wait, or no longer, are closed: their
/// other ends then hear that nobody is there.
pub(super) struct Registry {
    /// Peers that are here, and what tells each that a socket waits.
    present: HashMap<String, Arc<Notify>>,
    /// Peers that are about to prove who they are: by how many clients.
    coming: HashMap<String, usize>,
    waiting: HashMap<String, VecDeque<Introduction>>,
    /// How many wait, by who sent them.
    sent: HashMap<String, usize>,
    total: usize,
    max_clients: usize,
    max_waiting: usize,
    max_waiting_each: usize,
}

impl Registry {
    pub(super) fn new(max_clients: usize, max_waiting: usize, max_waiting_each: usize) -> Self {
        Self {
            present: HashMap::new(),
            coming: HashMap::new(),
            waiting: HashMap::new(),
            sent: HashMap::new(),
            total: 0,
            max_clients,
            max_waiting,
            max_waiting_each,
        }
    }

    /// Whether there is room for this peer, and it is not here yet.
    pub(super) fn has_room_for(&self, peer: &str) -> bool {
        self.present.len() < self.max_clients && !self.present.contains_key(peer)
    }

    /// A client says that it is this peer, and has yet to prove it. When it has, it
    /// expects to be here without being told, so what is for it waits already.
    pub(super) fn expect(&mut self, peer: &str) {
        *self.coming.entry(peer.to_owned()).or_default() += 1;
    }

    /// That client has proven it, or not.
    pub(super) fn expect_no_more(&mut self, peer: &str) {
        if let Some(count) = self.coming.get_mut(peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.coming.remove(peer);
            }
        }
    }

    /// The peer is here from now on.
    pub(super) fn enter(&mut self, peer: &str) -> Option<Arc<Notify>> {
        if !self.has_room_for(peer) {
            return None;
        }
        let notify = Arc::new(Notify::new());
        self.present.insert(peer.to_owned(), Arc::clone(&notify));
        Some(notify)
    }

    /// The peer has gone. What waits for it goes on waiting.
    pub(super) fn leave(&mut self, peer: &str) {
        self.present.remove(peer);
    }

    /// Lets a socket wait for a peer, and says whether it may.
    pub(super) fn post(&mut self, to: String, introduction: Introduction, now: Instant) -> bool {
        let sent = self.sent.get(&introduction.from).copied().unwrap_or_default();
        let late = introduction.until.is_some_and(|until| until <= now);
        if late && !self.present.contains_key(&to) && !self.coming.contains_key(&to) {
            return false;
        }
        if self.total >= self.max_waiting || sent >= self.max_waiting_each {
            return false;
        }
        self.total += 1;
        self.sent.insert(introduction.from.clone(), sent + 1);
        if let Some(notify) = self.present.get(&to) {
            notify.notify_one();
        }
        self.waiting.entry(to).or_default().push_back(introduction);
        true
    }

    /// The next socket that waits for this peer.
    pub(super) fn next(&mut self, to: &str) -> Option<Introduction> {
        let queue = self.waiting.get_mut(to)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(to);
        }
        if let Some(next) = &next {
            self.forget(&next.from.clone());
        }
        next
    }

    /// Closes the sockets that have waited long enough for somebody who is not here. Who
    /// is here and takes nothing is cut off elsewhere.
    pub(super) fn sweep(&mut self, now: Instant) {
        let mut gone = Vec::new();
        self.waiting.retain(|to, queue| {
            if self.present.contains_key(to) || self.coming.contains_key(to) {
                return true;
            }
            queue.retain(|waits| {
                let stays = waits.until.is_none_or(|until| now < until);
                if !stays {
                    gone.push(waits.from.clone());
                }
                stays
            });
            !queue.is_empty()
        });
        for from in gone {
            self.forget(&from);
        }
    }

    fn forget(&mut self, from: &str) {
        self.total = self.total.saturating_sub(1);
        if let Some(sent) = self.sent.get_mut(from) {
            *sent = sent.saturating_sub(1);
            if *sent == 0 {
                self.sent.remove(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn introduction(from: &str, until: Option<Instant>) -> (UnixStream, Introduction) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (from, socket) = (from.to_owned(), theirs.into());
        (ours, Introduction { from, record: Vec::new(), socket, until })
    }

    fn is_closed(mut socket: &UnixStream) -> bool {
        matches!(socket.read(&mut [0]), Ok(0))
    }

    #[test]
    fn more_than_may_wait_are_closed() {
        let mut registry = Registry::new(9, 3, 2);
        let post = |registry: &mut Registry, from: &str, to: &str| {
            let (ours, introduction) = introduction(from, None);
            let room = registry.post(to.to_owned(), introduction, Instant::now());
            assert_eq!(room, !is_closed(&ours));
            (room, ours)
        };
        let first = post(&mut registry, "ada", "x");
        let second = post(&mut registry, "ada", "y");
        assert!(first.0 && second.0);
        assert!(!post(&mut registry, "ada", "z").0, "ada has two");
        let third = post(&mut registry, "ben", "x");
        assert!(third.0);
        assert!(!post(&mut registry, "cleo", "x").0, "three wait");
        // Those that are fetched make room.
        assert_eq!(registry.next("x").unwrap().from, "ada");
        assert!(post(&mut registry, "ada", "x").0);
        assert_eq!(registry.next("x").unwrap().from, "ben");
        assert_eq!(registry.next("x").unwrap().from, "ada");
        assert!(registry.next("x").is_none());
        assert_eq!(registry.total, 1);
        assert_eq!(registry.waiting.len(), 1);
        assert_eq!(registry.sent.len(), 1);
    }

    #[test]
    fn who_waits_too_long_is_closed() {
        let now = Instant::now();
        let soon = now + Duration::from_secs(1);
        let mut registry = Registry::new(9, 3, 3);
        let (short, introduction_short) = introduction("ada", Some(soon));
        let (long, introduction_long) = introduction("ada", None);
        assert!(registry.post("x".into(), introduction_short, now));
        assert!(registry.post("x".into(), introduction_long, now));
        registry.sweep(now);
        assert!(!is_closed(&short));
        // For one who is here it waits.
        registry.enter("x").unwrap();
        registry.sweep(soon);
        assert!(!is_closed(&short));
        registry.leave("x");
        registry.expect("x");
        registry.sweep(soon);
        assert!(!is_closed(&short));
        registry.expect_no_more("x");
        registry.sweep(soon);
        assert!(is_closed(&short) && !is_closed(&long));
        assert_eq!((registry.total, registry.sent["ada"]), (1, 1));
        let (late, introduction_late) = introduction("ada", Some(now));
        assert!(!registry.post("x".into(), introduction_late, now));
        assert!(is_closed(&late));
    }

    #[test]
    fn a_name_is_had_by_one_at_a_time_and_there_is_room_for_so_many() {
        let mut registry = Registry::new(2, 1, 1);
        let ada = registry.enter("ada").unwrap();
        assert!(registry.enter("ada").is_none());
        assert!(registry.enter("ben").is_some());
        assert!(registry.enter("cleo").is_none(), "two are here");
        registry.leave("ada");
        assert!(registry.enter("ada").is_some());
        drop(ada);
    }
}
