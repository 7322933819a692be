//! Operations on their way to the workers: in order, and each to the one that it is for.

use focus_plane::{LocalError, Operation, SetTrack};
use focus_units::TrackHandle;

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

/// The workers of a plane, as they are told what to do: each call returns when it is done.
pub(crate) trait Workers {
    /// Carry out operations.
    fn apply(&mut self, worker: usize, operations: Vec<Operation>) -> Result<(), Refused>;

    /// What a mirror of a track must know of it.
    fn describe(&mut self, worker: usize, track: TrackHandle) -> Option<Box<SetTrack>>;

    /// Have a mirror of a track that lives on another worker, or take up how it is described now.
    fn mirror(&mut self, worker: usize, spec: Box<SetTrack>, home: usize) -> Result<(), LocalError>;

    /// Another worker has a mirror of a track from now on.
    fn share(&mut self, worker: usize, track: TrackHandle, with: usize);

    /// Another worker has no mirror of a track any more.
    fn unshare(&mut self, worker: usize, track: TrackHandle, with: usize);
}

/// Carry out operations in order.
///
/// As an operation may be about what an earlier one made or ended, the directory is asked again when the run before
/// has been confirmed. Mirrors are made before the first route that needs one, and removed behind the last.
///
/// # Errors
///
/// An operation contradicts an earlier one. Those before it were carried out, those behind it were not.
pub(crate) fn dispatch(
    directory: &mut Directory,
    operations: impl IntoIterator<Item = Operation>,
    workers: &mut impl Workers,
) -> Result<(), LocalError> {
    let mut run = Run::default();
    for operation in operations {
        if directory.of_operation(&operation).is_ok_and(|worker| run.takes(worker))
            && !concerns_mirrors(directory, &operation)
        {
            run.push(operation);
            continue;
        }
        finish(directory, std::mem::take(&mut run), workers)?;
        if let Some(worker) = directory.of_operation(&operation)? {
            set_mirrors(directory, &operation, workers)?;
            run.worker = worker;
            run.push(operation);
        }
    }
    finish(directory, run, workers)
}

/// Whether a mirror must be made or told before an operation is carried out.
fn concerns_mirrors(directory: &Directory, operation: &Operation) -> bool {
    match operation {
        Operation::SetRoute(spec) => directory.mirror_wanted(spec).is_some(),
        Operation::SetTrack(spec) => directory.mirrors_of(spec.track).next().is_some(),
        _ => false,
    }
}

/// Make or tell the mirrors that an operation is about.
fn set_mirrors(
    directory: &mut Directory,
    operation: &Operation,
    workers: &mut impl Workers,
) -> Result<(), LocalError> {
    match operation {
        Operation::SetRoute(spec) => {
            if let Some((home, to)) = directory.mirror_wanted(spec)
                && let Some(described) = workers.describe(home, spec.track)
            {
                workers.mirror(to, described, home)?;
                directory.note_mirror(spec.track, to);
                // Home says nothing of it before it is there to hear it.
                workers.share(home, spec.track, to);
            }
        }
        Operation::SetTrack(spec) => {
            // Told first: home speaks of encodings as it knows them.
            if let Ok(Some(home)) = directory.of_operation(operation) {
                for worker in directory.mirrors_of(spec.track) {
                    workers.mirror(worker, spec.clone(), home)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Have a run carried out, note what it has changed, and remove the mirrors that are of no use after it.
fn finish(directory: &mut Directory, run: Run, workers: &mut impl Workers) -> Result<(), LocalError> {
    if run.operations.is_empty() {
        return Ok(());
    }
    let outcome = workers.apply(run.worker, run.operations);
    let done = outcome.as_ref().err().map_or(run.changes.len(), |refused| refused.at);
    run.changes.into_iter().take(done).for_each(|change| directory.note(change));
    for idle in directory.take_idle() {
        if let Some(home) = idle.home {
            workers.unshare(home, idle.track, idle.worker);
        }
        // A track that is there to be removed contradicts nothing.
        let _ = workers.apply(idle.worker, vec![Operation::RemoveTrack { track: idle.track }]);
    }
    outcome.map_err(|refused| refused.error)
}

#[cfg(test)]
mod tests;
