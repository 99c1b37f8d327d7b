//! `conformance check`.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use interop_tests::checks::{self, Outcome, Subject};
use ocapn::PeerLocator;
use ocapn::netlayers::Framing;
use serde_json::json;

/// The options of `conformance check`.
#[derive(Args)]
pub(crate) struct Check {
    /// The peer to check: ocapn://DESIGNATOR.TRANSPORT?HINT=VALUE&…
    #[arg(required_unless_present = "list")]
    uri: Option<PeerLocator>,
    /// Run only this check. May be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave this check out. May be repeated.
    #[arg(long, value_name = "NAME")]
    skip: Vec<String>,
    /// Name the checks, and what each is about.
    #[arg(long)]
    list: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Print the checks that passed too, with the time each took.
    #[arg(short, long)]
    verbose: bool,
    /// How many seconds the peer may take over any one thing.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// The address by which the peer can dial us.
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    our_host: String,
    /// Messages have their length before them. Not over unix or websocket.
    #[arg(long)]
    framed: bool,
}

impl Check {
    /// Exit status 0 if all checks passed, 1 if one failed, 2 if there was nothing
    /// to run.
    pub(crate) async fn run(self) -> ExitCode {
        match self.try_run().await {
            Ok(status) => status,
            Err(error) => {
                eprintln!("conformance: {error}");
                ExitCode::from(2)
            }
        }
    }

    async fn try_run(self) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let chosen = self.chosen()?;
        let mut out = io::stdout();
        if self.list {
            for check in &chosen {
                writeln!(out, "{:24} {}", check.name, check.about)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let Some(peer) = self.uri.clone() else {
            return Err("a peer's URI is wanted".into());
        };
        let subject = Subject {
            peer,
            patience: Duration::from_secs(self.timeout),
            our_host: self.our_host.clone(),
            framing: if self.framed { Framing::LengthPrefixed } else { Framing::RawSyrup },
        };
        let mut outcomes = Vec::new();
        for check in chosen {
            let outcome = check.run(&subject).await;
            if !self.json {
                self.tell(&mut out, &outcome)?;
            }
            outcomes.push(outcome);
        }
        let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
        let passed = outcomes.len() - failed;
        if self.json {
            let checks: Vec<_> = outcomes.iter().map(in_json).collect();
            let report = json!({
                "peer": subject.peer.to_string(),
                "passed": passed,
                "failed": failed,
                "checks": checks,
            });
            writeln!(out, "{report:#}")?;
        } else {
            writeln!(out, "{passed} passed, {failed} failed")?;
        }
        Ok(ExitCode::from(u8::from(failed > 0)))
    }

    /// The checks to run.
    fn chosen(&self) -> Result<Vec<&'static checks::Check>, String> {
        let all = checks::all();
        for name in self.only.iter().chain(&self.skip) {
            if !all.iter().any(|check| check.name == name) {
                return Err(format!("no check is called {name:?}; --list names them"));
            }
        }
        let wanted = |check: &&checks::Check| {
            let is = |name: &String| name == check.name;
            (self.only.is_empty() || self.only.iter().any(is)) && !self.skip.iter().any(is)
        };
        let chosen: Vec<_> = all.into_iter().filter(wanted).collect();
        if chosen.is_empty() {
            return Err("no check is left to run".to_owned());
        }
        Ok(chosen)
    }

    fn tell(&self, out: &mut impl io::Write, outcome: &Outcome) -> io::Result<()> {
        match &outcome.failure {
            Some(halt) => writeln!(out, "FAILED  {}: {halt}", outcome.name),
            None if self.verbose => {
                let took = outcome.took.as_millis();
                writeln!(out, "ok      {} ({took} ms)", outcome.name)
            }
            None => Ok(()),
        }
    }
}

fn in_json(outcome: &Outcome) -> serde_json::Value {
    json!({
        "name": outcome.name,
        "passed": outcome.failure.is_none(),
        "why": outcome.failure.as_ref().map(ToString::to_string),
        "milliseconds": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
    })
}
