//! Receipts, checked without anybody's help.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use spe_kernel::{
    audit::Event,
    disclosure::{ANSWER_TYPE, Answer},
    dsse::{self, PublicKey},
    ids::NodeName,
    receipt::{Opened, ReceiptError, node_of, open},
};

use crate::{
    connect::read,
    exit::Refused,
    output::{Answered, Output},
};

/// What became of an answer's receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receipted {
    /// The node sent none.
    Missing,
    /// The answer is in the node's log; no witness is known to have seen it there.
    Logged(String),
    /// The answer is in the node's log, and the hub, as witness, has seen it there.
    Witnessed(String),
}

impl Receipted {
    /// The receipt's text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Missing => None,
            Self::Logged(text) | Self::Witnessed(text) => Some(text),
        }
    }
}

/// Checks the receipt that came with an answer.
pub(crate) fn check(
    receipt: Option<String>,
    (node, key): (&NodeName, PublicKey),
    envelope: &[u8],
    witness: Option<PublicKey>,
) -> Result<Receipted, ReceiptError> {
    let Some(text) = receipt else { return Ok(Receipted::Missing) };
    let opened = open(&text, node, key)?;
    opened.is_for(envelope)?;
    Ok(match witness.map(|witness| opened.cosigned_at(witness)) {
        Some(Ok(_)) => Receipted::Witnessed(text),
        _ => Receipted::Logged(text),
    })
}

/// `spe audit verify --receipt`.
pub(super) fn verify(
    file: &Path,
    (answer, permit): (Option<&Path>, Option<&Path>),
    (key, witness): (PublicKey, Option<PublicKey>),
    output: Output,
) -> Result<()> {
    let text = String::from_utf8(read(file)?).with_context(|| format!("{} is not text", file.display()))?;
    let at = || format!("{} does not hold", file.display());
    let node = node_of(&text).with_context(at)?;
    let opened = open(&text, &node, key).with_context(at)?;
    if let Some(answer) = answer {
        let envelope = read(answer)?;
        let signed = dsse::verify(&envelope, ANSWER_TYPE, "the answer")
            .with_context(|| format!("{} is not a signed answer", answer.display()))?;
        opened.is_for(&envelope).with_context(at)?;
        if signed.signer != key {
            let other = format!("{} is signed by {}, not by the node's key", answer.display(), signed.signer);
            return Err(Refused::untrusted(other));
        }
        let answer: Answer = serde_json::from_slice(&signed.payload).context("reading the answer")?;
        ensure!(answer.node == node, "the answer is of node {}, and the receipt of node {node}", answer.node);
    }
    if let Some(permit) = permit {
        let document = crate::permit::opened(&read(permit)?, permit)?;
        match opened.is_under(document.digest()) {
            // The receipt holds all the same: it is told below what it does not show.
            Err(ReceiptError::NoPermit) => {}
            other => {
                other.with_context(at)?;
            }
        }
    }
    let is_lacking = permit.is_some() && opened.logged().paid_under.is_none();
    let cosigned = witness.map(|witness| opened.cosigned_at(witness)).transpose().with_context(at)?;
    say(&node, &opened, cosigned, (answer.is_some(), permit.is_some() && !is_lacking), output)?;
    if is_lacking {
        return Err(Answered(format!(
            "what was asked for is not shown, though the receipt holds: {}",
            ReceiptError::NoPermit
        ))
        .into());
    }
    Ok(())
}

fn say(
    node: &NodeName,
    opened: &Opened,
    cosigned: Option<u64>,
    (answer_compared, permit_compared): (bool, bool),
    output: Output,
) -> Result<()> {
    let Event::Released { answer, envelope, loss, software, .. } = &opened.logged().entry.event else {
        bail!("the receipt does not tell of a release")
    };
    let at = cosigned.map(|time| Timestamp::from_second(i64::try_from(time).unwrap_or(0)).unwrap_or_default());
    let said = serde_json::json!({ "node": node, "index": opened.index(), "size": opened.checkpoint().checkpoint().size,
        "entry": opened.logged().entry, "paid_under": opened.logged().paid_under, "answer_compared": answer_compared,
        "permit_compared": permit_compared, "cosigned_at": at });
    output.say(&said, || {
        let witness = at.map_or_else(|| "cosignatures were not checked: name the --witness-key".into(), |at| format!("cosigned by the witness at {at}"));
        let permit = opened.logged().paid_under.as_ref().map_or_else(
            || "the receipt does not say under which permit it was paid for".into(),
            |paid| format!("paid for under permit {} of {}, document {}", paid.permit.number, paid.permit.issuer, paid.document),
        );
        let given = if answer_compared { "the given answer" } else { "an answer (give it with --answer to have it compared)" };
        format!(
            "entry {} of the log of node {node}, which had {} entries: {given} was released at {}\nanswer {}, plan {}, round {}, dataset {}, loss {loss}, {software}\n{permit}\n{witness}\nthe receipt holds\n",
            opened.index(),
            opened.checkpoint().checkpoint().size,
            opened.logged().entry.at,
            envelope.short(),
            answer.plan.short(),
            answer.round,
            answer.dataset,
        )
    })
}
