//! What nodes offer, and the keys that they sign answers with.

use rusqlite::{Connection, params};
use spe_kernel::{
    dataset::DatasetSchema,
    disclosure::{Catalogue, arrive},
    dsse::PublicKey,
    fault::Fault,
    ids::{DatasetName, NodeName},
    refusal::Refusal,
};

use super::{first, parsed, rows};
use crate::stop::Stop;

/// The catalogues of all members, as last offered; no two of them mean different things by one dataset.
pub(crate) fn all(db: &Connection) -> Result<Vec<Catalogue>, Stop> {
    let sql = "SELECT catalogue FROM node JOIN member ON member.role = 'node ' || node.name
        WHERE catalogue IS NOT NULL ORDER BY name";
    rows(db, sql, [], |row| {
        let json: Vec<u8> = row.get("catalogue")?;
        Ok(arrive(&json).map_err(Fault::while_("reading a stored catalogue"))?)
    })
}

/// The key that was pinned when the node first came.
pub(crate) fn key(db: &Connection, node: &NodeName) -> Result<Option<PublicKey>, Stop> {
    first(db, "SELECT key FROM node WHERE name = ?1", [node.as_str()], |row| parsed(row, "key"))
}

/// Pins the key that the node signs with, unless one is pinned.
pub(crate) fn pin(db: &Connection, node: &NodeName, key: PublicKey) -> Result<(), Stop> {
    let sql = "INSERT OR IGNORE INTO node (name, key) VALUES (?1, ?2)";
    db.execute(sql, [node.as_str(), &key.to_string()])?;
    Ok(())
}

/// Replaces the catalogue of `node`, the caller, and says which of its datasets are left out.
///
/// A dataset is left out if its schema differs from another node's of that name, which came first: its jobs go there alone,
/// and the rest of the catalogue counts. Who is right, the hub cannot know. Its operator reads of it in the log, and
/// dismisses a node that only occupies a name, online or not; the name is free then.
///
/// Refuses another node's name, a key that is not the pinned one, and a dataset that is there twice.
pub(crate) fn offer(db: &Connection, node: &NodeName, mut catalogue: Catalogue) -> Result<Vec<String>, Stop> {
    if catalogue.node != *node {
        return refuse(node, format!("offer as node {}: its certificate names node {node}", catalogue.node));
    }
    if let Some(pinned) = key(db, node)?.filter(|key| *key != catalogue.key) {
        let advice = "restore that key, or ask the hub's operator to invite the node under a new name";
        return refuse(node, format!("sign with {}: {pinned} is pinned since it first came; {advice}", catalogue.key));
    }
    let others: Vec<_> = all(db)?.into_iter().filter(|other| other.node != *node).collect();
    for (i, offer) in catalogue.datasets.iter().enumerate() {
        let name = &offer.schema.name;
        if catalogue.datasets.iter().take(i).any(|earlier| earlier.schema.name == *name) {
            let (document, why) = (format!("the catalogue of node {node}"), format!("dataset {name} is in it twice"));
            return Err(Refusal::Malformed { document, why }.into());
        }
    }
    let mut left_out = Vec::new();
    catalogue.datasets.retain(|offer| {
        let why = conflict(&offer.schema, &others);
        let agrees = why.is_none();
        left_out.extend(why);
        agrees
    });
    let json = serde_json::to_vec(&catalogue)?;
    let sql = "INSERT INTO node VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET catalogue = ?3";
    db.execute(sql, params![node.as_str(), catalogue.key.to_string(), json])?;
    Ok(left_out)
}

/// Forgets what `node` offers, but not its key: invited again, it decides nothing before it has offered again.
pub(crate) fn withdraw(db: &Connection, node: &NodeName) -> Result<(), Stop> {
    db.execute("UPDATE node SET catalogue = NULL WHERE name = ?1", [node.as_str()])?;
    Ok(())
}

/// Why the dataset does not fit the one of that name at another node.
fn conflict(schema: &DatasetSchema, others: &[Catalogue]) -> Option<String> {
    let name = &schema.name;
    others.iter().find_map(|other| {
        let theirs = schema_of(other, name).filter(|theirs| *theirs != schema)?;
        let (them, difference) = (&other.node, difference(schema, theirs));
        let advice = "let them agree on one schema or use another name, or dismiss the one that is wrong";
        Some(format!("dataset {name} has another schema than at node {them} ({difference}); {advice}"))
    })
}

fn schema_of<'a>(catalogue: &'a Catalogue, name: &DatasetName) -> Option<&'a DatasetSchema> {
    catalogue.datasets.iter().map(|offer| &offer.schema).find(|schema| schema.name == *name)
}

/// The first difference of two schemas, for people.
fn difference(ours: &DatasetSchema, theirs: &DatasetSchema) -> String {
    if ours.overlap != theirs.overlap {
        return format!("overlap {}, there {}", ours.overlap, theirs.overlap);
    }
    if ours.subjects_max != theirs.subjects_max {
        return format!("subjects_max {}, there {}", ours.subjects_max, theirs.subjects_max);
    }
    for table in &ours.tables {
        let Some(other) = theirs.table(&table.name) else { return format!("table {} is not there", table.name) };
        if ours.rows_max(table) != theirs.rows_max(other) {
            return format!("rows_max of {} {}, there {}", table.name, ours.rows_max(table), theirs.rows_max(other));
        }
        for column in &table.columns {
            match other.column(&column.name) {
                None => return format!("column {}.{} is not there", table.name, column.name),
                Some(same) if same == column => {}
                Some(_) => return format!("column {}.{} is declared differently there", table.name, column.name),
            }
        }
    }
    "title, order, or tables and columns that are only there".into()
}

fn refuse<T>(node: &NodeName, what: String) -> Result<T, Stop> {
    Err(Refusal::NotAllowed { who: format!("node {node}"), what }.into())
}
