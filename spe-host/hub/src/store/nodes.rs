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

/// The catalogues of all members, as last offered.
pub(crate) fn all(db: &Connection) -> Result<Vec<Catalogue>, Stop> {
    let sql = "SELECT catalogue FROM node JOIN member ON member.role = 'node ' || node.name ORDER BY name";
    rows(db, sql, [], |row| {
        let json: Vec<u8> = row.get("catalogue")?;
        Ok(arrive(&json).map_err(Fault::while_("reading a stored catalogue"))?)
    })
}

/// The key that was pinned when the node first came.
pub(crate) fn key(db: &Connection, node: &NodeName) -> Result<Option<PublicKey>, Stop> {
    first(db, "SELECT key FROM node WHERE name = ?1", [node.as_str()], |row| parsed(row, "key"))
}

/// Replaces the catalogue of `node`, the caller.
///
/// Refuses another node's name, a key that is not the pinned one, and a dataset whose schema differs from another node's.
pub(crate) fn offer(db: &Connection, node: &NodeName, catalogue: &Catalogue) -> Result<(), Stop> {
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
            return malformed(node, format!("dataset {name} is in it twice"));
        }
        agree(node, &offer.schema, &others)?;
    }
    let json = serde_json::to_vec(catalogue)?;
    let sql = "INSERT INTO node VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET catalogue = ?3";
    db.execute(sql, params![node.as_str(), catalogue.key.to_string(), json])?;
    Ok(())
}

/// Whether all nodes mean the same by a dataset's name.
fn agree(node: &NodeName, schema: &DatasetSchema, others: &[Catalogue]) -> Result<(), Stop> {
    for other in others {
        if let Some(theirs) = schema_of(other, &schema.name).filter(|theirs| *theirs != schema) {
            let (name, them, difference) = (&schema.name, &other.node, difference(schema, theirs));
            let advice = "agree on one schema, or use another name";
            return malformed(
                node,
                format!("dataset {name} has another schema than at node {them} ({difference}); {advice}"),
            );
        }
    }
    Ok(())
}

fn schema_of<'a>(catalogue: &'a Catalogue, name: &DatasetName) -> Option<&'a DatasetSchema> {
    catalogue.datasets.iter().map(|offer| &offer.schema).find(|schema| schema.name == *name)
}

/// The first difference of two schemas, for people.
fn difference(ours: &DatasetSchema, theirs: &DatasetSchema) -> String {
    if ours.overlap != theirs.overlap {
        return format!("overlap {}, there {}", ours.overlap, theirs.overlap);
    }
    for table in &ours.tables {
        let Some(other) = theirs.table(&table.name) else { return format!("table {} is not there", table.name) };
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

fn refuse(node: &NodeName, what: String) -> Result<(), Stop> {
    Err(Refusal::NotAllowed { who: format!("node {node}"), what }.into())
}

fn malformed(node: &NodeName, why: String) -> Result<(), Stop> {
    Err(Refusal::Malformed { document: format!("the catalogue of node {node}"), why }.into())
}
