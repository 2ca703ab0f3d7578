//! The slowest code that a guest can be made of, for a given amount of fuel.
//!
//! Fuel counts instructions; time is also spent on what an instruction waits for. Whoever wants a node to be late chooses these.

/// What a slow guest does, over and over, until its fuel is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Toil {
    /// Square roots, each of the one before.
    Roots,
    /// Multiplications of numbers so small that processors take a detour.
    Subnormals,
    /// Divisions, each by what the one before gave.
    Divisions,
    /// Loads from all over its memory, each of which says where the next one is.
    Walks,
    /// Nothing: it returns at once.
    Rest,
    /// Writes one byte to every page of its memory, and returns.
    Touch,
}

impl Toil {
    /// Those that go on until the fuel is gone.
    pub(super) const ENDLESS: [Self; 4] = [Self::Roots, Self::Subnormals, Self::Divisions, Self::Walks];

    /// What it is called in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Roots => "square roots",
            Self::Subnormals => "subnormal numbers",
            Self::Divisions => "divisions",
            Self::Walks => "scattered loads",
            Self::Rest => "nothing",
            Self::Touch => "a write to every page",
        }
    }

    /// The body of `spe_map`; its locals are 2 of each: i32 (2, 3), i64 (4, 5), f64 (6, 7).
    fn body(self, pages: u32) -> Vec<u8> {
        match self {
            Self::Roots => endless(&hidden(6, 1e300), &[get(6), repeat(&[F64_SQRT]), set(6)].concat()),
            Self::Subnormals => {
                // So close to 1 that the number stays one of those that processors are slow at.
                let start = [hidden(6, f64::MIN_POSITIVE / 4.0), hidden(7, 0.999_999_9)].concat();
                endless(&start, &[get(6), repeat(&[get(7), vec![F64_MUL]].concat()), set(6)].concat())
            }
            Self::Divisions => {
                let by = [get(5), vec![I64_DIV_U]].concat();
                let step = [vec![I64_CONST], signed(-1), repeat(&by), vec![I64_CONST, 1, I64_OR], set(5)].concat();
                endless(&[vec![I64_CONST, 3], set(5)].concat(), &step)
            }
            Self::Walks => {
                let start = [vec![I32_CONST], signed(TRACK.into()), set(3)].concat();
                endless(&start, &[get(3), repeat(&[I32_LOAD, 2, 0]), set(3)].concat())
            }
            Self::Rest => Vec::new(),
            Self::Touch => {
                let write = [get(2), vec![I32_CONST, 1, I32_STORE8, 0, 0]].concat();
                let next =
                    [get(2), vec![I32_CONST], signed(i64::from(SYSTEM_PAGE_BYTES)), vec![I32_ADD, TEE, 2]].concat();
                let more = [vec![I32_CONST], signed(i64::from(pages * PAGE_BYTES)), vec![I32_LT_U, BR_IF, 0]].concat();
                [vec![LOOP, VOID], write, next, more, vec![END]].concat()
            }
        }
    }

    /// A module that does this to `pages` pages of 64 KiB, at least 4.
    pub(super) fn module(self, pages: u32) -> Vec<u8> {
        let lines = (pages.saturating_sub(2) * PAGE_BYTES).min(TRACK_BYTES_MAX) / LINE_BYTES;
        let track = if self == Self::Walks { track(lines) } else { Vec::new() };
        module(pages, &self.body(pages), &track)
    }
}

/// Bytes of a page of WebAssembly memory.
pub(super) const PAGE_BYTES: u32 = 65_536;
/// Bytes of a page that the system hands out at once.
pub(super) const SYSTEM_PAGE_BYTES: u32 = 4_096;
/// Where the host may write: behind the first page.
const INPUT: u32 = PAGE_BYTES;
/// Where the track of a walk begins, and how long it is at most: a module may have 16 MiB.
const TRACK: u32 = 2 * PAGE_BYTES;
const TRACK_BYTES_MAX: u32 = 12 << 20;
const LINE_BYTES: u32 = 64;
/// How often a step is written out, so that the loop around it hardly counts.
const UNROLLED: usize = 200;

const LOOP: u8 = 0x03;
const BR: u8 = 0x0c;
const BR_IF: u8 = 0x0d;
const END: u8 = 0x0b;
const VOID: u8 = 0x40;
const TEE: u8 = 0x22;
const I32_LOAD: u8 = 0x28;
const I64_LOAD: u8 = 0x29;
const I32_STORE8: u8 = 0x3a;
const I32_CONST: u8 = 0x41;
const I64_CONST: u8 = 0x42;
const I32_LT_U: u8 = 0x49;
const I32_ADD: u8 = 0x6a;
const I64_ADD: u8 = 0x7c;
const I64_DIV_U: u8 = 0x80;
const I64_OR: u8 = 0x84;
const F64_SQRT: u8 = 0x9f;
const F64_MUL: u8 = 0xa2;
const F64_REINTERPRET_I64: u8 = 0xbf;

fn get(local: u8) -> Vec<u8> {
    vec![0x20, local]
}

fn set(local: u8) -> Vec<u8> {
    vec![0x21, local]
}

/// Sets a local to a number that the compiler cannot know: what is at address 0, which is 0, plus its bits.
fn hidden(local: u8, value: f64) -> Vec<u8> {
    let bits = [vec![I32_CONST, 0, I64_LOAD, 3, 0, I64_CONST], signed(value.to_bits().cast_signed())].concat();
    [bits, vec![I64_ADD, F64_REINTERPRET_I64], set(local)].concat()
}

fn repeat(step: &[u8]) -> Vec<u8> {
    step.repeat(UNROLLED)
}

fn endless(start: &[u8], step: &[u8]) -> Vec<u8> {
    [start, &[LOOP, VOID], step, &[BR, 0, END]].concat()
}

/// A way through all lines of the track, in an order that nobody foresees: each holds the address of the next.
fn track(lines: u32) -> Vec<u8> {
    let mut next: Vec<u32> = (0..lines).collect();
    let mut random = 1_u64;
    // Sattolo's shuffle: one cycle.
    for last in (1..next.len()).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        next.swap(last, usize::try_from(random >> 33).unwrap_or_default() % last);
    }
    let line = |step: u32| {
        let mut line = vec![0; LINE_BYTES as usize];
        line.splice(..4, (TRACK + step * LINE_BYTES).to_le_bytes());
        line
    };
    next.into_iter().flat_map(line).collect()
}

/// A module over the table `visits` with these instructions for `spe_map`, and this in memory from [`TRACK`] on.
fn module(pages: u32, map: &[u8], data: &[u8]) -> Vec<u8> {
    const MANIFEST: &[u8] = br#"{"name": "toil", "version": "1.0.0", "abi": 1,
        "inputs": [{"table": "visits", "columns": ["target", "amount", "note"], "max_rows": 64}],
        "outputs": [{"name": "people", "kind": "count"}]}"#;
    let (i32_, i64_, f64_) = (0x7f, 0x7e, 0x7c);
    let types = list(&[vec![0x60, 1, i32_, 1, i32_], vec![0x60, 2, i32_, i32_, 1, i32_], vec![0x60, 2, i32_, i32_, 0]]);
    let exports = [("memory", 2, 0), ("spe_input", 0, 0), ("spe_start", 0, 1), ("spe_map", 0, 2)];
    let export = |(name, kind, index): (&str, u8, u8)| [named(name.as_bytes()), vec![kind, index]].concat();
    let locals = vec![3, 2, i32_, 2, i64_, 2, f64_];
    let bodies = [
        [vec![0, I32_CONST], signed(INPUT.into()), vec![END]].concat(),
        vec![0, I32_CONST, 0, END],
        [locals, map.to_vec(), vec![END]].concat(),
    ];
    let sections = [
        (1, types),
        (3, vec![3, 0, 1, 2]),
        (5, [vec![1, 0], unsigned(pages.into())].concat()),
        (7, list(&exports.map(export))),
        (10, list(&bodies.map(|body| named(&body)))),
        (11, list(&[[vec![0, I32_CONST], signed(TRACK.into()), vec![END], named(data)].concat()])),
        (0, [named(b"spe.manifest"), MANIFEST.to_vec()].concat()),
    ];
    let section = |(id, content): (u8, Vec<u8>)| [vec![id], named(&content)].concat();
    [b"\0asm\x01\0\0\0".to_vec(), sections.map(section).concat()].concat()
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [unsigned(u64::try_from(items.len()).unwrap_or_default()), items.concat()].concat()
}

/// Bytes after their number.
fn named(bytes: &[u8]) -> Vec<u8> {
    [unsigned(u64::try_from(bytes.len()).unwrap_or_default()), bytes.to_vec()].concat()
}

/// LEB128.
fn unsigned(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = (value & 0x7f).to_le_bytes();
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

/// LEB128 of a signed number.
fn signed(mut value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = (value & 0x7f).to_le_bytes();
        value >>= 7;
        let last = (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0);
        bytes.push(if last { low } else { low | 0x80 });
        if last {
            return bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_toil_is_a_module_that_is_accepted() {
        for toil in Toil::ENDLESS.into_iter().chain([Toil::Rest, Toil::Touch]) {
            let inspected = spe_sandbox::inspect(&toil.module(256));
            assert!(inspected.is_ok(), "{}: {:?}", toil.name(), inspected.err());
        }
    }
}
