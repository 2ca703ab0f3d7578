//! Pseudonyms: what stands for a data subject inside the vault. They are made by a key holder ([`spe_kernel::keys`]).

/// 16 bytes that stand for one data subject in one dataset at one node. Never leaves the vault.
pub type Pseudonym = spe_kernel::optout::Subject;

/// Which of `ranges` equal ranges of pseudonyms holds `subject`: ⌊ranges · p / 2⁶⁴⌋, where p are its first 8 bytes.
///
/// # Privacy
/// Partitions and blocks are such ranges. Claim: the range of a subject depends on nobody else, so that one person more or less
/// changes one block. Watched by `tests/it/blocks.rs`.
pub(crate) fn range_of(subject: &Pseudonym, ranges: usize) -> usize {
    let (high, _) = subject.split_first_chunk().unwrap_or((&[0; 8], &[]));
    let scaled = u128::from(u64::from_be_bytes(*high)) * u128::try_from(ranges).unwrap_or(1);
    usize::try_from(scaled >> 64).unwrap_or(0)
}
