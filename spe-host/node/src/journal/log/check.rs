//! Checking a log: each hash against its entry, the files against the rows, and the ledger's rows against what the log says of them.

mod rows;
mod verdicts;

use std::{collections::BTreeMap, fs};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use spe_kernel::{
    audit::{ActorId, Entry, Event, RETENTION_DAYS_MIN},
    dsse::PublicKey,
    fault::Fault,
    receipt::witness_key,
    tlog::{self, SignedCheckpoint, TreeHash},
};

use super::{READING, Records, files::LogFiles, number, people, receipt, size};

/// What a check came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Entries in the log.
    pub entries: u64,
    /// Of these, how many have no body any more.
    pub pruned: u64,
    /// Charges and releases that agree with it.
    pub rows: u64,
    /// Size of the last checkpoint in the files.
    pub checkpoint: Option<u64>,
    /// Size of the last checkpoint that a witness cosigned, and when, in seconds since 1970.
    pub cosigned: Option<(u64, u64)>,
    /// Whose cosignature that is.
    pub witness: Option<PublicKey>,
    /// What differs, in words. Nothing differs if it is empty.
    pub findings: Vec<String>,
}

impl Checked {
    fn find(&mut self, what: impl Into<String>) {
        self.findings.push(what.into());
    }
}

/// All hashes of a tree, level by level.
struct Levels(Vec<Vec<TreeHash>>);

impl Levels {
    fn of(leaves: Vec<TreeHash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(last) = levels.last().filter(|last| last.len() > 1) {
            let above = last.as_chunks::<2>().0.iter().map(|[l, r]| TreeHash::of_both(*l, *r)).collect();
            levels.push(above);
        }
        Self(levels)
    }

    fn at(&self, level: u32, index: u64) -> Option<TreeHash> {
        let level = self.0.get(usize::try_from(level).ok()?)?;
        level.get(usize::try_from(index).ok()?).copied()
    }

    fn root(&self, size: u64) -> Option<TreeHash> {
        tlog::root(size, |level, index| self.at(level, index).ok_or(())).ok()
    }
}

/// Checks the files alone, as whoever has only them can: also beside a node that runs.
///
/// # Errors
/// None: what cannot be read is a finding.
pub fn check_files(files: &LogFiles, key: PublicKey) -> Result<Checked, Fault> {
    let mut checked = Checked::default();
    let path = files.folder().join("checkpoint");
    let note = match fs::read_to_string(&path) {
        Ok(note) => note,
        Err(why) => {
            checked.find(format!("{}: {why}", path.display()));
            return Ok(checked);
        }
    };
    let signed = match SignedCheckpoint::open(&note, &files.key(key)?) {
        Ok(signed) => signed,
        Err(why) => {
            checked.find(format!("{}: {why}", path.display()));
            return Ok(checked);
        }
    };
    let (size, root) = signed.tree();
    (checked.entries, checked.checkpoint) = (size, Some(size));
    let Some(levels) = read_leaves(files, size, &mut checked) else { return Ok(checked) };
    for tile in tlog::tiles(0, size).into_iter().filter(|tile| tile.level.is_some()) {
        let of_tile = (tile.start()..tile.start() + tile.width).map(|i| levels.at(tile.tree_level(), i));
        let expected: Option<Vec<u8>> =
            of_tile.map(|h| h.map(|h| h.as_bytes().to_vec())).collect::<Option<Vec<_>>>().map(|h| h.concat());
        match fs::read(files.folder().join(tile.to_string())) {
            Ok(bytes) if Some(&bytes) == expected.as_ref() => {}
            Ok(_) => checked.find(format!("{tile} does not have the hashes of its entries: it was changed")),
            Err(why) => checked.find(format!("{tile}: {why}")),
        }
    }
    if levels.root(size) != Some(root) {
        checked.find("the entries do not give the root that the checkpoint has: one was changed, moved or removed");
    }
    check_lines(files, key, &mut checked)?;
    Ok(checked)
}

/// Entries as lines of JSON, which an export has beside the tiles: for reading.
pub const LINES: &str = "entries.jsonl";

/// The lines, where there are some, against the entries in the bundles.
fn check_lines(files: &LogFiles, key: PublicKey, checked: &mut Checked) -> Result<(), Fault> {
    let lines = match fs::read(files.folder().join(LINES)) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(why) => {
            checked.find(format!("{LINES}: {why}"));
            return Ok(());
        }
        Ok(lines) => lines,
    };
    let mut lines = lines.split_inclusive(|byte| *byte == b'\n');
    for (index, entry) in entries_in(files, key)? {
        let line = lines.next().and_then(|line| line.strip_suffix(b"\n"));
        if line != Some(&entry) {
            checked.find(format!("{LINES} has another line for entry {index} than tile/entries, or none"));
            return Ok(());
        }
    }
    if lines.next().is_some() {
        checked.find(format!("{LINES} has lines after the last entry"));
    }
    Ok(())
}

/// The root that the first `size` entries in the files have; none if there are fewer.
///
/// # Errors
/// Files that do not hold: [`check_files`] says why.
pub fn root_in(files: &LogFiles, key: PublicKey, size: u64) -> Result<Option<TreeHash>, Fault> {
    let mut checked = Checked::default();
    let levels = published(files, key)?.and_then(|signed| read_leaves(files, signed.checkpoint().size, &mut checked));
    Ok(levels.and_then(|levels| levels.root(size)))
}

/// The checkpoint in the files, if the log signed it.
fn published(files: &LogFiles, key: PublicKey) -> Result<Option<SignedCheckpoint>, Fault> {
    let note = fs::read_to_string(files.folder().join("checkpoint")).unwrap_or_default();
    Ok(SignedCheckpoint::open(&note, &files.key(key)?).ok())
}

/// The entries in the files that have a body, with their places.
///
/// # Errors
/// No checkpoint by that key, or a file that cannot be read.
pub fn entries_in(files: &LogFiles, key: PublicKey) -> Result<Vec<(u64, Vec<u8>)>, Fault> {
    let none = || Fault::new(READING, format!("{} has no checkpoint that the node signed", files.folder().display()));
    let size = published(files, key)?.ok_or_else(none)?.checkpoint().size;
    let mut all = Vec::new();
    for tile in tlog::tiles(0, size).into_iter().filter(|tile| tile.level.is_none()) {
        let bytes = fs::read(files.folder().join(tile.to_string()));
        let bytes = bytes.map_err(|why| Fault::new(READING, format!("{tile}: {why}")))?;
        let entries = tlog::entries(&bytes).map_err(|why| Fault::new(READING, format!("{tile}: {why}")))?;
        let numbered = (tile.start()..).zip(entries).filter(|(_, entry)| !entry.is_empty());
        all.extend(numbered.map(|(index, entry)| (index, entry.to_vec())));
    }
    Ok(all)
}

/// The hashes of the entries in the bundles; of a pruned one, what its tile says.
fn read_leaves(files: &LogFiles, size: u64, checked: &mut Checked) -> Option<Levels> {
    let mut leaves = Vec::new();
    for tile in tlog::tiles(0, size).into_iter().filter(|tile| tile.level.is_none()) {
        let hashes = tlog::Tile { level: Some(0), ..tile };
        let read =
            |tile: tlog::Tile| fs::read(files.folder().join(tile.to_string())).map_err(|why| format!("{tile}: {why}"));
        let bundle = read(tile).and_then(|bytes| Ok((bytes, read(hashes)?)));
        let (bytes, hashes) = match bundle {
            Ok(both) => both,
            Err(why) => {
                checked.find(why);
                return None;
            }
        };
        let entries = match tlog::entries(&bytes) {
            Ok(entries) if u64::try_from(entries.len()) == Ok(tile.width) => entries,
            Ok(entries) => {
                checked.find(format!("{tile} has {} entries instead of {}", entries.len(), tile.width));
                return None;
            }
            Err(why) => {
                checked.find(format!("{tile}: {why}"));
                return None;
            }
        };
        for (entry, hash) in entries.iter().zip(hashes.as_chunks::<32>().0) {
            checked.pruned += u64::from(entry.is_empty());
            leaves.push(if entry.is_empty() { TreeHash::from_bytes(*hash) } else { TreeHash::of_entry(entry) });
        }
    }
    Some(Levels::of(leaves))
}

impl Records {
    /// Checks everything that this node has: entries, hashes, files, what a witness said, and the ledger's rows.
    ///
    /// # Errors
    /// A file that cannot be read at all. What differs is no error, but a finding.
    pub fn check_log(&self, files: &LogFiles, key: PublicKey) -> Result<Checked, Fault> {
        let mut checked = check_files(files, key)?;
        let db = self.connection();
        (checked.entries, checked.pruned) = (size(&db)?, 0);
        let (entries, levels) = check_entries(&db, &mut checked)?;
        check_roots(&db, files, key, &levels, &mut checked)?;
        rows::check(&db, &entries.told, &mut checked)?;
        verdicts::check(&db, &entries, &mut checked)?;
        for (id, salt, person) in people::people(&db)? {
            if ActorId::of(&person, &salt) != id {
                checked.find(format!("{id} was given to another person than when it was made: {}", person.name));
            }
        }
        Ok(checked)
    }
}

/// The entries that can be read.
struct Entries {
    told: BTreeMap<u64, Entry>,
    /// When the last of those was written that have no body any more, in milliseconds since 1970.
    pruned_until: Option<i64>,
}

/// The entries against their hashes.
fn check_entries(db: &Connection, checked: &mut Checked) -> Result<(Entries, Levels), Fault> {
    const ALL: &str =
        "SELECT log.idx, at_ms, body, hash FROM log LEFT JOIN log_hash ON level = 0 AND log_hash.idx = log.idx
        ORDER BY log.idx";
    let mut statement = db.prepare(ALL).map_err(Fault::while_(READING))?;
    let read = |r: &rusqlite::Row<'_>| {
        Ok((
            r.get::<_, i64>(0)?,
            r.get::<_, i64>(1)?,
            r.get::<_, Option<Vec<u8>>>(2)?,
            r.get::<_, Option<[u8; 32]>>(3)?,
        ))
    };
    let rows = statement.query_map([], read).map_err(Fault::while_(READING))?;
    let (mut entries, mut leaves, mut next) = (Entries { told: BTreeMap::new(), pruned_until: None }, Vec::new(), 0);
    let year_ago = Timestamp::now().as_millisecond() - i64::from(RETENTION_DAYS_MIN) * 24 * 60 * 60 * 1000;
    let (mut pruned, mut pruned_as_told) = (0, 0);
    for row in rows {
        let (index, at_ms, body, hash) = row.map_err(Fault::while_(READING))?;
        let index = number(index)?;
        if index != next {
            checked.find(format!("entries {next} to {} are missing from the ledger's file", index - 1));
        }
        next = index + 1;
        let hash = hash.map(TreeHash::from_bytes);
        let Some(body) = body else {
            pruned += 1;
            entries.pruned_until = entries.pruned_until.max(Some(at_ms));
            if at_ms > year_ago {
                checked.find(format!("the body of entry {index} was removed, and it is less than a year old"));
            }
            leaves.push(hash.unwrap_or(TreeHash::of_nothing()));
            continue;
        };
        let leaf = TreeHash::of_entry(&body);
        if hash != Some(leaf) {
            checked.find(format!("entry {index} in the ledger's file does not have its hash: it was changed"));
        }
        leaves.push(leaf);
        match Entry::parse(&body) {
            Ok(entry) => {
                if let Event::LogPruned { entries, .. } = entry.event {
                    pruned_as_told += entries;
                }
                entries.told.insert(index, entry);
            }
            Err(why) => checked.find(format!("entry {index} cannot be read: {why}")),
        }
    }
    checked.pruned = pruned;
    if pruned > pruned_as_told {
        checked.find(format!("{pruned} entries have no body, and the log tells that {pruned_as_told} were pruned"));
    }
    Ok((entries, Levels::of(leaves)))
}

/// The stored hashes, the checkpoint in the files and what a witness cosigned, against the entries.
fn check_roots(
    db: &Connection,
    files: &LogFiles,
    key: PublicKey,
    levels: &Levels,
    checked: &mut Checked,
) -> Result<(), Fault> {
    let mut statement =
        db.prepare("SELECT level, idx, hash FROM log_hash WHERE level > 0").map_err(Fault::while_(READING))?;
    let read = |r: &rusqlite::Row<'_>| Ok((r.get::<_, u32>(0)?, r.get::<_, i64>(1)?, r.get::<_, [u8; 32]>(2)?));
    for row in statement.query_map(params![], read).map_err(Fault::while_(READING))? {
        let (level, index, hash) = row.map_err(Fault::while_(READING))?;
        if levels.at(level, number(index)?) != Some(TreeHash::from_bytes(hash)) {
            checked.find(format!("hash {index} of level {level} in the ledger's file is not that of its entries"));
        }
    }
    let differs = |signed: &SignedCheckpoint| levels.root(signed.checkpoint().size) != Some(signed.checkpoint().root);
    if published(files, key)?.is_some_and(|signed| differs(&signed)) {
        checked.find(
            "the ledger's file has another log than the node's checkpoint: one of them was rewritten or put back",
        );
    }
    let Some(last) = receipt::witnessed(db)? else { return Ok(()) };
    let opened = SignedCheckpoint::open(&last.checkpoint, &files.key(key)?);
    let witness = witness_key(last.key).map_err(Fault::while_(READING))?;
    match opened.and_then(|signed| Ok((signed.cosigned_at(&witness)?, signed))) {
        Ok((time, signed)) => {
            (checked.cosigned, checked.witness) = (Some((signed.checkpoint().size, time)), Some(last.key));
            if differs(&signed) {
                checked.find(format!(
                    "the log is not the one of which {} cosigned the first {} entries",
                    witness.name(),
                    last.size
                ));
            }
        }
        Err(why) => checked.find(format!("the last cosigned checkpoint: {why}")),
    }
    Ok(())
}
