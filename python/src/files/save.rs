//! An object to a file.

use super::raise_system;
use super::ticker::Ticker;
use crate::fast;
use crate::parcel::pack_native;
use crate::policy::{self, Choices};
use ferropickle_core::parcel::file::replace::replace;
use ferropickle_core::parcel::file::write::{Stop, write};
use pyo3::prelude::*;
use std::path::PathBuf;

/// Writes an object to a file, in the place of what is there. `progress` is
/// called with bytes done and bytes in all. Gives the file's length.
#[pyfunction]
#[pyo3(signature = (obj, path, *, policy = None, progress = None))]
pub fn save_file(
    obj: &Bound<'_, PyAny>,
    path: &Bound<'_, PyAny>,
    policy: Option<&Bound<'_, PyAny>>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<u64> {
    let py = obj.py();
    let target: PathBuf = path.extract()?;
    let choices = policy::choose(policy, Choices::default())?;
    let (spec, durable) = (choices.spec, !choices.no_fsync);
    let (stream, table) = pack_native(py, obj, choices)?;
    let bytes = fast::bytes_data(stream.obj());
    let about = format!(
        "{{\"format\": \"ferropickle\", \"version\": 1, \"written_by\": \"ferropickle {}\", \
         \"stream\": \"stream.pkl\", \"protocol\": 5, \"stream_nbytes\": {}, \"buffers\": {}, \
         \"buffers_nbytes\": {}}}\n",
        env!("CARGO_PKG_VERSION"),
        bytes.len(),
        table.len(),
        table.nbytes(),
    );
    let mut ticker = Ticker::new(progress, bytes.len() as u64 + table.nbytes());
    let written = py.detach(|| {
        replace(&target, durable, |file| {
            let buffers = table.iter().map(|(_, buffer)| buffer.as_slice());
            write(file, bytes, buffers, spec, &about, &mut |done| ticker.tick(done))
        })
    });
    written.map_err(|stop| match (stop, ticker.raised.take()) {
        (_, Some(error)) => error,
        (Stop::System(error), None) => raise_system(py, error, Some(path)),
        (Stop::Told, None) => std::io::Error::from(std::io::ErrorKind::Interrupted).into(),
    })
}
