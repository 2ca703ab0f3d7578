//! The output gate at this node: what is durable is examined, and somebody answers for it.

use serde_json::{Value, json};
use spe_kernel::{
    admission::Admitted,
    disclosure::{Committed, Stage},
    fault::Fault,
    gate::{ByTwo, Cleared, examine},
    ids::PersonName,
    officer::{Duty, Matter},
    permit::Review,
    plan::Release,
    refusal::{Refusal, Stop},
};

use crate::{
    officers::{Asked, approval, ask, has_officer, has_two_checkers},
    site::Site,
};

/// Whether the answers of `admitted` can be reviewed as permit and node want it; before anything is charged.
///
/// # Errors
/// [`Refusal::PolicyForbids`]: there is no officer for it, or every round's answer would have to be read before the next begins.
pub(crate) fn reviewable(site: &Site, admitted: &Admitted, permitted: Review) -> Result<(), Stop> {
    let rules = &site.policy.outputs;
    if admitted.exact().is_some() {
        has_officer(site, Duty::ApproveRuns)?;
        has_two_checkers(site, admitted)?;
    }
    if rules.may_ask(permitted) {
        has_officer(site, Duty::CheckOutputs)?;
    }
    if rules.review(permitted) == Review::Checked && admitted.plan().rounds() > 1 {
        let rule = "an officer checks every answer, and a job with rounds has one in each: ask for a permit with automatic release";
        return Err(Refusal::PolicyForbids { rule: rule.into() }.into());
    }
    Ok(())
}

/// What came of an answer at the gate.
pub(crate) enum Passed {
    /// Somebody answers for it.
    Cleared(Cleared),
    /// Officers have yet to decide.
    Waits(Stage),
}

/// Lets `committed` pass, if the permit, the checks and the officers do.
///
/// # Errors
/// [`Refusal::OfficerRefused`]: it never leaves. A fault: it is not what its plan asks for.
pub(crate) fn pass(site: &Site, admitted: &Admitted, permitted: Review, committed: Committed) -> Result<Passed, Stop> {
    let (rules, signer) = (&site.policy.outputs, (&site.name, site.key.public()));
    let examined = examine(&committed, admitted.plan(), signer, rules)?;
    // What an officer was once to decide, no other permit's automatic release decides.
    let review = match site.records().is_officers(Matter::Release(committed.digest()))? {
        true => Review::Checked,
        false => rules.review(permitted),
    };
    let committed = match Cleared::automatically(committed, &examined, review) {
        Ok(cleared) => return Ok(Passed::Cleared(cleared)),
        Err(committed) => committed,
    };
    let body = admitted.job().body();
    let about = json!({
        "person": body.person, "purpose": body.purpose, "permit": body.permit, "dataset": body.plan.dataset(),
        "plan": body.plan, "cohort": admitted.charge().key.snapshot,
        "findings": examined.findings(), "statistics": examined.statistics(), "signer": admitted.job().signer(),
    });
    if examined.release() == Release::ExactTables {
        return exact_table(site, admitted, committed, about);
    }
    match ask(site, admitted, (Matter::Release(committed.digest()), 1), &about)? {
        Asked::Agreed(verdicts) => {
            let none =
                || Fault::new("clearing an answer", "officers agreed to it, and none of their verdicts is there");
            let verdict = verdicts.first().ok_or_else(none)?;
            Ok(Passed::Cleared(Cleared::by_officer(committed, &examined, verdict)?))
        }
        Asked::Waits(_) => Ok(Passed::Waits(Stage::AwaitsRelease)),
    }
}

/// Lets an exact table pass that two officers have signed for, neither of whom approved its run.
fn exact_table(site: &Site, admitted: &Admitted, committed: Committed, mut about: Value) -> Result<Passed, Stop> {
    let none = || Fault::new("clearing an exact table", "nobody's approval of its run is there");
    let approval = approval(site, admitted)?.ok_or_else(none)?;
    if let Some(fields) = about.as_object_mut() {
        let (name, key) = (&approval.body().officer, approval.signer());
        fields.insert("run_approved_by".into(), json!({ "name": name, "key": key }));
    }
    match ask(site, admitted, (Matter::Release(committed.digest()), 2), &about)? {
        Asked::Agreed(verdicts) => {
            let person = &admitted.job().body().person;
            let asked_by = (person, admitted.job().signer());
            let agreed = ByTwo::of(committed.digest(), &verdicts, asked_by, &approval)?;
            Ok(Passed::Cleared(Cleared::by_two_officers(committed, &agreed.ok_or_else(|| nobody(person))?)?))
        }
        Asked::Waits(0) => Ok(Passed::Waits(Stage::AwaitsTwoSignatures)),
        Asked::Waits(_) => Ok(Passed::Waits(Stage::AwaitsSecondSignature)),
    }
}

/// Who asks for the answer again is one of those who signed for it: nobody decides about what they ask themselves. A class of its own:
/// unlike what the policy forbids, this is refused after the charge.
fn nobody(person: &PersonName) -> Refusal {
    Refusal::NotAllowed {
        who: format!("person {person}"),
        what: "ask for an answer that they signed for as an officer".into(),
    }
}
