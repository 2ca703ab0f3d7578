//! The only door to Arrow, Parquet and DataFusion: a node's own data, from the operator's files to streams of records.
//!
//! [`Declaration`] says what a dataset is and where its columns come from; [`Ingest`] turns CSV and Parquet files into an
//! immutable, pseudonymised, encrypted [`snapshot`](Vault::datasets) clustered by data subject; [`Vault::scan`] streams whole
//! data subjects, sealed as [`Confidential`](spe_kernel::disclosure::Confidential).
//! Who opted out is in each dataset's [`Register`], and no scan reads them.
//! Formats are described in `docs/dataset-format.md` and `docs/optout.md`.

mod declaration;
mod ingest;
mod layout;
mod optout;
mod predicate;
mod pseudonym;
mod reencrypt;
mod scan;
mod seal;
mod snapshot;
mod vault;

pub use declaration::{Declaration, DeclarationError};
pub use ingest::{Altered, Ingest, IngestError, Ingested, Place, Progress, Source, SourceError};
pub use optout::{Cohort, Recorded, Register, RegisterError};
pub use pseudonym::Pseudonym;
pub use reencrypt::{ReencryptError, reencrypt};
pub use scan::{PartitionScan, ScanSizes};
pub use vault::{Dataset, Listed, Vault};
