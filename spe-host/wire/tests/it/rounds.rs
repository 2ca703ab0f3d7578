//! What goes to and fro between the rounds of a job, at its largest.

use std::sync::{Arc, Mutex};

use spe_kernel::{
    certificate::{Certificate, Neighbours},
    conversion::EpsilonAt,
    dataset::DatasetSchema,
    disclosure::{ANSWER_FORMAT, ANSWER_TYPE, Answer, Catalogue, Cells, Mechanism, NoisyOutput},
    dsse::{self, SecretKey},
    ids::{Digest, NAME_BYTES_MAX},
    manifest::{Manifest, OUTPUTS_MAX, STATE_MAX},
    plan::{CELLS_MAX, Choices, Plan},
    refusal::Refusal,
    rounds::{Finished, Merged, NextRound},
    units::{Loss, Measure},
};
use spe_wire::{
    Assignment, HubClient, Report, Seats, Submission, encode,
    limits::{ANSWER_BYTES_MAX, ENVELOPE_BYTES_MAX, FINISHED_BYTES_MAX, NEXT_ROUND_BYTES_MAX, answer_bytes_max},
};

use crate::stub::{Federation, Stub};

const SEATS: Seats = Seats { connections_max: 8, connections_per_member_max: 8 };

/// Cells that add up to [`CELLS_MAX`], over as many outputs as there may be.
fn largest_sums() -> Vec<Cells> {
    let each = CELLS_MAX / OUTPUTS_MAX;
    // One output has a cell more than its share and another one less: base64 pads both.
    let shape = |i: usize| {
        if i == 0 {
            each + 1
        } else if i == 1 {
            each - 1
        } else {
            each
        }
    };
    (0..OUTPUTS_MAX).map(|i| Cells(vec![i128::MIN; shape(i)])).collect()
}

fn largest_round() -> NextRound {
    NextRound { round: u32::MAX, merged: Merged { nodes: u32::MAX, sums: largest_sums() } }
}

async fn attending(federation: &Federation) -> spe_wire::Incoming<Assignment> {
    let hub = HubClient::connect(&federation.connection("anna")).await.unwrap();
    let key = SecretKey::from_seed(&[7; 32]).public();
    hub.attend(encode(&Catalogue {
        node: "north".parse().unwrap(),
        key,
        access_bodies: Vec::new(),
        datasets: Vec::new(),
    }))
    .await
    .unwrap()
}

#[tokio::test]
async fn the_largest_round_arrives_as_it_was_sent() {
    let envelope = || vec![b'x'; ENVELOPE_BYTES_MAX];
    let submission = Submission { job: envelope(), permit: envelope() };
    let round = Assignment::Round { job: "job-1".parse().unwrap(), submission, next: largest_round() };
    let stub = Stub { work: vec![round.clone()], ..Stub::default() };
    let federation = Federation::around(stub, SEATS).await;
    let arrived = attending(&federation).await.next().await.expect("a round was too large to arrive").unwrap();
    assert!(arrived == round, "the node got another round than the hub sent");
}

#[test]
fn a_round_is_not_allowed_more_than_the_largest_needs() {
    let bytes = serde_json::to_vec(&largest_round()).unwrap().len();
    assert!(bytes <= NEXT_ROUND_BYTES_MAX, "the largest plan's rounds would end after the first: {bytes} bytes");
    assert!(NEXT_ROUND_BYTES_MAX - bytes < 1_024, "the limit lets {} bytes more through", NEXT_ROUND_BYTES_MAX - bytes);
}

#[tokio::test]
async fn too_large_a_round_does_not_leave_the_hub() {
    let sums = vec![Cells(vec![0; CELLS_MAX + 1_024])];
    let next = NextRound { round: 1, merged: Merged { nodes: 1, sums } };
    let submission = Submission { job: Vec::new(), permit: Vec::new() };
    let round = Assignment::Round { job: "job-1".parse().unwrap(), submission, next };
    let federation = Federation::around(Stub { work: vec![round], ..Stub::default() }, SEATS).await;
    let refused = attending(&federation).await.next().await.map(drop);
    assert!(matches!(refused, Err(Refusal::TooLarge { .. })), "more than the largest round came through: {refused:?}");
}

#[tokio::test]
async fn the_longest_last_state_arrives_to_the_last_bit() {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let stub = Stub { reports: Arc::clone(&reports), ..Stub::default() };
    let federation = Federation::around(stub, SEATS).await;
    let hub = HubClient::connect(&federation.connection("anna")).await.unwrap();
    let state = [-f64::MIN_POSITIVE * 1.1, f64::MAX, -0.0, 0.1].repeat(STATE_MAX / 4);
    let finished = Finished { plan: Digest::of(b"plan"), rounds: u32::MAX, state };
    hub.report(&"job-1".parse().unwrap(), encode(&finished)).await.expect("a last state was too long to arrive");
    let Some(Report::Finished(arrived)) = reports.lock().unwrap().pop() else { panic!("it arrived as something else") };
    let bits = |finished: &Finished| finished.state.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&arrived), bits(&finished), "nodes that agree would seem to differ");
    let longest = vec![-1.234_567_890_123_456_7e-308; STATE_MAX];
    let bytes = serde_json::to_vec(&Finished { state: longest, ..finished }).unwrap().len();
    assert!((bytes..bytes + 1_024).contains(&FINISHED_BYTES_MAX), "{bytes} bytes against {FINISHED_BYTES_MAX}");
}

/// A plan of one output with so many cells.
fn plan(cells: usize, outputs: usize) -> Plan {
    let schema: DatasetSchema = serde_json::from_value(serde_json::json!({
        "name": "x".repeat(NAME_BYTES_MAX), "title": "", "subjects_max": 1, "tables": [{ "name": "t", "columns": [
            { "name": "c", "type": "integer", "min": 0, "max": 1 }
        ]}]
    }))
    .unwrap();
    let output =
        |i: usize| serde_json::json!({ "name": format!("o{i}"), "kind": "vector_sum", "labels": cells, "norm": 1 });
    let manifest = serde_json::json!({
        "name": "m", "version": "1", "abi": 1, "inputs": [{ "table": "t", "columns": ["c"], "max_rows": 1 }],
        "outputs": (0..outputs).map(output).collect::<Vec<_>>()
    });
    let manifest = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap();
    Plan::new(&manifest, Digest::of(b"m"), &schema, &Choices::new("rho=1".parse().unwrap())).unwrap()
}

/// An answer to `plan` that is as long as one can be: the longest names, losses and numbers.
fn longest_answer(plan: &Plan) -> Vec<u8> {
    let loss = Loss::from_pico(Measure::Pure, u64::MAX).with_delta_atto(u64::MAX);
    let float = -1.234_567_890_123_456_7e-308;
    let at = [EpsilonAt { delta: float, epsilon: float }; 2];
    let certificate = Certificate {
        neighbours: Neighbours::AddOrRemoveOneSubject,
        overlap: u32::MAX,
        spent_before: loss,
        spent_after: loss,
        budget: loss,
        charge: Some(at),
        spent: Some(at),
        exact_tables: u64::MAX,
    };
    let output = |cells| NoisyOutput {
        mechanism: Mechanism::Exact,
        scale: float,
        sensitivity: u64::MAX,
        cells: Cells(vec![i128::MIN; cells]),
    };
    let answer = Answer {
        format: ANSWER_FORMAT.into(),
        node: "x".repeat(NAME_BYTES_MAX).parse().unwrap(),
        dataset: plan.dataset().clone(),
        snapshot: Digest::of(b"snapshot"),
        plan: plan.digest(),
        round: u32::MAX,
        state: Digest::of(b"state"),
        loss,
        outputs: plan.outputs().iter().map(|p| output(p.output.kind.cells())).collect(),
        certificate,
    };
    dsse::sign(ANSWER_TYPE, &serde_json::to_vec(&answer).unwrap(), &SecretKey::from_seed(&[7; 32]))
}

#[test]
fn the_longest_honest_answer_fits_its_plans_limit_and_not_much_more_does() {
    for (cells, outputs) in [(1, 1), (2, 1), (3, 1), (1, OUTPUTS_MAX), (4_096, OUTPUTS_MAX)] {
        let plan = plan(cells, outputs);
        let (bytes, limit) = (longest_answer(&plan).len(), answer_bytes_max(&plan));
        assert!(bytes <= limit, "an honest answer would be thrown away: {bytes} bytes, {limit} allowed");
        let slack = limit - bytes;
        assert!(slack < 1_024 + 64 * outputs, "a lying answer has {slack} bytes to hide something in");
        assert!(limit <= ANSWER_BYTES_MAX, "the wire would stop what the hub allows");
    }
}
