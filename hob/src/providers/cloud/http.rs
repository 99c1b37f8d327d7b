//! A small client for the JSON APIs of clouds: tokens, deadlines, and when to ask again.
//!
//! What only reads or removes is asked again until the deadline: after an answer that says
//! when (`Retry-After`), after an error of the server's, after a lost connection. What
//! makes something is sent once, and the caller is told whether nothing was done or nobody
//! knows, see `Failed`.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use ureq::http::{Method, Request, Response, StatusCode, header};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use crate::providers::{ProviderError, Span};

/// More than any token has.
const MAX_TOKEN_BYTES: u64 = 4096;
/// As much of an API's own message as is passed on, in characters.
const MAX_MESSAGE: usize = 300;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The time, for deadlines and pauses; another one in tests, so that they need not wait.
pub trait Clock: Send + Sync {
    /// How long it is since some moment that stays the same.
    fn now(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
    /// A random number, to spread requests with.
    fn random(&self) -> u32;
}

/// The clock of the system.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn random(&self) -> u32 {
        // Without randomness nothing is spread, and all else is as good.
        getrandom::u32().unwrap_or(0)
    }
}

/// What a provider waits for at most, and takes at most.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// How long one request may take, as `60s`.
    pub request: Span,
    /// How long it may take to make a machine, to remove or to list some, with all that is
    /// asked again.
    pub patience: Span,
    /// How long after a request the cloud may still act on it, or not list yet what it has
    /// made. Where that matters, the provider looks twice this far apart.
    pub settle: Span,
    /// The largest answer, in bytes.
    pub response_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Span(Duration::from_secs(60)),
            patience: Span(Duration::from_secs(600)),
            settle: Span(Duration::from_secs(10)),
            response_bytes: 8 << 20,
        }
    }
}

/// What an API says of an error.
pub(crate) struct Complaint {
    /// Its word for the kind of error, or the field that is wrong.
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Why a request has not been answered as it should.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Nothing was done: the API refuses.
    Refused { status: u16, code: String, why: String },
    /// Nothing was done, since there were too many requests; not before that much time.
    Busy { after: Option<Duration>, why: String },
    /// What was asked for may have been done or not, or may be yet.
    Unknown { after: Option<Duration>, why: String },
}

impl Failed {
    /// Whether the same may work later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => passes(*status, code),
            Self::Busy { .. } | Self::Unknown { .. } => true,
        }
    }

    /// As the provider's own error.
    pub(crate) fn error(&self, vendor: &str) -> ProviderError {
        let (Self::Refused { why, .. } | Self::Busy { why, .. } | Self::Unknown { why, .. }) = self;
        let why = format!("{vendor}: {why}");
        if self.passes() { ProviderError::temporary(why) } else { ProviderError::lasting(why) }
    }
}

/// Whether what is refused so may be possible later.
fn passes(status: u16, code: &str) -> bool {
    const CODES: [&str; 9] = [
        "busy",
        "conflict",
        "locked",
        "maintenance",
        "placement_error",
        "resource_unavailable",
        "robot_unavailable",
        "service_error",
        "timeout",
    ];
    (matches!(status, 408 | 423 | 425) && code != "protected") || CODES.contains(&code)
}

/// An API of one account.
pub(crate) struct Api {
    pub(crate) vendor: &'static str,
    base: String,
    token: PathBuf,
    agent: Agent,
    clock: Arc<dyn Clock>,
    patience: Duration,
    pub(crate) settle: Duration,
    response_bytes: u64,
    complaint: fn(&Value) -> Option<Complaint>,
}

impl Api {
    /// The API at that URL, with the token that is in that file.
    pub(crate) fn new(
        vendor: &'static str,
        base: &str,
        token: &Path,
        limits: &Limits,
        complaint: fn(&Value) -> Option<Complaint>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        let local = is_local(base)?;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(limits.request.0))
            // The token is for this host alone.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A connection that the other side has closed looks like a lost answer.
            .max_idle_connections(0)
            .https_only(!local);
        if local {
            config = config.proxy(None);
        }
        Ok(Self {
            vendor,
            base: base.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
            agent: config.build().new_agent(),
            clock,
            patience: limits.patience.0,
            settle: limits.settle.0,
            response_bytes: limits.response_bytes,
            complaint,
        })
    }

    /// Begins what is to be done within the time that there is for it. The token is read
    /// each time, so that another can be put in its place. It is in no message, and
    /// neither are those other secrets.
    pub(crate) fn begin<'a>(
        &'a self,
        mut secrets: Vec<&'a str>,
    ) -> Result<Call<'a>, ProviderError> {
        // What holds another one goes first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let deadline = self.clock.now() + self.patience;
        Ok(Call { api: self, token: read_token(&self.token)?, secrets, deadline })
    }
}

/// Whether a base URL is on this machine, where alone the token may go unencrypted.
fn is_local(base: &str) -> Result<bool, ProviderError> {
    let bad = |why: &str| ProviderError::lasting(format!("base-url {base:?}: {why}"));
    let uri: ureq::http::Uri = base.parse().map_err(|_| bad("not a URL"))?;
    let host = uri.host().ok_or_else(|| bad("a URL with a host is wanted"))?;
    let local = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
    match uri.scheme_str() {
        Some("https") => Ok(false),
        Some("http") if local => Ok(true),
        _ => Err(bad("https is wanted, since the token is sent there")),
    }
}

/// The token in that file, which only its owner may read.
fn read_token(path: &Path) -> Result<Zeroizing<String>, ProviderError> {
    let bad = |why: &str| ProviderError::lasting(format!("token-file {}: {why}", path.display()));
    let file = File::open(path).map_err(|error| bad(&error.to_string()))?;
    let metadata = file.metadata().map_err(|error| bad(&error.to_string()))?;
    if !metadata.is_file() {
        return Err(bad("not a regular file"));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(bad(&format!("mode {mode:04o} lets others read the token: chmod 600 it")));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_TOKEN_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|_| bad("no text that can be read"))?;
    let token = text.trim();
    if token.is_empty()
        || text.len() as u64 > MAX_TOKEN_BYTES
        || !token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(bad("one token is wanted, on one line"));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

/// One call of a provider's: all its requests have the same token and one deadline.
pub(crate) struct Call<'a> {
    api: &'a Api,
    token: Zeroizing<String>,
    secrets: Vec<&'a str>,
    deadline: Duration,
}

impl Call<'_> {
    /// Reads, asking again until the deadline.
    pub(crate) fn get(
        &self,
        path: &str,
        extra: Option<(&'static str, &str)>,
    ) -> Result<Value, ProviderError> {
        self.patiently(|| self.once(&Method::GET, path, extra, None))
            .map_err(|failed| failed.error(self.api.vendor))
    }

    /// Removes, asking again until the deadline. That it is not there is as well.
    pub(crate) fn delete(&self, path: &str) -> Result<(), ProviderError> {
        match self.patiently(|| self.once(&Method::DELETE, path, None, None)) {
            Ok(_) | Err(Failed::Refused { status: 404, .. }) => Ok(()),
            Err(failed) => Err(failed.error(self.api.vendor)),
        }
    }

    /// Sends, once.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failed> {
        self.once(&Method::POST, path, None, Some(body))
    }

    /// The time of the provider's clock.
    pub(crate) fn now(&self) -> Duration {
        self.api.clock.now()
    }

    /// Waits before another attempt: as long as the API says, else the longer the more
    /// there were. Says whether there is time for that: if not, it doesn't wait.
    pub(crate) fn pause(&self, turn: u32, failed: &Failed) -> bool {
        let after = match failed {
            Failed::Busy { after, .. } | Failed::Unknown { after, .. } => *after,
            Failed::Refused { .. } => None,
        };
        let spread = f64::from(self.api.clock.random()) / f64::from(u32::MAX);
        let pause = match after {
            Some(after) => after + Duration::from_millis(500).mul_f64(spread),
            None => {
                let longest = FIRST_PAUSE.saturating_mul(1 << turn.min(10)).min(LONGEST_PAUSE);
                longest.mul_f64(0.5 + spread / 2.0)
            }
        };
        let in_time = self.now() + pause <= self.deadline;
        if in_time {
            self.wait(pause);
        }
        in_time
    }

    /// Waits.
    pub(crate) fn wait(&self, time: Duration) {
        self.api.clock.sleep(time);
    }

    fn patiently(
        &self,
        mut attempt: impl FnMut() -> Result<Value, Failed>,
    ) -> Result<Value, Failed> {
        let mut turn = 0;
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(failed) if !failed.passes() || !self.pause(turn, &failed) => {
                    return Err(failed);
                }
                Err(_) => {}
            }
            turn += 1;
        }
    }

    fn once(
        &self,
        method: &Method,
        path: &str,
        extra: Option<(&'static str, &str)>,
        body: Option<&Value>,
    ) -> Result<Value, Failed> {
        let what = format!("{method} {}", path.split('?').next().unwrap_or_default());
        let refused = |why: String| Failed::Refused { status: 0, code: String::new(), why };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.api.base))
            .header(header::AUTHORIZATION, format!("Bearer {}", *self.token))
            .header(header::ACCEPT, "application/json");
        if let Some((name, value)) = extra {
            request = request.header(name, value);
        }
        let unsent = |error: ureq::http::Error| refused(format!("{what}: {error}"));
        let answer = match body {
            Some(body) => {
                let request = request.header(header::CONTENT_TYPE, "application/json");
                self.api.agent.run(request.body(body.to_string()).map_err(unsent)?)
            }
            None => self.api.agent.run(request.body(()).map_err(unsent)?),
        };
        match answer {
            Ok(response) => self.read(&what, response),
            Err(error) => {
                let why = self.clean(&format!("{what}: {error}"));
                Err(Failed::Unknown { after: None, why })
            }
        }
    }

    fn read(&self, what: &str, mut response: Response<Body>) -> Result<Value, Failed> {
        let status = response.status();
        let after = response.headers().get(header::RETRY_AFTER).and_then(|value| {
            let seconds: u32 = value.to_str().ok()?.trim().parse().ok()?;
            Some(Duration::from_secs(seconds.into()))
        });
        let limit = self.api.response_bytes;
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        let value = body.map(|bytes| {
            if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) }
        });
        if status.is_success() {
            let why = match value {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(_)) => "the answer is not JSON".to_owned(),
                Err(error) => format!("the answer breaks off: {error}"),
            };
            let why = self.clean(&format!("{what}: {why}"));
            return Err(Failed::Unknown { after: None, why });
        }
        let said = value.ok().and_then(Result::ok);
        let said = said.and_then(|value| (self.api.complaint)(&value));
        let (code, message) = match said {
            Some(complaint) => (complaint.code, complaint.message),
            None => (String::new(), String::new()),
        };
        let mut why = format!("{what}: {}", status.as_u16());
        for part in [&code, &message].into_iter().filter(|part| !part.is_empty()) {
            why.push_str(": ");
            why.push_str(part);
        }
        let why = self.clean(&why);
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS => Failed::Busy { after, why },
            _ if status.is_server_error() => Failed::Unknown { after, why },
            _ => Failed::Refused { status: status.as_u16(), code, why },
        })
    }

    /// A message without what is secret, should it repeat that, and not too long.
    fn clean(&self, message: &str) -> String {
        let mut text = message.replace(self.token.as_str(), "(token)");
        for secret in &self.secrets {
            text = text.replace(secret, "(secret)");
        }
        let text = text.replace(|c: char| c.is_control(), " ");
        match text.char_indices().nth(MAX_MESSAGE) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_known_by_status_or_code() {
        for (status, code, wanted) in [
            (400, "", false),
            (400, "busy", true),
            (401, "unauthorized", false),
            (403, "resource_limit_exceeded", false),
            (404, "not_found", false),
            (408, "", true),
            (409, "conflict", true),
            (409, "uniqueness_error", false),
            (412, "resource_unavailable", true),
            (422, "invalid_input", false),
            (423, "locked", true),
            (423, "protected", false),
        ] {
            let failed = Failed::Refused { status, code: code.to_owned(), why: String::new() };
            assert_eq!(failed.error("A cloud").temporary, wanted, "{status} {code}");
        }
    }
}
