//! Enrolments: made, listed, taken back.

use std::time::SystemTime;

use anyhow::bail;
use ocapn::Value;
use serde_json::json;

use super::{Boss, shown, tell_revoked};
use crate::capfile;
use crate::cli::fleet::TokenCommand;
use crate::fleet::{Revoked, ShownToken};
use crate::output::screen::Screen;
use crate::output::{self, json};

pub(super) async fn token(
    boss: &Boss,
    command: &TokenCommand,
    screen: Screen,
) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { name, ttl, output, common } => {
            // Before one is made that nobody could then use.
            capfile::check_writable(output)?;
            let mut args: Vec<Value> = vec![name.as_str().into()];
            args.extend(ttl.map(|ttl| Value::from(ttl.as_millis() as u64)));
            let Value::Sturdyref(sturdyref) = boss.call("token", args).await? else {
                bail!("the boss gave no sturdyref");
            };
            capfile::write(output, &sturdyref)?;
            let file = output.to_string_lossy();
            match (common.form.json, &*file) {
                // Standard output has the capability itself.
                (_, "-") => Ok(()),
                (true, _) => json::print(json!({"machine": name, "file": file})),
                (false, _) => output::line(&format!(
                    "wrote {file} (0600): good once, for {name} to join with"
                )),
            }
        }
        TokenCommand::List { common } => {
            let tokens: Vec<ShownToken> = boss.typed("tokens", Vec::new()).await?;
            let now = SystemTime::now();
            if common.form.json {
                let tokens: Vec<_> = tokens.iter().map(|token| shown::token(token, now)).collect();
                return json::print(json!({"tokens": tokens}));
            }
            if tokens.is_empty() {
                return output::line("no enrolments: hob fleet token create MACHINE -o FILE");
            }
            output::line(&shown::tokens(&tokens, now).render(screen))
        }
        TokenCommand::Revoke { id, common } => {
            let revoked: Revoked = boss.typed("revoke-token", vec![id.as_str().into()]).await?;
            tell_revoked(&revoked, common.form.json)
        }
    }
}
