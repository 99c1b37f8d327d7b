//! `hob deploy`: the workstation's side of a deployment.

mod parcel;
mod session;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use serde_json::json;

use self::parcel::Parcel;
use self::session::{Ended, Workstation};
use crate::capfile;
use crate::cli::groups::Form;
use crate::config::quantity::duration;
use crate::exit::{BadUsage, Exit, Failure};
use crate::output::{self, json as print_json};

pub(crate) const HELP: &str = "\
WHAT is a TOML file with packages, files, services and guix, as a machine's state in a
graph, or a directory: what is in it goes to --at. Contents that the machine has already
are not sent again.

It is confirmed over a new session, so that a machine that can't be reached afterwards
goes back by itself.

The capability is made on the machine, whose shepherd has a service that is
builtin = \"deploy\", and listens:
  herd grant deploy --actions deploy --over tcp-tls --to ci --expires 30d -o deploy.cap

Exit codes: 0 confirmed, 1 it failed and was undone, 4 refused, 5 the machine can't be
reached, 6 applied and left unconfirmed.

Examples:
  hob deploy --to deploy.cap web.toml --dry-run
  hob deploy --to deploy.cap web.toml
  hob deploy --to deploy.cap site/ --at /srv/www --confirm-within 5m
  hob deploy --to deploy.cap web.toml --no-confirm";

/// `hob deploy`.
#[derive(Args, Debug)]
pub(crate) struct Deploy {
    /// The capability to the machine's deploy agent; - for standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) to: PathBuf,
    /// What to deploy: TOML files and directories, together
    #[arg(value_name = "WHAT", value_hint = ValueHint::AnyPath,
        required_unless_present_any = ["confirm", "cancel", "status"])]
    pub(crate) what: Vec<PathBuf>,
    /// Where directories go on the machine, below the agent's own root
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub(crate) at: String,
    /// The service that the capability is for
    #[arg(long, value_name = "NAME", default_value = "deploy")]
    pub(crate) service: String,
    /// How long the machine waits for the confirmation [default: as the agent says]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) confirm_within: Option<Duration>,
    /// Leave it unconfirmed: it is undone, unless --confirm is given in time
    #[arg(long)]
    pub(crate) no_confirm: bool,
    /// Print what would be changed, and change nothing
    #[arg(long, conflicts_with = "no_confirm")]
    pub(crate) dry_run: bool,
    /// Confirm what was left unconfirmed
    #[arg(long, value_name = "ID", conflicts_with_all = ["what", "cancel", "status"])]
    pub(crate) confirm: Option<String>,
    /// Undo what was left unconfirmed
    #[arg(long, value_name = "ID", conflicts_with_all = ["what", "status"])]
    pub(crate) cancel: Option<String>,
    /// Say what is under way, or how the last deployment has ended
    #[arg(long, conflicts_with = "what")]
    pub(crate) status: bool,
    /// How long to wait for answers, and for signs of life, as 500ms, 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) form: Form,
}

pub(crate) async fn deploy(options: &Deploy) -> anyhow::Result<()> {
    let at = &options.at;
    if at != "/" && !crate::desired::machine::is_absolute(at.trim_end_matches('/')) {
        return Err(BadUsage(format!("--at {at}: write an absolute path, without . and ..")).into());
    }
    let workstation = Workstation::new(options, capfile::read(&options.to)?);
    if let Some(id) = &options.confirm {
        workstation.confirm(id).await?;
        return done(options, "confirmed", &[]);
    }
    if let Some(id) = &options.cancel {
        workstation.cancel(id).await?;
        return done(options, "cancelled", &[]);
    }
    if options.status {
        return status(options, &workstation).await;
    }
    let parcel = Parcel::read(&options.what, at)?;
    if options.dry_run {
        let plan = workstation.plan(&parcel).await?;
        return planned(options, &plan);
    }
    match workstation.deploy(&parcel).await? {
        Ended::Confirmed { changed } => done(options, "confirmed", &changed),
        Ended::Left { id, changed, left } => left_alone(options, &id, &changed, left),
        Ended::Undone { why } => {
            let what = format!("the deployment was undone: {why}");
            Err(Failure::new(Exit::Failed, what).into())
        }
    }
}

fn done(options: &Deploy, stage: &str, changed: &[String]) -> anyhow::Result<()> {
    if options.form.json {
        return print_json::print(json!({"deployment": {"stage": stage, "changed": changed}}));
    }
    let count = match changed.len() {
        0 => String::new(),
        1 => "1 change, ".to_owned(),
        many => format!("{many} changes, "),
    };
    output::line(&format!("{count}{stage}"))
}

fn planned(options: &Deploy, plan: &session::Plan) -> anyhow::Result<()> {
    let session::Plan { steps, missing, missing_bytes } = plan;
    if options.form.json {
        let plan = json!({
            "steps": steps, "missing": missing, "missing_bytes": missing_bytes,
        });
        return print_json::print(json!({"plan": plan}));
    }
    for step in steps {
        output::line(&output::harmless(step))?;
    }
    if *missing > 0 {
        output::line(&format!("{missing} contents to be sent, {missing_bytes} bytes"))?;
    }
    if steps.is_empty() { output::line("nothing to do") } else { Ok(()) }
}

fn left_alone(
    options: &Deploy,
    id: &str,
    changed: &[String],
    left: Duration,
) -> anyhow::Result<()> {
    if options.form.json {
        let left = left.as_secs();
        print_json::print(json!({"deployment": {
            "stage": "trial", "id": id, "changed": changed, "left_seconds": left,
        }}))?;
    } else {
        output::line(&format!("applied as {id}"))?;
    }
    let what = format!("not confirmed: it is undone in {}", output::time::about(left));
    let next = format!("hob deploy --to {} --confirm {id}", options.to.display());
    Err(Failure::new(Exit::Pending, what).next(next).into())
}

async fn status(options: &Deploy, workstation: &Workstation<'_>) -> anyhow::Result<()> {
    let standing = workstation.status().await?;
    let left = standing.left_ms.map(|left| left / 1000);
    if options.form.json {
        return print_json::print(json!({"deployment": {
            "stage": standing.stage, "label": standing.label, "since": standing.since,
            "left_seconds": left, "why": standing.why,
        }}));
    }
    let by = standing.label.map(|label| format!(" by {label}")).unwrap_or_default();
    let left = left.map(|left| format!(", {left} s left")).unwrap_or_default();
    let why = standing.why.map(|why| format!(": {why}")).unwrap_or_default();
    output::line(&output::harmless(&format!("{}{by}{left}{why}", standing.stage)))
}
