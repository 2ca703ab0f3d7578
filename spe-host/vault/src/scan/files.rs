//! Files of a snapshot as one stream of sorted rows.

use std::{path::Path, sync::Arc};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    common::config::TableParquetOptions,
    datasource::{
        file_format::parquet::ParquetFormat,
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    error::DataFusionError,
    execution::SendableRecordBatchStream,
    logical_expr::Expr,
    prelude::{DataFrame, SessionConfig, SessionContext},
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use url::Url;

use crate::seal::Lock;

/// Sorted rows, batch by batch.
pub(super) type Rows = BoxStream<'static, Result<RecordBatch, DataFusionError>>;

/// A session that keeps the order of a file: one file, one partition, nothing that could reorder.
pub(super) fn session(batch_rows: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(batch_rows.max(1));
    let options = config.options_mut();
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.schema_force_view_types = false;
    options.execution.collect_statistics = false;
    options.optimizer.repartition_file_scans = false;
    SessionContext::new_with_config(config)
}

/// How the files of one table, or the lists of subjects, are read.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) session: SessionContext,
    pub(super) lock: Arc<Lock>,
    /// All columns of a file.
    pub(super) schema: SchemaRef,
    pub(super) filter: Option<Expr>,
    /// Columns that are wanted.
    pub(super) columns: Vec<Expr>,
}

impl Reader {
    /// The rows of the files of these names in `dir`, one after the other. A file is opened when the one before has ended, the first when
    /// rows are asked for.
    pub(super) fn rows(&self, dir: &Path, names: Vec<String>) -> Rows {
        let (reader, dir) = (self.clone(), dir.to_owned());
        let open = move |name: String| {
            let (reader, dir) = (reader.clone(), dir.clone());
            async move { reader.open(&dir, &name).await }
        };
        stream::iter(names).then(open).try_flatten().fuse().boxed()
    }

    async fn open(self, dir: &Path, name: &str) -> Result<SendableRecordBatchStream, DataFusionError> {
        let file = dir.join(name);
        // DataFusion reads a file that is not there as one without rows: a wrong answer, which nobody would notice.
        std::fs::File::open(&file).map_err(|e| DataFusionError::External(format!("{}: {e}", file.display()).into()))?;
        let unusable = || DataFusionError::Configuration("the vault's directory must be an absolute path".into());
        let url = ListingTableUrl::try_new(Url::from_file_path(file).map_err(|()| unusable())?, None)?;
        let gone = || DataFusionError::External("the dataset's data key was taken away".into());
        let mut parquet = TableParquetOptions::default();
        parquet.crypto.file_decryption = Some((&self.lock.seal().ok_or_else(gone)?.reading(name)?).try_into()?);
        let options = ListingOptions::new(Arc::new(ParquetFormat::default().with_options(parquet)));
        let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(self.schema);
        let rows = self.session.read_table(Arc::new(ListingTable::try_new(config)?))?;
        let rows = self.filter.into_iter().try_fold(rows, DataFrame::filter)?;
        rows.select(self.columns)?.execute_stream().await
    }
}
