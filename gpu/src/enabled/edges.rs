//! What a transfer does between the edges to the streams of its arrays.

use super::lane::Lane;
use super::stream::Turn;
use crate::api::{GpuError, StreamRef};
use crate::region::Region;

/// How the streams of arrays are ordered with ours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edges {
    /// Our work comes after theirs, and is done when the call returns.
    Waited,
    /// Our work comes after theirs, and theirs after ours.
    Both,
}

/// Does `work` after what is queued in the streams of the arrays, and before what will be.
pub(super) fn between(
    lane: &mut Lane,
    arrays: &[Region],
    edges: Edges,
    work: impl FnOnce(&mut Lane) -> Result<(), GpuError>,
) -> Result<(), GpuError> {
    let mut streams: Vec<Option<StreamRef>> = Vec::new();
    for array in arrays.iter().filter(|array| array.len_bytes() > 0) {
        let stream = array.stream();
        if !streams.contains(&stream) && (stream.is_some() || edges == Edges::Both) {
            streams.push(stream);
        }
    }
    let own = lane.stream.clone();
    let turns = streams.into_iter().map(|stream| own.after(stream));
    let turns: Vec<Turn<'_>> = turns.collect::<Result<_, _>>()?;
    if let Err(error) = work(lane) {
        // Nothing is under way when an error is told.
        let _ = own.wait();
        return Err(error);
    }
    turns.into_iter().try_for_each(|turn| match edges {
        Edges::Waited => {
            turn.done();
            Ok(())
        }
        Edges::Both => turn.give_back(),
    })
}
