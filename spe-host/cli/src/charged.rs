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
    /// What it refused for is looked at before the charge only.
    No,
    /// It may refuse for that before the charge and after it; as far as the node has said, the job had not begun to run.
    NotAsFarAsSaid,
}

/// Of an outcome that brings no answer; none where one may come, or where it is shown already.
fn of(outcome: &Outcome) -> Option<Charged> {
    match outcome {
        Outcome::Answered { .. } | Outcome::Working { stage: None } | Outcome::Offline => None,
        Outcome::Working { stage: Some(stage) } => waiting(*stage),
        Outcome::Invalid { .. } => Some(Charged::Yes),
        Outcome::Refused { stage, .. } if stage.is_some_and(Stage::is_charged) => Some(Charged::Yes),
        Outcome::Refused { why, .. } => Some(refused(why)),
    }
}

/// Of what has not answered yet; one that runs is about to.
const fn waiting(stage: Stage) -> Option<Charged> {
    match stage {
        Stage::Admitted | Stage::AwaitsApproval | Stage::Running => None,
        Stage::AwaitsRelease | Stage::AwaitsTwoSignatures | Stage::AwaitsSecondSignature => Some(Charged::Yes),
    }
}

/// Of a refusal, where the node has not said that the job ran: what is looked at before the charge and never after it, and what the charge
/// itself was refused for, is named.
const fn refused(why: &Refusal) -> Charged {
    match why {
        Refusal::DeadlineMissed | Refusal::Interrupted { .. } => Charged::Yes,
        Refusal::Malformed { .. }
        | Refusal::TooLarge { .. }
        | Refusal::BadSignature { .. }
        | Refusal::UntrustedKey { .. }
        | Refusal::PermitFromTheFuture { .. }
        | Refusal::PermitNotYetValid { .. }
        | Refusal::JobNotFresh { .. }
        | Refusal::WrongPermit { .. }
        | Refusal::PersonNotInPermit { .. }
        | Refusal::LoginRequired { .. }
        | Refusal::LoginRefused { .. }
        | Refusal::PurposeNotInPermit { .. }
        | Refusal::DatasetNotInPermit { .. }
        | Refusal::ColumnNotInPermit { .. }
        | Refusal::ModuleNotInPermit { .. }
        | Refusal::NodeNotInPermit { .. }
        | Refusal::TimeRangeUnenforceable { .. }
        | Refusal::PlanNotInPermit { .. }
        | Refusal::PermitForbids { .. }
        | Refusal::Unlawful { .. }
        | Refusal::PermitLossExhausted { .. }
        | Refusal::DatasetLossExhausted { .. }
        | Refusal::DeltaNotAllowed { .. }
        | Refusal::PolicyForbids { .. }
        | Refusal::NodeNotAsked { .. }
        | Refusal::DatasetUnknown { .. }
        | Refusal::PlanUnfit { .. }
        | Refusal::ModuleRefused { .. }
        | Refusal::JobSpent
        | Refusal::RoundOfAnother { .. }
        | Refusal::TooManyMisses { .. } => Charged::No,
        // It may have been found when the answer was to leave, or been asked for by who signed for an exact table.
        _ => Charged::NotAsFarAsSaid,
    }
}

/// What becomes of the charge where no answer came, a line for each such node.
pub(crate) fn text(view: &View) -> String {
    let line = |NodeReport { node, outcome }: &NodeReport| {
        let charge: Loss = view.charge;
        Some(match of(outcome)? {
            Charged::Yes => format!("  {node} charged {charge} for it, and a charge stays\n"),
            Charged::No => format!("  nothing is charged at {node}: it refused before the job ran\n"),
            Charged::NotAsFarAsSaid => format!(
                "  as far as {node} has said, the job had not begun to run there, and nothing is charged; `spe budget {}` shows what is spent\n",
                view.dataset
            ),
        })
    };
    tame(&view.nodes.iter().filter_map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What would be a bug: a charge that stays and is not told, or one that is told of a job that never ran.
    #[test]
    fn a_charge_without_an_answer_is_told() {
        let at = |why: &Refusal, stage| of(&Outcome::Refused { why: why.clone(), stage });
        let before = |why: Refusal| at(&why, Some(Stage::Admitted));
        let number: spe_kernel::ids::PermitNumber = "p-1".parse().expect("a number");
        let node: spe_kernel::ids::NodeName = "north".parse().expect("a name");
        assert_eq!(before(Refusal::DeadlineMissed), Some(Charged::Yes));
        for either in [
            Refusal::OfficerRefused { reason: "too few".into() },
            Refusal::PermitRevoked { number, since: String::new() },
            Refusal::OfficerSilent { days: 7 },
            Refusal::RolledBack { node, why: String::new() },
            Refusal::NotAllowed { who: "bob".into(), what: "ask for what they signed for".into() },
        ] {
            for stage in [None, Some(Stage::Admitted), Some(Stage::AwaitsApproval)] {
                assert_eq!(at(&either, stage), Some(Charged::NotAsFarAsSaid), "{either:?} at {stage:?}");
            }
            for stage in [Stage::Running, Stage::AwaitsRelease] {
                assert_eq!(at(&either, Some(stage)), Some(Charged::Yes), "{either:?} at {stage:?}");
            }
        }
        let loss: Loss = "rho=1".parse().expect("a loss");
        for free in [Refusal::JobSpent, Refusal::PermitLossExhausted { asked: loss, spent: loss, cap: loss }] {
            assert_eq!(before(free.clone()), Some(Charged::No), "{free:?}");
        }
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
