//! The first half of an ingest: one thread reads, the others parse and stage.

use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use datafusion::{common::DFSchema, error::DataFusionError, physical_expr::PhysicalExpr, prelude::SessionContext};
use spe_kernel::filter::Filter;

use super::{
    Altered, Progress, Source,
    batch::Block,
    csv::CsvFile,
    error::{IngestError, Place, SourceError},
    parquet::ParquetFile,
    session::Session,
    stager::{Finished, Origin, Stager},
};
use crate::{declaration::TableSource, layout, predicate};

/// Open files at a time, over all threads.
const FILES_MAX: usize = 512;

/// What lies in the staging files.
pub(super) struct Staged {
    /// By table and bucket: partitions are cut into so many more, that each can be sorted in memory.
    pub(super) files: BTreeMap<(usize, usize), Vec<PathBuf>>,
    pub(super) buckets_per_partition: usize,
    pub(super) rows_read: u64,
    pub(super) altered: Vec<Altered>,
}

type Work = (Arc<Origin>, Block);
/// Where something failed: source and place. The smallest is reported, whichever thread was first.
type Failure = ((usize, Place), IngestError);

/// Reads all sources into staging files under `dir`.
pub(super) fn stage(
    session: &Session<'_>,
    filters: &[Option<Filter>],
    dir: &Path,
    progress: &mut impl FnMut(Progress),
) -> Result<Staged, IngestError> {
    let ingest = session.ingest;
    let buckets_per_partition = (FILES_MAX / ingest.threads.max(1) / ingest.declaration.partitions.max(1)).max(1);
    let mut staged = Staged { files: BTreeMap::new(), buckets_per_partition, rows_read: 0, altered: Vec::new() };
    for (number, table) in ingest.declaration.tables.iter().enumerate() {
        let dir = dir.join("staged").join(table.schema.name.as_str());
        let sources = ingest.sources.iter().zip(filters).enumerate().filter(|(_, (s, _))| s.table == table.schema.name);
        let sources = sources.map(|(n, (source, filter))| (n, source, filter.as_ref())).collect::<Vec<_>>();
        let mut count = |rows: u64| {
            staged.rows_read += rows;
            progress(Progress::Read { rows: staged.rows_read });
        };
        let buckets = ingest.declaration.partitions * buckets_per_partition;
        for finished in stage_table(session, table, &sources, (&dir, buckets), &mut count)? {
            for (bucket, file) in finished.files.into_iter().enumerate() {
                staged.files.entry((number, bucket)).or_default().extend(file);
            }
            add_altered(&mut staged.altered, table, &finished.altered);
        }
    }
    Ok(staged)
}

fn add_altered(sums: &mut Vec<Altered>, table: &TableSource, counts: &[u64]) {
    for (column, values) in table.schema.columns.iter().zip(counts).filter(|(_, n)| **n > 0) {
        let (table, column) = (table.schema.name.clone(), column.name.clone());
        match sums.iter_mut().find(|a| a.table == table && a.column == column) {
            Some(sum) => sum.values += values,
            None => sums.push(Altered { table, column, values: *values }),
        }
    }
}

fn stage_table(
    session: &Session<'_>,
    table: &TableSource,
    sources: &[(usize, &Source, Option<&Filter>)],
    (dir, buckets): (&Path, usize),
    count: &mut impl FnMut(u64),
) -> Result<Vec<Finished>, IngestError> {
    let threads = session.ingest.threads.max(1);
    let schema = layout::table_schema(&table.schema);
    let (sender, receiver) = sync_channel(2 * threads);
    let (receiver, failed) = (Mutex::new(receiver), AtomicBool::new(false));
    let stager = |thread| Stager::new(table, &schema, session, buckets, (dir, thread));
    let (read, results) = thread::scope(|scope| {
        let spawn = |thread| {
            let (stager, receiver, failed) = (stager(thread), &receiver, &failed);
            scope.spawn(move || work(stager, receiver, failed))
        };
        let threads: Vec<_> = (0..threads).map(spawn).collect();
        let read = sources.iter().try_for_each(|source| read(table, source, &sender, &failed, count));
        drop(sender);
        let join = |t: thread::ScopedJoinHandle<'_, _>| t.join().unwrap_or_else(|panic| resume_unwind(panic));
        (read, threads.into_iter().map(join).collect::<Vec<Result<Finished, Failure>>>())
    });
    // Parsers lag behind the reader, so their complaints are about earlier rows than its own.
    let (finished, failures): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    if let Some((_, first)) = failures.into_iter().filter_map(Result::err).min_by_key(|(place, _)| *place) {
        return Err(first);
    }
    read?;
    Ok(finished.into_iter().filter_map(Result::ok).collect())
}

/// Parses blocks until there are no more. After a failure it goes on taking them, so that the reader is never stuck.
fn work(mut stager: Stager<'_>, blocks: &Mutex<Receiver<Work>>, failed: &AtomicBool) -> Result<Finished, Failure> {
    let next = || blocks.lock().ok()?.recv().ok();
    let mut failure = None;
    while let Some((origin, block)) = next() {
        if failure.is_none()
            && let Err((place, why)) = stager.take(&origin, &block)
        {
            failed.store(true, Ordering::Relaxed);
            failure = Some(((origin.number, place), why));
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None => stager.finish().map_err(|why| ((usize::MAX, Place::File), why)),
    }
}

/// Reads one source to its end, or until a parser fails.
fn read(
    table: &TableSource,
    (number, source, filter): &(usize, &Source, Option<&Filter>),
    sender: &SyncSender<Work>,
    failed: &AtomicBool,
    count: &mut impl FnMut(u64),
) -> Result<(), IngestError> {
    let mut file = open(&source.file, table)?;
    let keep = table.rows.iter().chain(*filter).map(|f| condition(f, table)).collect::<Result<_, _>>();
    let keep = keep.map_err(IngestError::write(&source.file))?;
    let origin = Arc::new(Origin { number: *number, file: source.file.clone(), keep });
    while !failed.load(Ordering::Relaxed)
        && let Some(block) = file.next()?
    {
        let rows = block.rows();
        // Parsers take blocks until this thread stops sending.
        let _ = sender.send((origin.clone(), block));
        count(u64::try_from(rows).unwrap_or(0));
    }
    Ok(())
}

enum OpenFile {
    Csv(Box<CsvFile>),
    Parquet(Box<ParquetFile>),
}

fn open(file: &Path, table: &TableSource) -> Result<OpenFile, IngestError> {
    let extension = file.extension().map(std::ffi::OsStr::to_ascii_lowercase);
    match extension.as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("csv") => CsvFile::open(file, table).map(|f| OpenFile::Csv(Box::new(f))),
        Some("parquet") => ParquetFile::open(file, table).map(|f| OpenFile::Parquet(Box::new(f))),
        _ => Err(IngestError::source(file, Place::File, SourceError::UnknownFormat)),
    }
}

impl OpenFile {
    fn next(&mut self) -> Result<Option<Block>, IngestError> {
        match self {
            Self::Csv(file) => file.next(),
            Self::Parquet(file) => file.next(),
        }
    }
}

fn condition(filter: &Filter, table: &TableSource) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let schema = DFSchema::try_from(layout::table_schema(&table.schema))?;
    SessionContext::new().create_physical_expr(predicate::expression(filter.predicate()), &schema)
}
