//! The files that `benches/utility/fetch` makes.

use std::path::{Path, PathBuf};

use spe_benches::Error;

/// A dataset with one table: its declaration and its rows.
pub(crate) struct Derived {
    /// The dataset.
    pub(crate) name: &'static str,
    /// Its table.
    pub(crate) table: &'static str,
    folder: PathBuf,
}

impl Derived {
    /// What was fetched under that name; nothing, and a line that says so, where it was not.
    pub(crate) fn find(name: &'static str, table: &'static str) -> Result<Option<Self>, Error> {
        let exe = std::env::current_exe()?;
        let folder = exe.ancestors().nth(3).ok_or("no target folder")?.join("utility");
        let found = Self { name, table, folder };
        if found.csv().exists() {
            return Ok(Some(found));
        }
        println!("\n{name}: left out, for {} is not there; run benches/utility/fetch", found.csv().display());
        Ok(None)
    }

    /// A dataset made here.
    pub(crate) fn make(
        name: &'static str,
        table: &'static str,
        folder: &Path,
        declaration: &str,
        csv: &str,
    ) -> Result<Self, Error> {
        let made = Self { name, table, folder: folder.to_owned() };
        std::fs::write(made.declaration(), declaration)?;
        std::fs::write(made.csv(), csv)?;
        Ok(made)
    }

    /// The declaration's file.
    pub(crate) fn declaration(&self) -> PathBuf {
        self.folder.join(format!("{}.toml", self.name))
    }

    /// The rows' file.
    pub(crate) fn csv(&self) -> PathBuf {
        self.folder.join(format!("{}.csv", self.name))
    }

    /// The rows, cell by cell; no cell holds a comma. The header is left out.
    pub(crate) fn rows(&self) -> Result<Vec<Vec<String>>, Error> {
        let text = std::fs::read_to_string(self.csv())?;
        Ok(text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect())
    }
}

/// The numbers of a row after the first `skip` cells.
pub(crate) fn numbers(row: &[String], skip: usize) -> Result<Vec<f64>, Error> {
    row.iter().skip(skip).map(|cell| cell.parse().map_err(|_| format!("{cell:?} is no number").into())).collect()
}
