//! What `herd` does: calls of the shepherd, and what is printed of the answers.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Parser as _;
use ocapn::netlayers::ConnectError;
use ocapn::{
    DialError, EnlivenError, FromValue, IntoValue as _, Ref, Turn, Unreachable, Value, Vat, object,
};
use serde_json::json;

use super::calendar::stamp;
use super::cli::{Grant as GrantOptions, Herd, Svc, SvcCommand};
use super::grants::Grant;
use super::logfile;
use super::process::Lines;
use super::refusal;
use super::rolling::Rolled;
use super::shepherd::Reloaded;
use super::show;
use super::status::Status;
use super::writer::{Event, Writer, WriterRef};
use super::zone::Zone;
use crate::capfile::{self, Why};
use crate::client::{Client, within};
use crate::exit::{self, BadUsage, Broke, Exit, Failure, NoNode, NotThere, Refused};
use crate::output;
use crate::state::StateDir;

/// The work of `herd`, if this process is called so.
pub(crate) fn intercept() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    if std::path::Path::new(&name).file_name()? != "herd" {
        return None;
    }
    let Herd { svc: options } = Herd::parse();
    let outcome = (|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(crate::interruptible(svc(&options)));
        runtime.shutdown_timeout(Duration::ZERO);
        outcome
    })();
    Some(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("herd: {}", output::harmless(&format!("{error:#}")));
            ExitCode::from(exit::code(&error) as u8)
        }
    })
}

/// What the shepherd says while it works.
struct Terminal {
    json: bool,
    zone: Zone,
}

#[object]
impl Writer for Terminal {
    fn line(&self, text: String) {
        if !self.json {
            print(&output::harmless(&text));
        }
    }

    fn said(&self, at: i64, text: String) {
        if self.json {
            print(&json!({"at": at, "line": text}).to_string());
        } else {
            print(&format!("{} {}", stamp(at, &self.zone), output::harmless(&text)));
        }
    }

    fn happened(&self, event: Event) {
        print(&event_json(&event).to_string());
    }
}

fn event_json(event: &Event) -> serde_json::Value {
    json!({
        "number": event.number,
        "at": event.at,
        "service": event.service,
        "state": event.state,
        "detail": event.detail,
    })
}

fn print(text: &str) {
    // If nobody reads any more, the next signal or answer ends this.
    let _unread = output::line(text);
}

/// A session with a shepherd.
struct Session {
    client: Client,
    shepherd: Ref,
    vat: Vat,
    writer: WriterRef,
    json: bool,
    /// Whether this may be everything: it is not by a capability of somebody's.
    whole: bool,
    /// By which transport others reach what is granted, if nothing is said.
    transport: Option<&'static str>,
}

pub(crate) async fn svc(options: &Svc) -> anyhow::Result<()> {
    let session = within(options.timeout, Session::begin(options)).await?;
    session.end_to_end(&options.command, options.timeout).await
}

/// The same with services that are elsewhere, reached by the client already, which ends
/// with it.
pub(crate) async fn svc_on(
    client: Client,
    services: Ref,
    command: &SvcCommand,
    json: bool,
    timeout: Duration,
) -> anyhow::Result<()> {
    let session =
        Session { transport: Some("tcp-tls"), ..Session::with(client, services, json, true) };
    session.end_to_end(command, timeout).await
}

impl Session {
    fn with(client: Client, shepherd: Ref, json: bool, whole: bool) -> Self {
        let vat = client.vat();
        let writer = WriterRef::spawn_in(&vat, Terminal { json, zone: Zone::of_machine() });
        Self { client, shepherd, vat, writer, json, whole, transport: None }
    }

    /// Does what is to be done, and ends.
    async fn end_to_end(self, command: &SvcCommand, timeout: Duration) -> anyhow::Result<()> {
        let follows = match command {
            SvcCommand::Log { follow, .. } => *follow,
            SvcCommand::Watch { .. } => true,
            // As long as it takes; whoever interrupts this does not interrupt that.
            SvcCommand::Restart { rolling, .. } => *rolling,
            _ => false,
        };
        let work = async {
            if let SvcCommand::Grant(grant) = command {
                // Before anything is granted that nobody could then use.
                capfile::check_writable(&grant.output)?;
            }
            self.perform(command).await
        };
        let outcome = if follows { work.await } else { within(timeout, work).await };
        self.client.end().await;
        outcome
    }

    async fn begin(options: &Svc) -> anyhow::Result<Self> {
        let state = StateDir::named(options.state.clone());
        let (sturdyref, path) = match &options.cap {
            Some(cap) => (capfile::read(cap)?, cap.clone()),
            None => {
                let state = state?;
                let read = capfile::read(&state.path().join("herd.cap"));
                let missing = |why: &Why| matches!(why, Why::Io(error) if error.kind() == std::io::ErrorKind::NotFound);
                match read {
                    Err(error) if missing(&error.why) => {
                        let path = state.path().to_owned();
                        return Err(anyhow!(NoNode(path))).context("no shepherd");
                    }
                    read => (read?, state.path().to_owned()),
                }
            }
        };
        let client = Client::start([&sturdyref].into_iter()).await?;
        let shepherd = match client.resolve(&sturdyref).await {
            Err(error) => {
                client.end().await;
                let gone = matches!(
                    error.downcast_ref::<EnlivenError>(),
                    Some(EnlivenError::Dial(DialError::Connect(why)))
                        if matches!(**why, ConnectError::Unreachable { .. })
                );
                return Err(if gone {
                    anyhow!(NoNode(path)).context("no shepherd")
                } else {
                    error
                });
            }
            Ok(shepherd) => shepherd,
        };
        Ok(Self::with(client, shepherd, options.json, options.cap.is_none()))
    }

    /// Calls a method; what goes wrong is told by its kind.
    async fn call<T: FromValue>(
        &self,
        method: &str,
        args: impl IntoIterator<Item = Value>,
    ) -> anyhow::Result<T> {
        self.call_on(&self.shepherd, method, args).await
    }

    async fn call_on<T: FromValue>(
        &self,
        object: &Ref,
        method: &str,
        args: impl IntoIterator<Item = Value>,
    ) -> anyhow::Result<T> {
        let args = std::iter::once(Value::Symbol(method.into())).chain(args).collect();
        let answer = self.client.call(object, args).await;
        // What was said before is printed before.
        drop(self.vat.run(|_: &mut Turn<'_>| Ok(())).await);
        let value = answer.map_err(|error| match error.downcast::<Broke>() {
            Ok(Broke(fault)) => match refusal::reason(&fault) {
                Some(_) if refusal::is_relayed(&fault) => anyhow!(Refused(fault.to_string())),
                Some(why) => anyhow!(Refused(format!("{method}: {why}"))),
                None if Unreachable::of(&fault).is_some() => {
                    Failure::new(Exit::Unreachable, fault.to_string()).into()
                }
                None if refusal::is_not_found(&fault) => anyhow!(NotThere(fault.to_string())),
                None => anyhow!("{fault}"),
            },
            Err(error) => error,
        })?;
        T::from_value(value).map_err(|error| anyhow!("the shepherd's answer: {error}"))
    }

    /// Does the same with each of the services, and gives the first failure.
    async fn each(&self, method: &str, services: &[String], writes: bool) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for service in services {
            if service == "root" {
                outcome = outcome.and(Err(anyhow!(BadUsage(
                    "root is the shepherd itself: end its process".to_owned()
                ))));
                continue;
            }
            let writer = writes.then(|| self.writer.clone().into_value());
            let args = std::iter::once(Value::from(service.as_str())).chain(writer);
            match self.call::<Value>(method, args).await {
                Ok(_) if self.json => {
                    print(&json!({"service": service, "action": method, "done": true}).to_string());
                }
                Ok(_) => {}
                Err(error) => {
                    if self.json {
                        let error = format!("{error:#}");
                        let failed = json!({"service": service, "action": method, "error": error});
                        print(&failed.to_string());
                    }
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }

    async fn perform(&self, command: &SvcCommand) -> anyhow::Result<()> {
        match command {
            SvcCommand::Status { service: None, .. } => self.summary().await,
            SvcCommand::Status { service: Some(service), n } => self.status(service, *n).await,
            SvcCommand::Start { services } => self.each("start", services, true).await,
            SvcCommand::Stop { services } => self.each("stop", services, true).await,
            SvcCommand::Restart { services, rolling: false, .. } => {
                self.each("restart", services, true).await
            }
            SvcCommand::Restart { services, max_unavailable, .. } => {
                for service in services {
                    self.roll(service, *max_unavailable).await?;
                }
                Ok(())
            }
            SvcCommand::Enable { services } => self.each("enable", services, false).await,
            SvcCommand::Disable { services } => self.each("disable", services, false).await,
            SvcCommand::Doc { service } => {
                let doc: Option<String> = self.call("doc", [service.as_str().into()]).await?;
                match doc {
                    Some(doc) => output::line(&output::harmless(&doc)),
                    None => output::line(&format!("Service {service} has no documentation.")),
                }
            }
            SvcCommand::Log { service, n, follow } => self.log(service, *n, *follow).await,
            SvcCommand::Graph => {
                let statuses: Vec<Status> = self.call("statuses", []).await?;
                output::line(show::graph(&statuses).trim_end())
            }
            SvcCommand::Reload { service: None } => self.reload().await,
            SvcCommand::Reload { service: Some(service) } => self.action("reload", service).await,
            SvcCommand::Spawn(spawn) => {
                let definition = spawn.definition();
                definition.check().map_err(BadUsage)?;
                let args = [
                    spawn.name.as_str().into(),
                    definition.to_text().into(),
                    self.writer.clone().into_value(),
                ];
                self.call::<Value>("spawn", args).await.map(drop)
            }
            SvcCommand::Watch { after } => {
                let after = after.map(Value::from);
                let args = std::iter::once(self.writer.clone().into_value()).chain(after);
                self.call::<Value>("watch", args).await?;
                std::future::pending().await
            }
            SvcCommand::Grant(options) => self.grant(options).await,
            SvcCommand::Grants => self.grants().await,
            SvcCommand::Revoke { id } => {
                let grants: Ref = self.call("grants", []).await?;
                let revoked: bool = self.call_on(&grants, "revoke", [(*id).into()]).await?;
                let what = if revoked { "has been" } else { "was already" };
                output::line(&format!("Grant {id} {what} revoked."))
            }
            SvcCommand::Audit { n } => {
                let grants: Ref = self.call("grants", []).await?;
                let lines: Lines = self.call_on(&grants, "audit", [(*n).into()]).await?;
                self.lines(&lines)
            }
            SvcCommand::Other(words) => match words.as_slice() {
                [action, service] => self.action(action, service).await,
                _ => Err(BadUsage("an action is followed by the name of a service".into()).into()),
            },
        }
    }

    /// Restarts those that a service stands for, in turn, and says how far that came.
    async fn roll(&self, service: &str, most: u64) -> anyhow::Result<()> {
        let args = [service.into(), most.into(), self.writer.clone().into_value()];
        let rolled: Rolled = self.call("roll", args).await?;
        let Rolled { done, failed, left, halted } = &rolled;
        if self.json {
            let failed: Vec<_> =
                failed.iter().map(|(name, why)| json!({"service": name, "error": why})).collect();
            let text = json!({
                "service": service, "done": done, "failed": failed, "left": left, "halted": halted,
            });
            output::line(&text.to_string())?;
        } else {
            for (title, names) in [("Restarted:", done), ("Not restarted:", left)] {
                if !names.is_empty() {
                    output::line(&format!("{title} {}", names.join(" ")))?;
                }
            }
        }
        let whys = failed.iter().map(|(name, why)| format!("{name} has failed: {why}"));
        let whys: Vec<String> = whys.chain(halted.clone()).collect();
        if whys.is_empty() {
            return Ok(());
        }
        let exit = if done.is_empty() { Exit::Failed } else { Exit::Partial };
        let what = format!("{service} was not restarted whole: {}", whys.join("; "));
        Err(Failure::new(exit, what).into())
    }

    fn lines(&self, lines: &Lines) -> anyhow::Result<()> {
        let zone = Zone::of_machine();
        for (at, line) in lines {
            let text = if self.json {
                json!({"at": at, "line": line}).to_string()
            } else {
                format!("{} {}", stamp(*at, &zone), output::harmless(line))
            };
            output::line(&text)?;
        }
        Ok(())
    }

    async fn summary(&self) -> anyhow::Result<()> {
        let statuses: Vec<Status> = self.call("statuses", []).await?;
        if self.json {
            return output::line(&json!({"version": 1, "services": statuses}).to_string());
        }
        let text = show::summary(&statuses, self.whole);
        output::line(text.trim_end())
    }

    async fn status(&self, service: &str, lines: u64) -> anyhow::Result<()> {
        let status: Status = self.call("status", [service.into(), lines.into()]).await?;
        if self.json {
            return output::line(&json!({"version": 1, "service": status}).to_string());
        }
        let text = show::status(&status, logfile::now(), &Zone::of_machine());
        output::line(text.trim_end())
    }

    async fn log(&self, service: &str, lines: u64, follow: bool) -> anyhow::Result<()> {
        if follow {
            let args = [service.into(), self.writer.clone().into_value(), lines.into()];
            self.call::<Value>("follow", args).await?;
            return std::future::pending().await;
        }
        let status: Status = self.call("status", [service.into(), lines.into()]).await?;
        self.lines(&status.messages)
    }

    async fn reload(&self) -> anyhow::Result<()> {
        let reloaded: Reloaded = self.call("reload", []).await?;
        let Reloaded { added, changed, removed } = &reloaded;
        if self.json {
            let text = json!({"added": added, "changed": changed, "removed": removed});
            return output::line(&text.to_string());
        }
        let groups = [
            ("Added:", added),
            ("Changed from their next start on:", changed),
            ("Removed:", removed),
        ];
        for (title, names) in groups.into_iter().filter(|(_, names)| !names.is_empty()) {
            output::line(&format!("{title} {}", names.join(" ")))?;
        }
        Ok(())
    }

    async fn action(&self, action: &str, service: &str) -> anyhow::Result<()> {
        let said: Value = self.call(action, [service.into()]).await?;
        let said = match said {
            Value::Undefined => String::new(),
            Value::String(text) => text.to_string(),
            other => crate::notation::print(&other, false),
        };
        if said.is_empty() { Ok(()) } else { output::line(&output::harmless(&said)) }
    }

    async fn grant(&self, options: &GrantOptions) -> anyhow::Result<()> {
        let grants: Ref = self.call("grants", []).await?;
        // To see what a service has said is its status and more.
        let actions = options.actions.iter().flat_map(|action| match action.as_str() {
            "log" => vec!["status".to_owned(), "follow".to_owned()],
            other => vec![other.to_owned()],
        });
        let actions: std::collections::BTreeSet<String> = actions.collect();
        let args = [
            options.service.as_str().into(),
            actions.into_iter().collect::<Vec<_>>().into_value(),
            options.to.clone().into_value(),
            options.expires.map(|expires| expires.as_secs().max(1)).into_value(),
            options.over.as_deref().or(self.transport).unwrap_or("unix").into(),
        ];
        let sturdyref: Value = self.call_on(&grants, "grant", args).await?;
        let Value::Sturdyref(sturdyref) = sturdyref else {
            return Err(anyhow!("the shepherd gave no sturdyref"));
        };
        Ok(capfile::write(&options.output, &sturdyref)?)
    }

    async fn grants(&self) -> anyhow::Result<()> {
        let grants: Ref = self.call("grants", []).await?;
        let list: Vec<Grant> = self.call_on(&grants, "list", []).await?;
        let now = logfile::now();
        for grant in list {
            let state = match grant.expires {
                _ if grant.revoked => "revoked",
                Some(at) if at <= now => "expired",
                _ => "valid",
            };
            if self.json {
                let text = json!({
                    "id": grant.id,
                    "service": grant.service,
                    "actions": grant.actions,
                    "to": grant.to,
                    "made": grant.made,
                    "expires": grant.expires,
                    "state": state,
                });
                output::line(&text.to_string())?;
                continue;
            }
            let zone = Zone::of_machine();
            let expires = grant.expires.map(|at| format!(", expires {}", stamp(at, &zone)));
            let to = grant.to.map(|to| format!(" for {}", output::harmless(&to)));
            output::line(&format!(
                "{} {state} {} {}{}{}",
                grant.id,
                grant.service,
                grant.actions.join(","),
                to.unwrap_or_default(),
                expires.unwrap_or_default(),
            ))?;
        }
        Ok(())
    }
}
