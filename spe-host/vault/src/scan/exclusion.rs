//! Who opted out, beside the sorted subjects of a part: two sorted lists that are walked together.

use std::sync::Arc;

use spe_kernel::{category::Categories, fault::Fault};

use crate::pseudonym::Pseudonym;

/// Where the walk stands.
pub(super) struct Exclusion {
    /// Ascending, with the categories that all their rows must be of.
    excluded: Arc<[(Pseudonym, Categories)]>,
    /// The first of them who is not before the subject asked about last.
    at: usize,
    /// The last subject that was met.
    last: Option<Pseudonym>,
}

impl Exclusion {
    pub(super) const fn of(excluded: Arc<[(Pseudonym, Categories)]>) -> Self {
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
        self.at = self.excluded.partition_point(|(excluded, _)| excluded < first);
        self.last = Some(*last);
        Ok(())
    }

    /// Whether `subject`, who has rows of those categories, is left out; of whom that is not known, it is by opt-outs of all that is read only.
    /// Asked in the order in which subjects were met.
    pub(super) fn holds(&mut self, subject: &Pseudonym, rows: Option<Categories>) -> bool {
        let rest = self.excluded.get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|(excluded, _)| excluded < subject).count();
        let refused = self.excluded.get(self.at).filter(|(excluded, _)| excluded == subject);
        refused.is_some_and(|(_, refused)| rows.unwrap_or(Categories::ALL).within(*refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(excluded: &[u8], batches: &[&[u8]]) -> Result<Vec<u8>, Fault> {
        let mut walk = Exclusion::of(excluded.iter().map(|n| ([*n; 16], Categories::ALL)).collect());
        let mut passed = Vec::new();
        for batch in batches {
            walk.meet(&batch.iter().map(|n| [*n; 16]).collect::<Vec<_>>())?;
            // A subject is asked about as often as it is looked at.
            passed.extend(batch.iter().filter(|n| walk.holds(&[**n; 16], None) && walk.holds(&[**n; 16], None)));
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

    /// What would be a bug: somebody who is left out with rows that were not refused, or is there with none but refused ones.
    #[test]
    fn who_refused_some_categories_is_left_out_with_rows_of_no_other() {
        let categories = |points: &str| points.parse::<Categories>().unwrap();
        let refused = |points: &str, rows: Option<Categories>| {
            Exclusion::of([([7; 16], categories(points))].into()).holds(&[7; 16], rows)
        };
        for rows in ["f", "g", "f,g"] {
            assert!(refused("f,g", Some(categories(rows))), "{rows}");
        }
        for rows in ["a", "a,f", "a,f,g"] {
            assert!(!refused("f,g", Some(categories(rows))), "{rows}");
        }
        assert!(refused("f", Some(Categories::NONE)), "rows in tables that may be of any category only");
        assert!(!refused("f", None), "it is not known of what the rows are");
        assert!(refused("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", None));
    }

    /// What would be a bug: a damaged list in which somebody who opted out stands where nobody looks.
    #[test]
    fn subjects_out_of_order_are_a_fault() {
        for batches in [&[&[5, 3][..]][..], &[&[5], &[3]], &[&[5, 5]], &[&[3, 5], &[5]]] {
            assert!(walk(&[3], batches).is_err(), "{batches:?}");
        }
    }
}
