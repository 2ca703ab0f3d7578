//! A declaration as it is written.

use serde::Deserialize;
use spe_kernel::{
    category::Category,
    ids::{ColumnName, DatasetName, TableName},
};

use super::Outside;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dataset {
    pub(super) name: DatasetName,
    pub(super) title: String,
    #[serde(default = "one")]
    pub(super) overlap: u32,
    /// 0 when left out, which is refused with a reason.
    #[serde(default)]
    pub(super) subjects_max: u32,
    #[serde(default = "partitions")]
    pub(super) partitions: usize,
    pub(super) tables: Vec<Table>,
}

const fn one() -> u32 {
    1
}

const fn partitions() -> usize {
    16
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub(super) name: TableName,
    pub(super) key: Vec<String>,
    #[serde(default)]
    pub(super) order_by: Vec<ColumnName>,
    #[serde(default)]
    pub(super) drop: Drop,
    #[serde(default = "missing")]
    pub(super) missing: Vec<String>,
    #[serde(default = "comma")]
    pub(super) delimiter: char,
    pub(super) rows: Option<String>,
    pub(super) rows_max: Option<u64>,
    pub(super) category: Option<Category>,
    pub(super) time: Option<ColumnName>,
    pub(super) columns: Vec<Column>,
}

fn missing() -> Vec<String> {
    vec![String::new()]
}

const fn comma() -> char {
    ','
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "\"drop\" must be \"rest\" or a list of source columns")]
pub(super) enum Drop {
    Rest(Rest),
    Named(Vec<String>),
}

impl Default for Drop {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Rest {
    Rest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    pub(super) name: ColumnName,
    pub(super) r#type: Type,
    pub(super) min: Option<Number>,
    pub(super) max: Option<Number>,
    pub(super) values: Option<Vec<String>>,
    pub(super) max_bytes: Option<u32>,
    #[serde(default)]
    pub(super) description: String,
    pub(super) source: Option<String>,
    pub(super) missing: Option<Vec<String>>,
    pub(super) outside: Option<Outside>,
    pub(super) r#true: Option<Vec<String>>,
    pub(super) r#false: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Type {
    Integer,
    Number,
    Boolean,
    Category,
    Date,
    Timestamp,
    Text,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "a bound must be a number")]
pub(super) enum Number {
    Integer(i64),
    Number(f64),
}
