//! What all signed governance documents have in common: a TOML draft, a signature, a schema.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use spe_kernel::{
    application::ApplicationBody,
    decision::DecisionBody,
    document::{self, Document},
    permit::PermitBody,
    refusal::Refusal,
    revocation::RevocationBody,
    schema,
};

use crate::{key, output::Output};

/// How a draft becomes a signed document.
#[derive(Args)]
pub(crate) struct SignArgs {
    /// The draft, as TOML
    pub(crate) draft: PathBuf,
    /// The signer's secret key file (`spe key new`)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where to write the signed document
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

/// The kinds of documents that have a published schema.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// Data permits.
    Permit,
    /// Applications.
    Application,
    /// Decisions.
    Decision,
    /// Revocations.
    Revocation,
}

/// Prints a template, dated now.
pub(crate) fn draft(template: &str, output: Output) -> Result<()> {
    let text = dated(template, Timestamp::now())?;
    output.say(&serde_json::json!({ "template": text }), || text.clone())
}

/// How long after now what a template dates ends.
const UNTIL: SignedDuration = SignedDuration::from_hours(24 * 365 * 2);

/// The template with each instant in it at `now`, and each end two years later: one with the date of a sample would reach back to it.
fn dated(template: &str, now: Timestamp) -> Result<String> {
    let now = Timestamp::from_second(now.as_second())?;
    let line = |line: &str| {
        let instant = |value: &str| value.trim_matches('"').parse::<Timestamp>().is_ok();
        match line.split_once(" = ").filter(|(_, value)| instant(value)) {
            Some((key, _)) if key.ends_with("until") => format!("{key} = \"{}\"\n", now + UNTIL),
            Some((key, _)) => format!("{key} = \"{now}\"\n"),
            None => format!("{line}\n"),
        }
    };
    Ok(template.lines().map(line).collect())
}

/// Reads a draft.
pub(crate) fn read<D: Document>(draft: &Path) -> Result<D> {
    let text = std::fs::read_to_string(draft).with_context(|| format!("reading {}", draft.display()))?;
    let malformed =
        |why: toml::de::Error| Refusal::Malformed { document: D::NAME.into(), why: why.to_string().trim_end().into() };
    toml::from_str(&text).map_err(malformed).with_context(|| draft.display().to_string())
}

/// Signs a draft that every reader of the document would accept, and `readable` too; `name` is said of it.
pub(crate) fn sign<D: Document>(
    args: &SignArgs,
    name: impl Fn(&D) -> String,
    readable: impl Fn(&[u8]) -> Result<(), Refusal>,
    output: Output,
) -> Result<()> {
    let SignArgs { draft, key, out } = args;
    let body: D = read(draft)?;
    let envelope = document::sign(&body, &key::read(key)?);
    document::open::<D>(&envelope)
        .and_then(|_| readable(&envelope))
        .with_context(|| format!("{} is not a document that can be signed", draft.display()))?;
    if out.exists() {
        bail!("{} exists already; choose another name, a signed document is never overwritten", out.display());
    }
    std::fs::write(out, envelope).with_context(|| format!("writing {}", out.display()))?;
    let (kind, name) = (D::NAME.trim_start_matches("the "), name(&body));
    output.say(&serde_json::json!({ kind: name, "file": out }), || format!("{kind} {name} signed: {}\n", out.display()))
}

/// Shows a signed document as it is written.
pub(crate) fn show<D: Document>(file: &Path, output: Output) -> Result<()> {
    let envelope = crate::connect::read(file)?;
    let kind = D::NAME.trim_start_matches("the ");
    let opened = document::open::<D>(&envelope)
        .with_context(|| format!("{} is not a signed {kind} (`spe {kind} sign` makes one)", file.display()))?;
    let text = toml::to_string_pretty(opened.body())?;
    let said = serde_json::json!({ kind: opened.body(), "signed_by": opened.signer(), "digest": opened.digest() });
    output.say(&said, || format!("{text}\n# signed by {}\n# digest {}\n", opened.signer(), opened.digest()))
}

/// Prints a schema.
pub(crate) fn schema(kind: Kind, output: Output) -> Result<()> {
    let text = match kind {
        Kind::Permit => schema::of::<PermitBody>(),
        Kind::Application => schema::of::<ApplicationBody>(),
        Kind::Decision => schema::of::<DecisionBody>(),
        Kind::Revocation => schema::of::<RevocationBody>(),
    };
    let value: serde_json::Value = serde_json::from_str(&text)?;
    output.say(&value, || text)
}

/// Lines of a name and what it is.
#[derive(Default)]
pub(crate) struct Lines(Vec<(&'static str, String)>);

impl Lines {
    pub(crate) fn add(&mut self, name: &'static str, value: String) {
        self.0.push((name, value));
    }

    pub(crate) fn render(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name:<14} {}\n", crate::output::tame(value))).collect()
    }
}
