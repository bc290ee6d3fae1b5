//! What tests ask of the simulator, and tell it. No driver has these functions.

use std::ffi::{c_char, c_int};
use std::fmt::Write;
use std::sync::atomic::Ordering;

use crate::config::faults;
use crate::driver::{self, Driver, State};
use crate::raw::{Out, Text};
use crate::space::Kind;
use crate::status::{Outcome, Status};

/// Objects that the program has made and not ended.
fn live(state: &State) -> Vec<(&'static str, u64)> {
    let count = |wanted: fn(Kind, bool) -> bool| {
        state.space.iter().filter(|range| wanted(range.kind, range.imported)).count() as u64
    };
    vec![
        ("contexts", state.contexts.len() as u64),
        ("streams", state.streams.values().filter(|s| s.user && !s.queue.closed).count() as u64),
        ("events", state.events.len() as u64),
        ("pools", state.pools.values().filter(|p| !p.is_default).count() as u64),
        (
            "device",
            count(|kind, imported| !imported && matches!(kind, Kind::Plain | Kind::Managed)),
        ),
        ("pooled", count(|kind, imported| !imported && kind == Kind::Pooled)),
        ("imported", count(|_, imported| imported)),
        ("mapped", count(|kind, _| kind == Kind::Mapped)),
        ("pinned", count(|kind, _| kind == Kind::Pinned)),
        ("registered", count(|kind, _| kind == Kind::Registered)),
        ("handles", state.allocations.len() as u64),
        ("reservations", state.reservations.len() as u64),
        ("modules", state.modules.len() as u64),
        ("graphs", state.graphs),
    ]
}

/// Text as a JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push(' '),
            c => out.push(c),
        }
    }
    out + "\""
}

fn object<V: ToString>(pairs: impl IntoIterator<Item = (&'static str, V)>) -> String {
    let fields =
        pairs.into_iter().map(|(key, value)| format!("{}:{}", quoted(key), value.to_string()));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    format!("[{}]", texts.into_iter().map(quoted).collect::<Vec<_>>().join(","))
}

/// The report as JSON: README.md names its fields.
fn report(d: &Driver) -> String {
    let mut text = String::from("{");
    if let Ok(state) = d.state() {
        let used: u64 = state.devices.iter().map(|device| device.used).sum();
        let _ = write!(text, "\"live\":{},\"bytes\":{used},", object(live(&state)));
    }
    let record = d.record();
    let copies = record.copies.iter().map(|(name, (n, bytes))| (*name, format!("[{n},{bytes}]")));
    let _ = write!(
        text,
        "\"calls\":{},\"copies\":{},\"violations\":{},\"log\":{}}}",
        object(record.counts.iter().map(|(name, n)| (*name, *n))),
        object(copies),
        list(record.violations.iter().map(String::as_str)),
        list(record.log.iter().copied()),
    );
    text
}

fn obey(d: &Driver, command: &str) -> Outcome {
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let number = || rest.trim().parse().map_err(|_| Status::INVALID_VALUE);
    let mut record = d.record();
    match verb {
        // Forgets calls, copies and violations; objects stay.
        "reset" => {
            record.counts.clear();
            record.log.clear();
            record.copies.clear();
            record.violations.clear();
        }
        "fault" => record.faults.extend(faults(rest)?.into_iter().map(|fault| (fault, 0))),
        "nofaults" => record.faults.clear(),
        "hold" => d.hold_us.store(number()?, Ordering::SeqCst),
        "pause" => d.pause_us.store(number()?, Ordering::SeqCst),
        "memory" => d.memory.store(number()?, Ordering::SeqCst),
        _ => return Err(Status::INVALID_VALUE),
    }
    Ok(())
}

fn code(outcome: Outcome) -> c_int {
    outcome.map_or_else(|status| status.0, |()| 0)
}

fn control(command: Text) -> Outcome {
    obey(driver::running()?, &command.get()?)
}

/// Writes the report as far as there is room, with a zero byte at its end, and gives the room that it takes.
fn write_report(text: Out<c_char>, room: usize) -> usize {
    let Ok(d) = driver::running() else { return 0 };
    if d.is_forked() {
        return 0;
    }
    let report = report(d);
    if room > report.len() && !text.is_null() {
        let bytes = report.bytes().chain(std::iter::once(0));
        bytes.enumerate().for_each(|(i, byte)| text.set_at(i, byte as c_char));
    }
    report.len() + 1
}

crate::api::own! {
    fn cudasim_control(command: Text) -> c_int { code(control(command)) }
    fn cudasim_report(text: Out<c_char>, room: usize) -> usize { write_report(text, room) }
}
