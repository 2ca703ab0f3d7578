//! What a researcher's own machine knows of a question before it is asked.

use spe_wire::view::JobLine;

use crate::rehearse::Rehearsal;

/// What the researcher's own machine knows of the question.
pub(crate) struct Known {
    /// The jobs of this person that asked it before.
    pub(crate) before: Vec<JobLine>,
    /// How the module did on made-up people, or why it could not be tried.
    pub(crate) rehearsal: Result<Rehearsal, String>,
}

impl Known {
    pub(crate) fn text(&self) -> String {
        let answered = |job: &&JobLine| job.answered > 0;
        let free = match self.before.iter().find(answered) {
            Some(JobLine { id, answered, asked, .. }) => format!(
                "job {id} asked the same, and {answered} of {asked} nodes answered: from each of them the same answer is free while \
                 its data is the same, and the price above is for others\n"
            ),
            None => "if it was asked before under this snapshot, it is free: the same answer is given again\n".into(),
        };
        free + &warning(&self.rehearsal)
    }
}

/// What to know of a rehearsal before anything is paid.
pub(crate) fn warning(rehearsal: &Result<Rehearsal, String>) -> String {
    match rehearsal {
        Ok(rehearsal) => rehearsal.warning().unwrap_or_default(),
        Err(why) => format!("WARNING: not rehearsed on made-up people: {why}\n"),
    }
}
