//! Art. 68(10)(a): which data.

use std::collections::BTreeMap;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PermitBody;
use crate::{
    category::Category,
    dataset::{ColumnType, DatasetSchema, TableSchema},
    filter::{Comparison, Literal, Predicate, Test},
    ids::{DatasetName, Digest, NodeName, TableName},
    refusal::Refusal,
};

/// Separates the digests of cohorts cut to a time range from all others.
const WINDOW_CONTEXT: &str = "spe 2026-11-22 cohort cut to the time ranges of a permit";

/// A dataset, and what of it is covered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermitData {
    /// The dataset.
    pub dataset: DatasetName,
    /// The nodes whose part of it is covered; empty = every node that accepts the permit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeName>,
    /// The category of the tables that its columns are in, a point of Art. 51(1): `a` to `q`. Tables of another are in an entry of their own.
    pub category: Category,
    /// The columns, each written `table.column`.
    pub columns: Vec<String>,
    /// From when to when; all of it without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_range: Option<TimeRange>,
    /// In which format it is made available, such as `OMOP CDM 5.4`.
    pub format: String,
    /// Whether modules of the user's own may be run on pseudonymised records.
    pub pseudonymised: bool,
}

impl PermitData {
    /// Whether it is about data at `node`.
    pub fn is_at(&self, node: &NodeName) -> bool {
        self.nodes.is_empty() || self.nodes.contains(node)
    }

    /// The tables that its columns are in.
    fn tables(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter_map(|name| name.split_once('.')).map(|(table, _)| table)
    }

    /// Whether both are about a table of one dataset at one node.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.dataset == other.dataset
            && (self.nodes.is_empty() || self.nodes.iter().any(|node| other.is_at(node)))
            && self.tables().any(|table| other.tables().any(|theirs| theirs == table))
    }
}

/// Days from `from` until before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeRange {
    /// The first day.
    #[schemars(with = "Option<crate::schema::Day>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// The day after the last.
    #[schemars(with = "Option<crate::schema::Day>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
}

impl TimeRange {
    pub(super) fn is_empty(&self) -> bool {
        match (self.from, self.until) {
            (Some(from), Some(until)) => from >= until,
            (from, until) => from.is_none() && until.is_none(),
        }
    }

    /// The condition that a row of `table` must meet; `None` where no column of it says when a row is from.
    ///
    /// A row whose time is missing does not meet it. A year is in the range if all its days are.
    fn predicate(&self, table: &TableSchema) -> Option<Predicate> {
        let time = table.time.as_ref()?;
        let kind = &table.column(time)?.kind;
        let from = self.from.map(|day| bound(kind, day, true).map(|at| (Comparison::AtLeast, at)));
        let until = self.until.map(|day| bound(kind, day, false).map(|at| (Comparison::Less, at)));
        let test = |bound: Option<(Comparison, Literal)>| {
            bound.map(|(comparison, at)| Predicate::Test(time.clone(), Test::Compare(comparison, at)))
        };
        [from, until].into_iter().flatten().map(test).collect::<Option<Vec<_>>>().map(Predicate::All)
    }
}

/// `day` as a value of a time column; a year is rounded up at a first day, and down at an end.
fn bound(kind: &ColumnType, day: Date, first: bool) -> Option<Literal> {
    let midnight = || day.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp());
    match kind {
        ColumnType::Date => {
            let days = midnight()?.as_second().div_euclid(86_400);
            i32::try_from(days).ok().map(Literal::Date)
        }
        ColumnType::Timestamp => midnight().map(|at| Literal::Timestamp(at.as_microsecond())),
        ColumnType::Integer { .. } => {
            let begun = first && day.day_of_year() > 1;
            Some(Literal::Integer(i64::from(day.year()) + i64::from(begun)))
        }
        _ => None,
    }
}

/// For each table of a dataset whose rows a permit cuts to a time range: the condition that rows must meet. Made only by
/// [`PermitBody::windows`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Windows(BTreeMap<TableName, Predicate>);

impl Windows {
    /// The condition on rows of `table`, if there is one.
    pub fn of(&self, table: &TableName) -> Option<&Predicate> {
        self.0.get(table)
    }

    /// Whether nothing is cut.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What identifies the data that is left of `cohort`: its own digest when nothing is cut.
    ///
    /// # Privacy
    /// A function of permit and public schema, given the cohort. Two time ranges have two digests, so that answers about one are never
    /// taken for answers about the other (**same-answer**); watched by `cli/tests/it/scopes.rs`.
    pub fn digest(&self, cohort: Digest) -> Digest {
        if self.is_empty() {
            return cohort;
        }
        let mut hasher = blake3::Hasher::new_derive_key(WINDOW_CONTEXT);
        hasher.update(cohort.as_bytes());
        for (table, predicate) in &self.0 {
            hasher.update(format!("{table}: {predicate}\n").as_bytes());
        }
        Digest::from_bytes(*hasher.finalize().as_bytes())
    }
}

impl PermitBody {
    /// To what the time ranges of the permit cut the dataset of that schema at `node`.
    ///
    /// # Errors
    /// [`Refusal::TimeRangeUnenforceable`]: a time range on a table of which nobody can tell when its rows are from.
    pub fn windows(&self, schema: &DatasetSchema, node: &NodeName) -> Result<Windows, Refusal> {
        let mut windows = BTreeMap::new();
        for data in self.data.iter().filter(|d| d.dataset == schema.name && d.is_at(node)) {
            let Some(range) = data.time_range else { continue };
            for table in schema.tables.iter().filter(|t| data.tables().any(|name| name == t.name.as_str())) {
                let unenforceable =
                    || Refusal::TimeRangeUnenforceable { dataset: schema.name.clone(), table: table.name.clone() };
                windows.insert(table.name.clone(), range.predicate(table).ok_or_else(unenforceable)?);
            }
        }
        Ok(Windows(windows))
    }
}
