//! What a researcher has paid for answers that did not come.

use spe_kernel::{
    disclosure::Stage,
    federation::{NodeReport, Outcome},
    refusal::Refusal,
    units::Loss,
};
use spe_wire::view::View;

use crate::output::tame;

/// Whether a node that does not answer has charged.
#[derive(Debug, PartialEq, Eq)]
enum Charged {
    Yes,
    /// It depends on how far the job was, which the refusal does not say.
    IfItRan,
}

/// Of an outcome that brings no answer; none where nothing was charged, or where it is shown already.
const fn of(outcome: &Outcome) -> Option<Charged> {
    match outcome {
        Outcome::Answered { .. } | Outcome::Working { stage: None } | Outcome::Offline => None,
        Outcome::Working { stage: Some(stage) } => waiting(*stage),
        Outcome::Invalid { .. } => Some(Charged::Yes),
        Outcome::Refused { why } => refused(why),
    }
}

/// Of what has not answered yet; one that runs is about to.
const fn waiting(stage: Stage) -> Option<Charged> {
    match stage {
        Stage::Admitted | Stage::AwaitsApproval | Stage::Running => None,
        Stage::AwaitsRelease | Stage::AwaitsTwoSignatures | Stage::AwaitsSecondSignature => Some(Charged::Yes),
    }
}

/// Of a refusal: those that are always before the charge, and what the charge itself was refused for, are not named here.
const fn refused(why: &Refusal) -> Option<Charged> {
    match why {
        Refusal::DeadlineMissed | Refusal::Interrupted { .. } => Some(Charged::Yes),
        Refusal::OfficerRefused { .. }
        | Refusal::OfficerSilent { .. }
        // Who signed for an exact table asks for it.
        | Refusal::NotAllowed { .. }
        // It may have been found when the answer was to leave.
        | Refusal::RolledBack { .. }
        | Refusal::PermitRevoked { .. }
        | Refusal::PersonExcluded { .. }
        | Refusal::PermitExpired { .. }
        | Refusal::PermitReplaced { .. }
        | Refusal::AgreementNotLive { .. }
        | Refusal::Cancelled
        | Refusal::RoundOutOfTurn { .. }
        | Refusal::Unavailable { .. }
        | Refusal::Internal { .. } => Some(Charged::IfItRan),
        _ => None,
    }
}

/// What becomes of the charge where no answer came, a line for each such node.
pub(crate) fn text(view: &View) -> String {
    let line = |NodeReport { node, outcome }: &NodeReport| {
        let charge: Loss = view.charge;
        Some(match of(outcome)? {
            Charged::Yes => format!("  {node} charged {charge} for it, and a charge stays\n"),
            Charged::IfItRan => format!(
                "  if it had begun to run at {node}, {charge} is charged there, and a charge stays: `spe budget {}` shows what is spent\n",
                view.dataset
            ),
        })
    };
    tame(&view.nodes.iter().filter_map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: a charge that stays and is not told, or one that is told of a refusal before any charge.
    #[test]
    fn a_charge_without_an_answer_is_told() {
        let refused = |why| of(&Outcome::Refused { why });
        assert_eq!(refused(Refusal::DeadlineMissed), Some(Charged::Yes));
        assert_eq!(refused(Refusal::OfficerRefused { reason: "too few".into() }), Some(Charged::IfItRan));
        let number: spe_kernel::ids::PermitNumber = "p-1".parse().expect("a number");
        assert_eq!(refused(Refusal::PermitRevoked { number, since: String::new() }), Some(Charged::IfItRan));
        assert_eq!(refused(Refusal::OfficerSilent { days: 7 }), Some(Charged::IfItRan));
        let node: spe_kernel::ids::NodeName = "north".parse().expect("a name");
        assert_eq!(refused(Refusal::RolledBack { node, why: String::new() }), Some(Charged::IfItRan));
        let signed = Refusal::NotAllowed { who: "bob".into(), what: "ask for what they signed for".into() };
        assert_eq!(refused(signed), Some(Charged::IfItRan));
        assert_eq!(refused(Refusal::JobSpent), None);
        let loss: Loss = "rho=1".parse().expect("a loss");
        assert_eq!(refused(Refusal::PermitLossExhausted { asked: loss, spent: loss, cap: loss }), None);
        assert_eq!(of(&Outcome::Offline), None);
        let waits = |stage| of(&Outcome::Working { stage: Some(stage) });
        for charged in [Stage::AwaitsRelease, Stage::AwaitsTwoSignatures, Stage::AwaitsSecondSignature] {
            assert_eq!(waits(charged), Some(Charged::Yes), "{charged:?}");
        }
        for free in [Stage::Admitted, Stage::AwaitsApproval] {
            assert_eq!(waits(free), None, "{free:?}");
        }
    }
}
