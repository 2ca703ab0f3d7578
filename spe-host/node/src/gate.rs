//! The output gate at this node: what is durable is examined, and somebody answers for it.

use serde_json::json;
use spe_kernel::{
    admission::Admitted,
    disclosure::{Committed, Stage},
    gate::{ByTwo, Cleared, examine},
    officer::{Duty, Matter},
    permit::Review,
    plan::Release,
    refusal::{Refusal, Stop},
};

use crate::{
    officers::{Asked, ask, earlier_exact, has_officer, has_two_checkers},
    site::Site,
};

/// Whether the answers of `admitted` can be reviewed as permit and node want it; before anything is charged.
///
/// # Errors
/// [`Refusal::PolicyForbids`]: there is no officer for it, or every round's answer would have to be read before the next begins.
pub(crate) fn reviewable(site: &Site, admitted: &Admitted, permitted: Review) -> Result<(), Refusal> {
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
        return Err(Refusal::PolicyForbids { rule: rule.into() });
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
    let mut about = json!({
        "person": body.person, "purpose": body.purpose, "permit": body.permit, "dataset": body.plan.dataset(),
        "findings": examined.findings(), "statistics": examined.statistics(), "signer": admitted.job().signer(),
    });
    let matter = Matter::Release(committed.digest());
    if examined.release() == Release::Noisy {
        return match ask(site, admitted, (matter, 1), &about)? {
            Asked::Agreed(verdicts) => {
                let cleared = verdicts.first().map(|verdict| Cleared::by_officer(committed, &examined, verdict));
                Ok(Passed::Cleared(cleared.ok_or_else(nobody)??))
            }
            Asked::Waits(_) => Ok(Passed::Waits(Stage::AwaitsRelease)),
        };
    }
    if let Some(fields) = about.as_object_mut() {
        fields.insert("earlier_exact_tables".into(), json!(earlier_exact(site, admitted)?));
    }
    match ask(site, admitted, (matter, 2), &about)? {
        Asked::Agreed(verdicts) => {
            let asked_by = (&body.person, admitted.job().signer());
            let agreed = ByTwo::of(committed.digest(), &verdicts, asked_by)?.ok_or_else(nobody)?;
            Ok(Passed::Cleared(Cleared::by_two_officers(committed, &agreed)?))
        }
        Asked::Waits(0) => Ok(Passed::Waits(Stage::AwaitsTwoSignatures)),
        Asked::Waits(_) => Ok(Passed::Waits(Stage::AwaitsSecondSignature)),
    }
}

/// Who asks for the answer again is one of those who signed for it: nobody decides about what they ask themselves.
fn nobody() -> Refusal {
    Refusal::PolicyForbids { rule: "who signed for an exact table may not ask for it".into() }
}
