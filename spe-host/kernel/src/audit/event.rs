//! What is logged.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ActorId, JobTag};
use crate::{
    dsse::PublicKey,
    ids::{DatasetName, Digest, PermitNumber},
    incident::Step,
    job::Purpose,
    ledger::AnswerKey,
    permit::PermitId,
    units::Loss,
};

/// A permit, by number and access body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitRef {
    /// Its number; of a line of amended or renewed permits, the first.
    pub number: PermitNumber,
    /// The key of the access body that signed it.
    pub issuer: PublicKey,
}

impl From<&PermitId> for PermitRef {
    fn from(id: &PermitId) -> Self {
        Self { number: id.number.clone(), issuer: id.issuer }
    }
}

/// An answer, by what it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Digest of the plan, which names module, columns, parameters and loss.
    pub plan: Digest,
    /// The dataset.
    pub dataset: DatasetName,
    /// Digest of the cohort: which version of the data, without whom.
    pub snapshot: Digest,
    /// The round, from 0.
    pub round: u32,
}

impl From<&AnswerKey> for Answer {
    fn from(key: &AnswerKey) -> Self {
        let AnswerKey { plan, dataset, snapshot, round } = key.clone();
        Self { plan, dataset, snapshot, round }
    }
}

/// A statement on a participation agreement, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Digest of what was signed.
    pub document: Digest,
    /// Who signed it.
    pub signer: PublicKey,
}

const fn one() -> u32 {
    1
}

/// What happened.
///
/// # Privacy
/// Digests, public names and numbers of requests; nothing computed from a record other than the digest of an answer that was
/// released. A field that could name a natural person, or be guessed to, is an [`ActorId`] or a [`JobTag`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// The records of an earlier version, which had no such log, begin here: the entries that follow were written for its rows.
    CarriedOver {
        /// The version of the tables.
        version: u32,
        /// Charges that were there.
        charges: u64,
        /// Releases that were there.
        releases: u64,
        /// The last link of the chain that the earlier version kept over its releases.
        chain: Option<Digest>,
    },
    /// The node started.
    NodeStarted {
        /// Version of the program.
        software: String,
    },
    /// The node stopped, because it was told to.
    NodeStopped {
        /// Version of the program.
        software: String,
    },
    /// A permit was used here for the first time.
    PermitSeen {
        /// The permit.
        permit: PermitRef,
        /// Digest of the signed document.
        document: Digest,
    },
    /// A job was admitted: permit, person, purpose, dataset, columns, module and policy agree.
    JobAdmitted {
        /// The signed job.
        job: JobTag,
        /// Under which permit.
        permit: PermitRef,
        /// What for.
        purpose: Purpose,
        /// What it asks.
        answer: Answer,
        /// Digest of the module.
        module: Digest,
    },
    /// A signed job was refused. Once a job, whatever happens to it later.
    JobRefused {
        /// The signed job.
        job: JobTag,
        /// Under which permit.
        permit: PermitRef,
        /// Which refusal, by its name.
        clause: String,
        /// The clause of the permit that did not hold, where it was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        article: Option<String>,
    },
    /// Jobs were refused whose signers no permit names, with a key or with a login: counted, and told once an hour at most.
    StrangersRefused {
        /// How many.
        jobs: u64,
        /// Since when.
        since: Timestamp,
    },
    /// Jobs, permits and revocations came that nobody had signed as they are, or that this version cannot read: counted, and told once an hour at most.
    DamagedRefused {
        /// How many.
        documents: u64,
        /// Since when.
        since: Timestamp,
    },
    /// A job was cancelled.
    JobCancelled {
        /// The signed job.
        job: JobTag,
    },
    /// A job met a fault, whose details are in the operator's own log.
    JobFailed {
        /// The signed job.
        job: JobTag,
    },
    /// Privacy loss was spent, before any record was read.
    Charged {
        /// The signed job.
        job: JobTag,
        /// Under which permit.
        permit: PermitRef,
        /// What was bought.
        answer: Answer,
        /// The price.
        loss: Loss,
    },
    /// A later round of something that was paid for began.
    RoundBegan {
        /// Which round of what.
        answer: Answer,
    },
    /// Loss and answer became final.
    Committed {
        /// What is answered.
        answer: Answer,
        /// Digest of the signed answer.
        envelope: Digest,
    },
    /// An answer may leave. Once an answer, however often and to whomever it leaves: so it tells nobody who paid for it, which
    /// [`Event::Charged`] of the same answer does, and hides under which permit.
    Released {
        /// What is answered.
        answer: Answer,
        /// Digest of the signed answer.
        envelope: Digest,
        /// Digest of the module, where it is known: answers that an earlier version gave do not say.
        module: Option<Digest>,
        /// The permit under which it was paid for: in entries of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permit: Option<PermitRef>,
        /// The same, hidden: [`super::PaidUnder::commitment`]. None in entries of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paid_under: Option<Digest>,
        /// What it cost: the whole job's price with the first round, nothing with later ones.
        loss: Loss,
        /// Version of the program.
        software: String,
    },
    /// An access body revoked a permit.
    PermitRevoked {
        /// The permit.
        permit: PermitRef,
        /// Digest of the signed revocation.
        document: Digest,
    },
    /// An access body excluded a person.
    PersonExcluded {
        /// Who.
        person: ActorId,
        /// Until when.
        until: Option<Timestamp>,
        /// Digest of the signed document.
        document: Digest,
    },
    /// What a line of permits had brought was deleted after its end.
    PermitEnded {
        /// The line.
        permit: PermitRef,
        /// Digest of the signed certificate, where something was left to delete.
        document: Option<Digest>,
    },
    /// The register of opt-outs as it was read, at the start or for a job: told each time, so that how many entries there are does not
    /// tell whether somebody opted out in between.
    #[serde(alias = "opt-outs-changed")]
    OptOutsRead {
        /// Of which dataset.
        dataset: DatasetName,
        /// Digest of the register.
        register: Digest,
    },
    /// A dataset was brought in, or brought in anew.
    DatasetIngested {
        /// Which.
        dataset: DatasetName,
        /// Digest of the snapshot.
        snapshot: Digest,
    },
    /// The node runs by another policy than before.
    PolicyChanged {
        /// Digest of the policy, with all files that it names.
        policy: Digest,
    },
    /// A checker, or the automatic rules, decided on an output: of each answer that is released, before the entry of its release. Earlier
    /// versions wrote none where the rules decided.
    GateDecided {
        /// Digest of the signed answer.
        envelope: Digest,
        /// Whether it may leave, as far as this decision goes: it does when all the signatures are there, and never after a `false`.
        released: bool,
        /// Digest of the signed decision; none where the rules decided.
        document: Option<Digest>,
        /// Which signature it is, from 1; 0 of 0 where the rules decided. Entries of earlier versions do not say, and have one each.
        #[serde(default = "one")]
        signature: u32,
        /// How many are wanted: two for an exact table.
        #[serde(default = "one")]
        of: u32,
    },
    /// An officer decided whether a job is run.
    RunDecided {
        /// The signed job.
        job: JobTag,
        /// Whether it may.
        allowed: bool,
        /// Digest of the signed decision.
        document: Digest,
    },
    /// An operator lets a dataset go on after the node had stopped it by itself, for too many late runs.
    BreakerReset {
        /// Which dataset.
        dataset: DatasetName,
        /// How many late runs were looked at.
        misses: u32,
    },
    /// The key holder gives a dataset's key no more: it was destroyed there, and with it what it encrypted.
    KeysDestroyed {
        /// Which dataset.
        dataset: DatasetName,
    },
    /// An operator has the node go on from records that are not those that were seen of it.
    RollbackAcknowledged {
        /// When that was found.
        found_at: Timestamp,
    },
    /// A party stated something on the agreement with the federation: it was made, amended, suspended, resumed or ended, or signed by the
    /// second party. Once a statement.
    AgreementChanged {
        /// Digest of the signed statement; in entries of earlier versions, of all statements.
        document: Digest,
        /// What is stated: offer, accept, suspend, resume, terminate or countersign. Entries of earlier versions do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stated: Option<String>,
        /// Who signed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signer: Option<PublicKey>,
        /// The other party's statement under which it is the second signature.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<Statement>,
    },
    /// Something was done about an incident; what it was is in the node's records.
    IncidentRecorded {
        /// The incident's number.
        incident: u32,
        /// What was done.
        step: Step,
        /// When: the incident became known, or the report was sent.
        done_at: Timestamp,
    },
    /// What stood for a person was erased.
    PersonForgotten {
        /// Which.
        person: ActorId,
    },
    /// Bodies of entries were removed after the time that the node keeps them. Their hashes stay.
    LogPruned {
        /// Entries before this time.
        before: Timestamp,
        /// How many.
        entries: u64,
    },
}
