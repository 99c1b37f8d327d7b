//! `hob units`: writes systemd units.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli;
use crate::exit::{BadUsage, Exit, Failure};
use crate::output;
use crate::units::{Scope, Units};

pub(crate) fn units(options: &cli::Units) -> anyhow::Result<()> {
    let root = rustix::process::geteuid().is_root();
    let scope = options.scope().unwrap_or(if root { Scope::System } else { Scope::User });
    let directory = match &options.dir {
        Some(directory) => directory.clone(),
        None => usual(scope)?,
    };
    let program = match &options.program {
        Some(program) => std::path::absolute(program)?,
        None => std::env::current_exe().context("where this program is")?,
    };
    let identity = options.identity.as_ref().map(std::path::absolute).transpose()?;
    let units = Units { scope, program: &program, identity: identity.as_deref() };
    let units = units.render().map_err(|error| BadUsage(error.to_string()))?;
    let units: Vec<_> =
        units.into_iter().map(|(name, text)| (directory.join(name), text)).collect();
    // Before any is written: all or none.
    if !options.consent.yes {
        units.iter().try_for_each(|(path, text)| not_somebody_elses(path, text))?;
    }
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    for (path, text) in &units {
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
        output::line(&format!("wrote {}", path.display()))?;
    }
    Ok(())
}

fn usual(scope: Scope) -> anyhow::Result<PathBuf> {
    if scope == Scope::System {
        return Ok("/etc/systemd/system".into());
    }
    let own = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let own = own.filter(|path| path.is_absolute());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".config"));
    let own = own.or_else(home).map(|config| config.join("systemd/user"));
    own.ok_or_else(|| BadUsage("$HOME is not set: name the directory with --dir".into()).into())
}

/// What was changed by hand is not lost by asking again.
fn not_somebody_elses(path: &Path, text: &str) -> anyhow::Result<()> {
    match std::fs::read_to_string(path) {
        Ok(found) if found != text => {
            let what = format!("{} is there already, and not the same", path.display());
            let next = "replace it with --yes, or write elsewhere with --dir";
            Err(Failure::new(Exit::Failed, what).next(next).into())
        }
        _ => Ok(()),
    }
}
