//! The output gate at this node: what is durable is examined, and somebody answers for it.

use serde_json::json;
use spe_kernel::{
    admission::Admitted,
    disclosure::Committed,
    gate::{Cleared, examine},
    officer::{Duty, Matter},
    permit::Review,
    refusal::{Refusal, Stop},
};

use crate::{
    officers::{Asked, ask, has_officer},
    site::Site,
};

/// Whether the answers of `admitted` can be reviewed as permit and node want it; before anything is charged.
///
/// # Errors
/// [`Refusal::PolicyForbids`]: there is no officer for it, or every round's answer would have to be read before the next begins.
pub(crate) fn reviewable(site: &Site, admitted: &Admitted, permitted: Review) -> Result<(), Refusal> {
    let rules = &site.policy.outputs;
    if rules.may_ask(permitted) {
        has_officer(site, Duty::CheckOutputs)?;
    }
    if rules.review(permitted) == Review::Checked && admitted.plan().rounds() > 1 {
        let rule = "an officer checks every answer, and a job with rounds has one in each: ask for a permit with automatic release";
        return Err(Refusal::PolicyForbids { rule: rule.into() });
    }
    Ok(())
}

/// Lets `committed` pass, if the permit, the checks and the officers do; nothing where an officer has yet to decide.
///
/// # Errors
/// [`Refusal::OfficerRefused`]: it never leaves. A fault: it is not what its plan asks for.
pub(crate) fn pass(
    site: &Site,
    admitted: &Admitted,
    permitted: Review,
    committed: Committed,
) -> Result<Option<Cleared>, Stop> {
    let (rules, signer) = (&site.policy.outputs, (&site.name, site.key.public()));
    let examined = examine(&committed, admitted.plan(), signer, rules)?;
    // What an officer was once to decide, no other permit's automatic release decides.
    let review = match site.records().is_officers(Matter::Release(committed.digest()))? {
        true => Review::Checked,
        false => rules.review(permitted),
    };
    let committed = match Cleared::automatically(committed, &examined, review) {
        Ok(cleared) => return Ok(Some(cleared)),
        Err(committed) => committed,
    };
    let body = admitted.job().body();
    let about = json!({
        "person": body.person, "purpose": body.purpose, "permit": body.permit, "dataset": body.plan.dataset(),
        "findings": examined.findings(), "statistics": examined.statistics(),
    });
    match ask(site, admitted, Matter::Release(committed.digest()), &about)? {
        Asked::Agreed(verdict) => Ok(Some(Cleared::by_officer(committed, &verdict)?)),
        Asked::Waits => Ok(None),
    }
}
