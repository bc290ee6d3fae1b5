//! What the lanes of a warp do together. PTX ISA, "Data Movement": `shfl.sync`; "Parallel Synchronization and
//! Communication Instructions": `vote.sync`, `redux.sync`, `bar.warp.sync`.

use super::ir::{Action, Exchange, Type};
use super::run::{Block, Fault, Waiting};
use crate::status::Status;

/// Lanes of a warp.
pub const LANES: usize = 32;

/// The lane that `lane` reads from, and whether it lies in the segment.
fn partner(exchange: Exchange, lane: u64, by: u64, bounds: u64) -> (u64, bool) {
    let (clamp, segment) = (bounds & 31, bounds >> 8 & 31);
    let least = lane & segment;
    let most = least | clamp & !segment;
    let (from, inside) = match exchange {
        Exchange::Up => {
            let from = lane.wrapping_sub(by & 31);
            (from, (from as i64) >= most as i64)
        }
        Exchange::Down => (lane + (by & 31), lane + (by & 31) <= most),
        Exchange::Butterfly => (lane ^ by & 31, lane ^ by & 31 <= most),
        _ => (least | by & !segment & 31, least | by & !segment & 31 <= most),
    };
    if inside { (from, true) } else { (lane, false) }
}

impl Block<'_> {
    /// Lets a warp go on whose lanes have all come to where they wait for each other. Whether one has.
    pub fn meet(&mut self, warp: usize) -> Result<bool, Fault> {
        let lanes = warp * LANES..((warp + 1) * LANES).min(self.threads.len());
        for first in lanes.clone() {
            if self.threads[first].waiting != Waiting::Warp {
                continue;
            }
            let at = self.threads[first].at;
            let code = &self.launch.kernel.code;
            let Action::Warp { exchange, to, from, mask, negated } = code[at].action.clone() else {
                continue;
            };
            let mask = self.value(&self.threads[first], mask);
            let named: Vec<usize> =
                lanes.clone().filter(|t| mask >> (t % LANES) & 1 != 0).collect();
            if let Some(&ended) = named.iter().find(|&&t| self.threads[t].waiting == Waiting::Done)
            {
                let why = format!("waits for lane {}, which has ended", ended % LANES);
                return Err(self.fault(first, Status::LAUNCH_FAILED, &why));
            }
            let here =
                |t: &usize| self.threads[*t].waiting == Waiting::Warp && self.threads[*t].at == at;
            if !named.contains(&first) {
                return Err(self.fault(first, Status::LAUNCH_FAILED, "is not in its own mask"));
            }
            if !named.iter().all(here) {
                continue;
            }
            let read = |t: usize, i: usize| self.value(&self.threads[t], from[i]);
            let values: Vec<u64> = named.iter().map(|&t| read(t, 0)).collect();
            let results: Vec<(u64, bool)> = match exchange {
                Exchange::Up | Exchange::Down | Exchange::Butterfly | Exchange::Index => named
                    .iter()
                    .map(|&t| {
                        let (lane, inside) =
                            partner(exchange, (t % LANES) as u64, read(t, 1), read(t, 2));
                        // A lane that does not take part has no value to give: its own is as good as any.
                        let giver = named.iter().position(|&n| n % LANES == lane as usize);
                        (giver.map_or(read(t, 0), |i| values[i]), inside)
                    })
                    .collect(),
                _ => {
                    let result = together(exchange, &named, &values, negated);
                    vec![(result, false); named.len()]
                }
            };
            for (&t, (value, inside)) in named.iter().zip(results) {
                let thread = &mut self.threads[t];
                if let Some(register) = to[0] {
                    thread.registers[register as usize] = value;
                }
                if let Some(register) = to[1] {
                    thread.registers[register as usize] = inside.into();
                }
                thread.waiting = Waiting::No;
                thread.at += 1;
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// One result for all lanes.
fn together(exchange: Exchange, lanes: &[usize], values: &[u64], negated: bool) -> u64 {
    let mut votes = values.iter().map(|&value| (value != 0) != negated);
    match exchange {
        Exchange::Ballot => {
            lanes.iter().zip(votes).fold(0, |all, (t, vote)| all | u64::from(vote) << (t % LANES))
        }
        Exchange::Any => votes.any(|vote| vote).into(),
        Exchange::All => votes.all(|vote| vote).into(),
        Exchange::Uniform => {
            let first = votes.next();
            votes.all(|vote| Some(vote) == first).into()
        }
        Exchange::Reduce(function, kind) => {
            let cut = |value: u64| if kind == Type::Pred { value } else { kind.cut(value) };
            values.iter().copied().reduce(|a, b| cut(function(a, b, 0))).unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_stay_in_their_segment() {
        assert_eq!(partner(Exchange::Down, 3, 4, 31), (7, true));
        assert_eq!(partner(Exchange::Down, 30, 4, 31), (30, false));
        assert_eq!(partner(Exchange::Up, 5, 2, 0), (3, true));
        assert_eq!(partner(Exchange::Up, 1, 2, 0), (1, false));
        assert_eq!(partner(Exchange::Butterfly, 6, 1, 31), (7, true));
        // Segments of eight lanes.
        let eights = 24 << 8 | 31;
        assert_eq!(partner(Exchange::Index, 13, 2, eights), (10, true));
        assert_eq!(partner(Exchange::Down, 14, 4, eights), (14, false));
    }
}
