//! Who opted out, beside the sorted subjects of a part: two sorted lists that are walked together.

use std::sync::Arc;

use spe_kernel::fault::Fault;

use crate::pseudonym::Pseudonym;

/// Where the walk stands.
pub(super) struct Exclusion {
    /// Ascending.
    excluded: Arc<[Pseudonym]>,
    /// The first of them who is not before the subject asked about last.
    at: usize,
    /// The last subject that was met.
    last: Option<Pseudonym>,
}

impl Exclusion {
    pub(super) const fn of(excluded: Arc<[Pseudonym]>) -> Self {
        Self { excluded, at: 0, last: None }
    }

    /// Meets the next subjects of the part.
    ///
    /// # Privacy
    /// A list that is out of order would let the walk go past somebody who opted out: it is a fault.
    pub(super) fn meet(&mut self, subjects: &[Pseudonym]) -> Result<(), Fault> {
        let (Some(first), Some(last)) = (subjects.first(), subjects.last()) else { return Ok(()) };
        let follows = self.last.is_none_or(|before| before < *first);
        if !follows || !subjects.is_sorted_by(|a, b| a < b) {
            return Err(Fault::new("reading subjects", "subjects are out of order"));
        }
        self.at = self.excluded.partition_point(|excluded| excluded < first);
        self.last = Some(*last);
        Ok(())
    }

    /// Whether `subject` opted out. Asked in the order in which subjects were met.
    pub(super) fn holds(&mut self, subject: &Pseudonym) -> bool {
        let rest = self.excluded.get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|excluded| *excluded < subject).count();
        self.excluded.get(self.at) == Some(subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(excluded: &[u8], batches: &[&[u8]]) -> Result<Vec<u8>, Fault> {
        let mut walk = Exclusion::of(excluded.iter().map(|n| [*n; 16]).collect());
        let mut passed = Vec::new();
        for batch in batches {
            walk.meet(&batch.iter().map(|n| [*n; 16]).collect::<Vec<_>>())?;
            // A subject is asked about as often as it is looked at.
            passed.extend(batch.iter().filter(|n| walk.holds(&[**n; 16]) && walk.holds(&[**n; 16])));
        }
        Ok(passed)
    }

    #[test]
    fn everybody_who_opted_out_is_found_wherever_batches_end() {
        let people: Vec<u8> = (0..200).step_by(2).collect();
        for excluded in [&[][..], &[0], &[198], &[1, 3, 5], &[0, 1, 2, 100, 101, 150, 198, 199, 255]] {
            let expected: Vec<u8> = excluded.iter().copied().filter(|n| people.contains(n)).collect();
            for size in [1, 2, 7, 100, 500] {
                let batches: Vec<_> = people.chunks(size).collect();
                assert_eq!(walk(excluded, &batches).unwrap(), expected, "{excluded:?} in batches of {size}");
            }
            // A part that begins late in the order of pseudonyms.
            let late: Vec<u8> = expected.iter().copied().filter(|n| *n >= 100).collect();
            assert_eq!(walk(excluded, &[&people[50..]]).unwrap(), late);
        }
    }

    /// What would be a bug: a damaged list in which somebody who opted out stands where nobody looks.
    #[test]
    fn subjects_out_of_order_are_a_fault() {
        for batches in [&[&[5, 3][..]][..], &[&[5], &[3]], &[&[5, 5]], &[&[3, 5], &[5]]] {
            assert!(walk(&[3], batches).is_err(), "{batches:?}");
        }
    }
}
