//! `hob call`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use ocapn::{Ref, Sturdyref, Value};
use serde_json::json;

use crate::cli::Call;
use crate::client::{Client, within};
use crate::exit::{BadUsage, Broke};
use crate::notation::{self, json::to_json};
use crate::{capfile, output};

pub(crate) async fn call(options: &Call) -> anyhow::Result<()> {
    let outcome = within(options.timeout, result(options)).await;
    let shown = match &outcome {
        Ok(shown) => shown.clone(),
        Err(error) if options.json => {
            let broke = error.downcast_ref::<Broke>();
            broke.map_or_else(
                || json!({"error": format!("{error:#}")}).to_string(),
                |broke| json!({"broken": broke.why()}).to_string(),
            )
        }
        Err(_) => return outcome.map(drop),
    };
    if !shown.is_empty() {
        output::line(&shown)?;
    }
    outcome.map(drop)
}

/// Makes the call and says what to print.
async fn result(options: &Call) -> anyhow::Result<String> {
    // All that was given is looked at before anybody is dialled.
    let (target, words) = target(options)?;
    let capabilities = capabilities(words)?;
    if let Some(path) = &options.cap_out {
        capfile::check_writable(path)?;
    }
    let all = capabilities.values().chain([&target]);
    let client = Client::start(all).await?;
    let value = send(&client, &target, words, &capabilities).await;
    // References are looked at while there is a session that they live on.
    let shown = value.and_then(|value| show(options, &value));
    client.end().await;
    shown
}

/// The target, and the words that are arguments.
fn target(options: &Call) -> anyhow::Result<(Sturdyref, &[String])> {
    if let Some(file) = &options.file {
        return Ok((capfile::read(file)?, &options.words));
    }
    let missing = || BadUsage("the target is missing: a URI, @FILE or --file FILE".to_owned());
    let (first, words) = options.words.split_first().ok_or_else(missing)?;
    let target = match first.strip_prefix('@') {
        Some(path) => capfile::read(Path::new(path))?,
        None if first == "-" => capfile::read(Path::new("-"))?,
        None => capfile::parse(first)
            .map_err(|why| anyhow!(BadUsage(why.to_string())))
            .context("the target")?,
    };
    Ok((target, words))
}

/// The capabilities that the arguments name.
fn capabilities(words: &[String]) -> anyhow::Result<BTreeMap<PathBuf, Sturdyref>> {
    let mut paths = Vec::new();
    parse(words, &mut |path| {
        paths.push(PathBuf::from(path));
        Ok(Value::Undefined)
    })?;
    let read = |path: PathBuf| Ok((path.clone(), capfile::read(&path)?));
    paths.into_iter().map(read).collect()
}

fn parse(
    words: &[String],
    reference: &mut dyn FnMut(&str) -> Result<Value, String>,
) -> anyhow::Result<Vec<Value>> {
    let parse = |(index, word): (usize, &String)| {
        let number = index + 1;
        if word.starts_with("ocapn://") {
            // As a bare word it would be a symbol, and give the secret to the target.
            let why = "a URI is no argument: write it to a file of mode 0600 and pass @FILE";
            return Err(BadUsage(format!("argument {number}: {why}")).into());
        }
        notation::parse(word, reference).with_context(|| format!("argument {number}"))
    };
    words.iter().enumerate().map(parse).collect()
}

async fn send(
    client: &Client,
    target: &Sturdyref,
    words: &[String],
    capabilities: &BTreeMap<PathBuf, Sturdyref>,
) -> anyhow::Result<Value> {
    let object = client.resolve(target).await?;
    let mut references: BTreeMap<&Path, Ref> = BTreeMap::new();
    for (path, sturdyref) in capabilities {
        let reference = client.resolve(sturdyref).await;
        let reference = reference.with_context(|| path.display().to_string())?;
        references.insert(path, reference);
    }
    let args = parse(words, &mut |path| {
        let reference = references.get(Path::new(path));
        reference.map(Value::from).ok_or_else(|| "it is gone".to_owned())
    })?;
    client.call(&object, args).await
}

fn show(options: &Call, value: &Value) -> anyhow::Result<String> {
    if let Some(path) = &options.cap_out {
        let Value::Sturdyref(sturdyref) = value else {
            let found = value.kind();
            return Err(anyhow!(
                "the result is no sturdyref, but of kind {found}: nothing written"
            ));
        };
        capfile::write(path, sturdyref)?;
    }
    Ok(if options.json {
        json!({"fulfilled": to_json(value, options.reveal)}).to_string()
    } else if matches!(value, Value::Undefined) {
        String::new()
    } else {
        notation::print(value, options.reveal)
    })
}
