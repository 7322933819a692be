//! Operations on their way to the workers: in order, and each to the one that it is for.

use focus_plane::{LocalError, Operation};

use crate::directory::{Change, Directory};
use crate::exchange::Refused;

/// Operations behind one another that are for one worker, and what they change if they are carried out.
#[derive(Default)]
struct Run {
    worker: usize,
    operations: Vec<Operation>,
    changes: Vec<Change>,
}

impl Run {
    /// Whether an operation for this worker can go with the others. One whose names are unknown can: either they
    /// are in this run, or nobody knows them.
    fn takes(&self, worker: Option<usize>) -> bool {
        !self.operations.is_empty() && worker.is_none_or(|worker| worker == self.worker)
    }

    fn push(&mut self, operation: Operation) {
        self.changes.push(Change::of(&operation));
        self.operations.push(operation);
    }
}

/// Carry out operations in order.
///
/// `carry_out` has a worker do so, and returns when it has: as an operation may be about what an earlier one
/// made or ended, the directory is asked again when the run before has been confirmed.
///
/// # Errors
///
/// An operation contradicts an earlier one. Those before it were carried out, those behind it were not.
pub(crate) fn dispatch(
    directory: &mut Directory,
    operations: impl IntoIterator<Item = Operation>,
    mut carry_out: impl FnMut(usize, Vec<Operation>) -> Result<(), Refused>,
) -> Result<(), LocalError> {
    let mut run = Run::default();
    for operation in operations {
        if directory.of_operation(&operation).is_ok_and(|worker| run.takes(worker)) {
            run.push(operation);
            continue;
        }
        finish(directory, std::mem::take(&mut run), &mut carry_out)?;
        if let Some(worker) = directory.of_operation(&operation)? {
            run.worker = worker;
            run.push(operation);
        }
    }
    finish(directory, run, &mut carry_out)
}

/// Have a run carried out, and note what it has changed.
fn finish(
    directory: &mut Directory,
    run: Run,
    carry_out: &mut impl FnMut(usize, Vec<Operation>) -> Result<(), Refused>,
) -> Result<(), LocalError> {
    if run.operations.is_empty() {
        return Ok(());
    }
    let outcome = carry_out(run.worker, run.operations);
    let done = outcome.as_ref().err().map_or(run.changes.len(), |refused| refused.at);
    run.changes.into_iter().take(done).for_each(|change| directory.note(change));
    outcome.map_err(|refused| refused.error)
}

#[cfg(test)]
mod tests;
