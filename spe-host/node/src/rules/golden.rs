//! Golden cases: what rules must decide, written down by who is responsible for them, and checked by `spe policy test`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use spe_wire::FileError;
use toml::{Table, Value};

use super::{Question, Rules, Ruling};
use crate::config::read_toml;

/// A question that every case starts from, unless the file or the case says otherwise.
const PLAIN: &str = r#"
person = "somebody"
key = ""
dataset = "dataset"
permit = "permit"
access_body = ""
purpose = "scientific-research"
module = "blake3:0000000000000000000000000000000000000000000000000000000000000000"
columns = []
kinds = ["count"]
loss = "rho=0.01"
rounds = 1
overlap = 1
suppress_below = 0
exact = false
fuel_per_subject = 50000
memory_bytes = 2097152
hour = 12
weekday = 1
"#;

/// A file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    rules: PathBuf,
    #[serde(default)]
    question: Table,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    set: Table,
    decision: Decision,
    because: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Run,
    Ask,
    Refuse,
}

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The case.
    pub name: String,
    /// How the rules decided otherwise than they must.
    pub wrong: Option<String>,
}

/// Tries every case of `file`.
///
/// # Errors
/// A file that cannot be read, rules that are wrong, or a case that is no question: nothing was tried then.
pub fn run(file: &Path) -> Result<Vec<Tried>, FileError> {
    let sheet: Sheet = read_toml(file)?;
    let beside = file.parent().unwrap_or(Path::new(""));
    let rules = Rules::read(&beside.join(&sheet.rules))?;
    if sheet.case.is_empty() {
        return Err(FileError::at(file)("it has no [[case]]"));
    }
    let plain: Table = PLAIN.parse().map_err(FileError::at(file))?;
    let asked = |case: &Case| -> Result<Question, FileError> {
        let mut question = plain.clone();
        question.extend(sheet.question.clone());
        question.extend(case.set.clone());
        Value::Table(question).try_into().map_err(|e| FileError::at(file)(format!("case {:?}: {e}", case.name)))
    };
    let tried = |case: &Case| {
        let ruling = rules.decide(&asked(case)?).map_err(FileError::at(file))?;
        Ok(Tried { name: case.name.clone(), wrong: wrong(case, &ruling) })
    };
    sheet.case.iter().map(tried).collect()
}

fn wrong(case: &Case, ruling: &Ruling) -> Option<String> {
    let (decision, grounds) = match ruling {
        Ruling::Run => (Decision::Run, None),
        Ruling::Ask(grounds) => (Decision::Ask, Some(grounds)),
        Ruling::Refuse(grounds) => (Decision::Refuse, Some(grounds)),
    };
    let told = grounds.map_or(String::new(), |grounds| format!(": {grounds}"));
    if decision != case.decision {
        return Some(format!("expected {:?}, but the rules say {decision:?}{told}", case.decision));
    }
    let because = case.because.as_ref()?;
    let named = grounds.is_some_and(|grounds| grounds.ids().any(|id| id == because));
    (!named).then(|| format!("expected because of {because:?}, but it is{told}"))
}
