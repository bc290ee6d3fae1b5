//! A second process on the simulated driver, told what to do line by line.
//!
//! It is this test binary again, running [`role`]. Descriptors are told by their paths under `/proc`.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use ferropickle_gpu::{ArenaExport, DeviceArena, DeviceBuffer, DevicePeer, Region, Stager};

use crate::user;

/// What the peer's answers begin with, among what the test harness says.
const MARK: &str = "peer: ";

/// How long a receiver waits for a message to be filled: longer than any is on its way.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Vec<u8> {
    let pair = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
    (0..text.len() / 2).map(pair).collect()
}

/// What a peer needs to import an arena: its note, and where the descriptors are.
pub fn export_line(export: &ArenaExport) -> String {
    let path = |file: &OwnedFd| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    format!("{} {} {}", hex(&export.note), path(&export.memory), path(&export.slots))
}

pub fn import_line(stager: &Stager, line: &str) -> Result<DevicePeer, String> {
    let words: Vec<&str> = line.split(' ').collect();
    let open = |path: &str| user::descriptor(path).map_err(|error| error.to_string());
    let (memory, slots) = (open(words[1])?, open(words[2])?);
    DevicePeer::import(stager.device(), &unhex(words[0]), memory, slots)
        .map_err(|error| error.to_string())
}

/// Another process.
pub struct Peer {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts one, with this process's driver and environment, but for what is given.
    pub fn start(environment: &[(&str, &str)]) -> Peer {
        user::be_fetched_from();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "peer::role", "--nocapture", "--test-threads=1"])
            .env("SIMULATED_PEER", "1")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ask = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Peer { child, ask, answers }
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.ask, "{line}").unwrap();
    }

    /// The next answer; what the harness says is left out.
    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the peer has ended");
            if let Some((_, answer)) = line.split_once(MARK) {
                return answer.trim_end().to_owned();
            }
        }
    }

    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.answer()
    }

    /// Kills it, as nobody can refuse.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it end, and sees that it ended well.
    pub fn end(mut self) {
        self.tell("end");
        assert!(self.child.wait().unwrap().success());
    }
}

/// What a peer has.
#[derive(Default)]
struct Holding {
    arena: Option<(DeviceArena, ArenaExport)>,
    peer: Option<DevicePeer>,
    held: Vec<DeviceBuffer>,
    addresses: Vec<u64>,
    /// A stream that is captured, or locked memory that is written late.
    captured: u64,
}

fn contents(buffer: &DeviceBuffer) -> String {
    format!("ok {}", hex(&user::read(buffer.address(), buffer.len())))
}

impl Holding {
    fn obey(&mut self, stager: &Stager, verb: &str, rest: &str) -> Result<String, String> {
        let text = |error: ferropickle_gpu::GpuError| error.to_string();
        let peer = self.peer.clone().ok_or("nothing is imported");
        let receive = |note: &str| peer.clone()?.receive(&unhex(note), PATIENCE).map_err(text);
        match verb {
            "import" => self.peer = Some(import_line(stager, rest)?),
            // Reads a message where it lies, and gives it back.
            "read" => return receive(rest).map(|buffer| contents(&buffer)),
            // Queues a copy of what it holds, lets go of that, and says later what was copied.
            "late" => {
                self.captured = user::locked(&[0; 4]);
                let from = self.held[0].address();
                user::ok("cuMemcpyDtoHAsync_v2", &[self.captured, from, 4, user::stream()]);
                self.held.clear();
            }
            "copied" => {
                user::ok("cuCtxSynchronize", &[]);
                return Ok(hex(&user::host(self.captured, 4)));
            }
            // Takes a message and gives it back.
            "touch" => drop(receive(rest)?),
            "hold" => {
                self.held.push(receive(rest)?);
                return Ok(contents(&self.held[self.held.len() - 1]));
            }
            // Live memory of the sender's, by two notes.
            "share" => {
                let (slot, block) = rest.split_once(' ').unwrap();
                let peer = peer.clone()?;
                self.held.push(
                    peer.receive_shared(&unhex(slot), &unhex(block), PATIENCE).map_err(text)?,
                );
                return Ok(contents(&self.held[self.held.len() - 1]));
            }
            "again" => return Ok(contents(&self.held[rest.parse::<usize>().unwrap()])),
            // Holds a message without a look at it.
            "take" => self.held.push(receive(rest)?),
            "drop" => self.held.clear(),
            // Reads a copy of a message, which was given back before.
            "copy" => {
                let copies = stager.copy_out(&[receive(rest)?]).map_err(text)?;
                return Ok(contents(&copies[0]));
            }
            "swallow" => drop(stager.copy_out(&[receive(rest)?]).map_err(text)?),
            "arena" => {
                let arena = DeviceArena::new(stager, rest.parse().unwrap()).map_err(text)?;
                let export = arena.export().map_err(text)?;
                let line = export_line(&export);
                self.arena = Some((arena, export));
                return Ok(line);
            }
            // Sends so many bytes of one value.
            "send" => {
                let (value, len) = rest.split_once(' ').unwrap();
                let bytes = vec![value.parse().unwrap(); len.parse().unwrap()];
                let address = user::device_memory(&bytes);
                self.addresses.push(address);
                let stream = user::named(user::stream());
                let array: [Region; 1] = [user::bytes(address, bytes.len(), Some(stream))];
                let (arena, _) = self.arena.as_ref().ok_or("there is no arena")?;
                let sent = arena.send(&array, false).map_err(text)?.ok_or("no room")?;
                return Ok(hex(&sent.note));
            }
            "fault" => user::control(&format!("fault {rest}")),
            "nofaults" => user::control("nofaults"),
            "capture" => {
                self.captured = user::stream();
                user::ok("cuStreamBeginCapture_v2", &[self.captured, 0]);
            }
            "captured" => {
                let mut graph = 0u64;
                user::ok("cuStreamEndCapture", &[self.captured, &raw mut graph as u64]);
            }
            "busy" => {
                return Ok(self.arena.as_ref().ok_or("there is no arena")?.0.busy().to_string());
            }
            "settle" => user::ok("cuCtxSynchronize", &[]),
            "reported" => return Ok(user::reported(rest).to_string()),
            "files" => return Ok(files().to_string()),
            _ => return Err(format!("no such verb: {verb}")),
        }
        Ok("ok".into())
    }
}

/// How many descriptors this process has open.
pub fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Does what it is told, in a process of its own; in any other, nothing.
#[test]
fn role() {
    if std::env::var_os("SIMULATED_PEER").is_none() {
        return;
    }
    user::be_fetched_from();
    let stager = crate::staging::stager();
    let mut holding = Holding::default();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        if verb == "end" {
            break;
        }
        let answer =
            holding.obey(&stager, verb, rest).unwrap_or_else(|error| format!("error {error}"));
        println!("{MARK}{answer}");
    }
}
