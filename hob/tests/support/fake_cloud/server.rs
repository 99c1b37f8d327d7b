//! The HTTP of the fake cloud: one request for each connection, and what goes wrong.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::{Answer, FakeCloud, Fault, State, Vendor};

/// A request, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the boss's prefix.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
    boss: u64,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A number from the query.
    pub(crate) fn number(&self, name: &str, default: usize) -> usize {
        self.text(name).map_or(default, |text| text.parse().unwrap())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn authorized(&self) -> bool {
        self.header("authorization") == Some(&format!("Bearer {}", FakeCloud::TOKEN))
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(state: Arc<Mutex<State>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), state) = (stream, state.clone()) else { continue };
                thread::spawn(move || {
                    // A client that has gone away is what this is about.
                    let _gone = serve(stream, &state);
                });
            }
        });
        Self { address, stop, accepting: Some(accepting) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }
}

fn read(stream: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let bad = || io::Error::other("no request");
    let method = words.next().ok_or_else(bad)?;
    let target = words.next().ok_or_else(bad)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body)?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (boss, path) = path.trim_start_matches("/boss").split_once('/').ok_or_else(bad)?;
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(key, value)| (key.to_owned(), value.replace("%2C", ","))).collect();
    Ok(Request {
        boss: boss.parse().map_err(io::Error::other)?,
        path: format!("/{path}"),
        method,
        query,
        headers,
        body: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? },
    })
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let request = read(&stream)?;
    let mut held = state.lock().unwrap();
    let state = &mut *held;
    state.catch_up();
    if request.boss <= state.dead {
        return stream.shutdown(Shutdown::Both);
    }
    state.log.push(format!("{} {}", request.method, request.path));
    let fault = state.weather.next(request.method == "DELETE");
    let answer = act(state, &request, fault);
    drop(held);
    if let Some(Fault::Silent { .. }) = fault {
        // Until the client has had enough.
        io::copy(&mut stream, &mut io::sink())?;
    }
    let Some(answer) = answer else { return stream.shutdown(Shutdown::Both) };
    let text = encoded(&answer);
    let end = if fault == Some(Fault::Torn) { text.len() - 2 } else { text.len() };
    stream.write_all(&text.as_bytes()[..end])?;
    stream.shutdown(Shutdown::Write)
}

/// Does what is asked for, or what goes wrong with it, and says what is answered.
fn act(state: &mut State, request: &Request, fault: Option<Fault>) -> Option<Answer> {
    let Some(fault) = fault else { return Some(state.perform(request)) };
    match fault {
        Fault::Torn => Some(state.perform(request)),
        Fault::Slow(time) => {
            let answer = state.perform(request);
            state.clock.advance(time);
            Some(answer)
        }
        Fault::Twice { first } => {
            let (one, two) = (state.perform(request), state.perform(request));
            Some(if first { one } else { two })
        }
        Fault::Busy(after) => Some(busy(state.vendor, after)),
        Fault::Locked => Some(match state.vendor {
            Vendor::Linode => refused(state.vendor, 400, "Linode busy."),
            Vendor::Hetzner => refused(state.vendor, 423, "locked"),
        }),
        Fault::Echo => {
            let status = [400, 422][state.vendor as usize];
            let mut body = request.body.clone();
            // From where the end of the message falls into the secret.
            if let Some((_, data)) = body["user_data"].as_str().and_then(|d| d.split_once("0600")) {
                body = data.replace('/', "\\/").into();
            }
            Some(refused(state.vendor, status, &format!("what is {body}?")))
        }
        Fault::Broken { done } => {
            if done {
                state.perform(request);
            }
            Some(broken(state.vendor))
        }
        Fault::Late(after) => {
            let due = state.now() + after;
            state.late.push((due, request.clone()));
            None
        }
        Fault::Cut { done } | Fault::Silent { done } | Fault::Killed { done } => {
            if done {
                state.perform(request);
            }
            if matches!(fault, Fault::Killed { .. }) {
                state.dead = state.dead.max(request.boss);
            }
            None
        }
    }
}

fn encoded(Answer(status, headers, body): &Answer) -> String {
    let body = body.to_string();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn refused(vendor: Vendor, status: u16, why: &str) -> Answer {
    let body = match vendor {
        Vendor::Linode => json!({ "errors": [{ "reason": why }] }),
        Vendor::Hetzner => json!({ "error": { "code": why, "message": why } }),
    };
    Answer(status, Vec::new(), body)
}

fn busy(vendor: Vendor, after: Option<u64>) -> Answer {
    let Answer(status, mut headers, body) = match vendor {
        Vendor::Linode => refused(vendor, 429, "Too many requests"),
        Vendor::Hetzner => refused(vendor, 429, "rate_limit_exceeded"),
    };
    headers.extend(after.map(|seconds| format!("Retry-After: {seconds}")));
    Answer(status, headers, body)
}

fn broken(vendor: Vendor) -> Answer {
    match vendor {
        Vendor::Linode => refused(vendor, 500, "Internal Server Error"),
        Vendor::Hetzner => refused(vendor, 500, "server_error"),
    }
}
