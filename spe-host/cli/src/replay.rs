//! The rounds of a job, computed again from what the nodes signed.

use anyhow::{Result, ensure};
use spe_kernel::{
    disclosure::Answer,
    plan::Plan,
    rounds::{Merged, state_digest, update_input},
};

/// What the rounds came to.
#[derive(Debug, PartialEq)]
pub(crate) struct Replay {
    /// Rounds that were merged.
    pub(crate) done: u32,
    /// The last state, if nothing more is to be run.
    pub(crate) last: Option<Vec<f64>>,
}

/// Computes every state of the rounds from the answers before it, and holds each answer to the state that it was computed on.
///
/// `rounds` has the answers of each round, of which the first `merged` are done. `update` is the module's `spe_update`: the next
/// state, or none where the module stops.
///
/// A hub that handed a node other sums than the signed ones, or hides an answer that it merged, is found out: the states after
/// that differ. So is a node whose state is not that of the others.
pub(crate) fn replay(
    plan: &Plan,
    rounds: &[Vec<Answer>],
    merged: u32,
    mut update: impl FnMut(&[f64]) -> Result<Option<Vec<f64>>>,
) -> Result<Replay> {
    let zeros = vec![0.0; plan.state().len()];
    let mut state = update(&update_input(plan, 0, &zeros, None))?.unwrap_or(zeros);
    let mut done = 0;
    for answers in rounds {
        let digest = state_digest(&state);
        for answer in answers {
            ensure!(
                answer.state == digest,
                "node {} answered round {done} on another state than the signed answers before it give: the hub handed it \
                 other sums, or hides some",
                answer.node
            );
        }
        if done == merged {
            break;
        }
        ensure!(!answers.is_empty(), "the hub shows {merged} rounds, and no answer to round {done}");
        done += 1;
        let next = update(&update_input(plan, done, &state, Some(&Merged::of(plan, answers))))?;
        match next {
            None => return ended(done, merged, state),
            Some(last) if done == plan.rounds() => return ended(done, merged, last),
            Some(next) => state = next,
        }
    }
    ensure!(done == merged, "the hub shows {merged} rounds, and has answers to {done} only");
    Ok(Replay { done, last: None })
}

fn ended(done: u32, merged: u32, state: Vec<f64>) -> Result<Replay> {
    ensure!(done == merged, "the hub shows {merged} rounds, and the module stopped after {done}");
    Ok(Replay { done, last: Some(state) })
}

#[cfg(test)]
mod tests {
    use spe_kernel::{
        certificate::{Certificate, Neighbours},
        conversion::epsilon_at,
        dataset::DatasetSchema,
        disclosure::{ANSWER_FORMAT, Cells, Mechanism, NoisyOutput},
        ids::Digest,
        manifest::Manifest,
        plan::Choices,
    };

    use super::*;

    fn plan(rounds: u32) -> Plan {
        let manifest =
            br#"{"name": "m", "version": "1", "abi": 1, "inputs": [{"table": "t", "columns": ["x"], "max_rows": 1}],
            "rounds": {"default": 3, "max": 9, "state": ["a"]}, "outputs": [{"name": "n", "kind": "count"}]}"#;
        let schema = r#"{"name": "d", "title": "", "subjects_max": 10, "tables": [{"name": "t",
            "columns": [{"name": "x", "type": "boolean"}]}]}"#;
        let manifest = Manifest::parse(manifest).expect("a manifest");
        let schema: DatasetSchema = serde_json::from_str(schema).expect("a schema");
        let choices = Choices { rounds: Some(rounds), ..Choices::new("rho=1".parse().expect("a loss")) };
        Plan::new(&manifest, Digest::of(b"m"), &schema, &choices).expect("a plan")
    }

    fn answer(plan: &Plan, node: &str, round: u32, state: &[f64], sum: i128) -> Answer {
        let loss = plan.loss();
        Answer {
            format: ANSWER_FORMAT.into(),
            node: node.parse().expect("a name"),
            dataset: plan.dataset().clone(),
            snapshot: Digest::of(b"s"),
            plan: plan.digest(),
            round,
            state: state_digest(state),
            loss,
            outputs: vec![NoisyOutput {
                mechanism: Mechanism::DiscreteGaussian,
                scale: 1.0,
                sensitivity: 1,
                cells: Cells(vec![sum << 20]),
            }],
            certificate: Certificate {
                neighbours: Neighbours::AddOrRemoveOneSubject,
                overlap: 1,
                spent_before: loss,
                spent_after: loss,
                budget: loss,
                charge: Some([epsilon_at(loss, 1e-6); 2]),
                spent: Some([epsilon_at(loss, 1e-6); 2]),
                exact_tables: 0,
            },
        }
    }

    /// The state is what it was and the people of the last round; the module stops when there are 100.
    fn update(input: &[f64]) -> Result<Option<Vec<f64>>> {
        Ok(match input {
            [_, _, state] => Some(vec![state + 1.0]),
            [_, _, state, people] if state + people < 100.0 => Some(vec![state + people]),
            _ => None,
        })
    }

    /// Two nodes, three rounds: state 1, then 1 + 5, then 6 + 7, then 13 + 9.
    fn honest(plan: &Plan) -> Vec<Vec<Answer>> {
        let round = |round, state: f64, sums: [i128; 2]| {
            vec![answer(plan, "north", round, &[state], sums[0]), answer(plan, "south", round, &[state], sums[1])]
        };
        vec![round(0, 1.0, [2, 3]), round(1, 6.0, [3, 4]), round(2, 13.0, [4, 5])]
    }

    #[test]
    fn honest_rounds_give_the_last_state() {
        let plan = plan(3);
        let rounds = honest(&plan);
        let found = replay(&plan, &rounds, 3, update).expect("honest");
        assert_eq!(found, Replay { done: 3, last: Some(vec![22.0]) });
        let under_way = replay(&plan, &rounds, 2, update).expect("honest");
        assert_eq!(under_way, Replay { done: 2, last: None }, "the third round is not merged yet");
    }

    #[test]
    fn a_module_that_stops_early_gives_the_state_it_stopped_on() {
        let plan = plan(9);
        let mut rounds = honest(&plan);
        rounds[1][0].outputs[0].cells = Cells(vec![200 << 20]);
        rounds.truncate(2);
        assert_eq!(replay(&plan, &rounds, 2, update).expect("honest"), Replay { done: 2, last: Some(vec![6.0]) });
    }

    #[test]
    fn every_lie_about_rounds_is_found_out() {
        let plan = plan(3);
        let found_out = |what: &str, change: &dyn Fn(&mut Vec<Vec<Answer>>), merged| {
            let mut rounds = honest(&plan);
            change(&mut rounds);
            assert!(replay(&plan, &rounds, merged, update).is_err(), "{what} was believed");
        };
        found_out("other sums", &|rounds| rounds[0][1].outputs[0].cells = Cells(vec![9 << 20]), 3);
        found_out("an answer that was merged and is hidden", &|rounds| drop(rounds[1].pop()), 3);
        found_out("a node on a state of its own", &|rounds| rounds[2][0].state = state_digest(&[14.0]), 3);
        found_out("a round under way on another state", &|rounds| rounds[2][0].state = state_digest(&[14.0]), 2);
        found_out("a round that nobody answered", &|rounds| rounds[1].clear(), 3);
        found_out("more rounds than were answered", &|rounds| rounds.truncate(2), 3);
    }
}
