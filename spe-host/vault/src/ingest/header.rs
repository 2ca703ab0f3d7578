//! Which of a file's columns are used: the key's, then the declared ones. All others are dropped before anything else.

use std::collections::BTreeSet;

use super::error::SourceError;
use crate::declaration::{Dropped, TableSource};

/// The file's columns for the key parts and then for the table's columns, in declared order: the **slots** of a row.
pub(super) fn slots(table: &TableSource, header: &[String]) -> Result<Vec<usize>, SourceError> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = header.iter().find(|name| !seen.insert(*name)) {
        return Err(SourceError::DuplicateHeader { column: twice.clone() });
    }
    let used = table.key.iter().chain(table.columns.iter().map(|c| &c.source));
    if let Dropped::Named(names) = &table.dropped {
        let decided: BTreeSet<_> = used.clone().chain(names).collect();
        if let Some(undecided) = header.iter().find(|name| !decided.contains(name)) {
            return Err(SourceError::UndecidedColumn { column: undecided.clone() });
        }
    }
    let find = |name: &String| {
        let missing = || SourceError::MissingColumn { column: name.clone(), has: header.to_vec() };
        header.iter().position(|h| h == name).ok_or_else(missing)
    };
    used.map(find).collect()
}
