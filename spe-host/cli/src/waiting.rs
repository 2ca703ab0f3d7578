//! What waits for an officer, for people: a table, then all that is needed to decide about each.

use serde_json::{Map, Value, json};
use spe_kernel::statistic::Statistic;
use spe_node::{journal::Pending, tables::EarlierTable};

use crate::{
    desk,
    output::tame,
    show::{self, Reading, Table},
};

/// What the table shows; the rest is below it.
const SHOWN: [&str; 4] = ["person", "dataset", "purpose", "permit"];

pub(crate) fn text(waiting: &[Pending]) -> String {
    if waiting.is_empty() {
        return "nothing waits for an officer\n".into();
    }
    let mut table = Table::new(["matter", "waits since", "person", "dataset", "purpose", "permit"]);
    for pending in waiting {
        let [person, dataset, purpose, permit] = SHOWN.map(|name| scalar(asked(&pending.about).get(name)));
        let wanted = if pending.wanted > 1 { ", by two officers" } else { "" };
        let matter = format!("{}{wanted}", desk::name(pending.matter));
        table.row([matter, pending.since.clone(), person, dataset, purpose, permit]);
    }
    let details =
        waiting.iter().map(|pending| format!("\n{}\n{}", desk::name(pending.matter), details(&pending.about)));
    format!("{}{}", table.render(), details.collect::<String>())
}

/// Who asked what: under `question` of a job, at the top of an answer.
fn asked(about: &Value) -> &Value {
    about.get("question").unwrap_or(about)
}

fn scalar(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn details(about: &Value) -> String {
    let Value::Object(fields) = about else { return String::new() };
    let (mut text, mut numbers, mut earlier) = (String::new(), String::new(), String::new());
    for (name, value) in fields.iter().filter(|(name, _)| !SHOWN.contains(&name.as_str())) {
        match name.as_str() {
            "statistics" => numbers.push_str(&read(value, |all: Vec<Statistic>| cells(&all))),
            "earlier_exact_tables" => earlier = read(value, |all: Vec<EarlierTable>| all.iter().map(table).collect()),
            _ => text.push_str(&outline(name, value, 1)),
        }
    }
    tame(&text) + &numbers + &earlier
}

/// What a node of another version tells in another shape is shown as it is.
fn read<T: serde::de::DeserializeOwned>(value: &Value, show: impl FnOnce(T) -> String) -> String {
    serde_json::from_value(value.clone()).map_or_else(|_| tame(&outline("told", value, 1)), show)
}

fn cells(statistics: &[Statistic]) -> String {
    statistics.iter().map(|one| show::statistic(one, Reading::default())).collect()
}

/// An earlier exact table: what it asked about whom, and its cells.
fn table(EarlierTable { at, permit, cohort, plan, answer, statistics, .. }: &EarlierTable) -> String {
    let mut asked = json!({ "permit": permit, "cohort": cohort, "answer": answer, "plan": plan });
    if let Some(plan) = asked.get_mut("plan").and_then(Value::as_object_mut) {
        // The cells tell them.
        plan.remove("outputs");
    }
    let cells = match (statistics.is_empty(), answer) {
        (false, _) => cells(statistics),
        (true, None) => "  bought, and no answer is there\n".into(),
        (true, Some(_)) => "  its cells cannot be read: another version of this program wrote it\n".into(),
    };
    tame(&format!("  earlier exact table of {at}\n{}", outline("asked", &asked, 2))) + &cells
}

/// A field in words: lists of plain values in one line, everything else a level deeper.
fn outline(name: &str, value: &Value, depth: usize) -> String {
    let (indent, name) = ("  ".repeat(depth), name.replace('_', " "));
    let deeper = |fields: &Map<String, Value>| {
        let shown = fields.iter().filter(|(name, _)| depth > 1 || !SHOWN.contains(&name.as_str()));
        shown.map(|(name, value)| outline(name, value, depth + 1)).collect::<String>()
    };
    match value {
        Value::Array(list) if list.is_empty() => format!("{indent}{name}: none\n"),
        Value::Array(list) if list.iter().all(|one| !one.is_object() && !one.is_array()) => {
            let list: Vec<_> = list.iter().map(|one| scalar(Some(one))).collect();
            format!("{indent}{name}: {}\n", list.join(", "))
        }
        Value::Array(list) => {
            (1..).zip(list).map(|(number, one)| outline(&format!("{name} {number}"), one, depth)).collect()
        }
        Value::Object(fields) => format!("{indent}{name}:\n{}", deeper(fields)),
        plain => format!("{indent}{name}: {}\n", scalar(Some(plain))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use spe_kernel::{ids::Digest, officer::Matter};

    use super::*;

    /// What would be a bug: a list that an officer has to read as JSON, or that leaves out something that is needed to decide; text of a
    /// researcher that a terminal obeys.
    #[test]
    fn an_officer_reads_words() {
        let question = json!({ "person": "ada", "dataset": "care", "purpose": "policymaking", "permit": "dap-1", "loss": "rho=0.1",
            "columns": ["a.b", "a.c"], "rounds": 1 });
        let about = json!({ "question": question, "because": "rule night\u{1b}[2J", "earlier": [{ "job": "one", "at": "noon" }] });
        let matter = Matter::Run(Digest::of(b"job"));
        let shown = text(&[Pending { matter, since: "2030-01-01T00:00:00Z".into(), about, wanted: 1 }]);
        for part in
            ["person", "ada", "care", "dap-1", "loss: rho=0.1", "columns: a.b, a.c", "because: rule night", "job: one"]
        {
            assert!(shown.contains(part), "{part:?} is not in\n{shown}");
        }
        assert!(!shown.contains(['{', '}', '"', '\u{1b}']), "{shown}");
    }

    /// What would be a bug: a table that officers are to compare with and that shows neither what it asked nor why it has no cells.
    #[test]
    fn an_earlier_table_is_shown() {
        let one = json!({ "at": "2030-01-01T00:00:00Z", "permit": "dap-1", "question": Digest::of(b"plan"), "cohort": Digest::of(b"cohort"),
            "plan": null, "answer": null, "statistics": [{ "name": "people", "kind": "histogram", "unit": "", "loss": "rho=0.1",
            "mechanism": "exact-not-differentially-private", "noise_sd": 0.0, "sensitivity": 1.0, "estimates": [
            { "label": "young", "value": 41.0, "low": 41.0, "high": 41.0 },
            { "label": "old", "value": 0.0, "low": 0.0, "high": 0.0, "indistinct": true, "suppressed": true }] }] });
        let lost = json!({ "at": "2030-01-02T00:00:00Z", "permit": "dap-1\u{1b}[2J", "question": Digest::of(b"plan"),
            "cohort": Digest::of(b"cohort"), "plan": null, "answer": null, "statistics": [] });
        let shown = details(&json!({ "earlier_exact_tables_in_all": 7, "earlier_exact_tables": [one, lost] }));
        let cohort = format!("cohort: {}", Digest::of(b"cohort"));
        for part in [
            "in all: 7",
            "table of 2030-01-01",
            "permit: dap-1",
            &cohort,
            "young",
            "41",
            "suppressed",
            "no answer is there",
        ] {
            assert!(shown.contains(part), "{part:?} is not in\n{shown}");
        }
        assert!(!shown.contains(['{', '}', '"', '\u{1b}']), "{shown}");
    }
}
