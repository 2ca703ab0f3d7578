//! The slowest code that a guest can be made of, for a given amount of fuel.
//!
//! Fuel counts instructions by what they cost; time is also spent on what an instruction waits for. Whoever wants a node to be late
//! chooses these.

/// What a slow guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    /// Square roots, each of the one before.
    Roots,
    /// Multiplications of numbers so small that processors take a detour.
    Subnormals,
    /// Divisions, each by what the one before gave.
    Divisions,
    /// Loads from all over its memory, each of which says where the next one is.
    Loads,
    /// Stores all over its memory.
    Stores,
    /// Calls of more functions than a cache holds.
    Calls,
    /// Asking for more memory, which in the end fails.
    Growth,
    /// Nothing: it returns at once.
    Rest,
    /// Grows to all its memory, writes one byte to every page of it, and returns.
    Touch,
}

impl Workload {
    /// Those that go on until the fuel is gone.
    pub(super) const ENDLESS: [Self; 7] =
        [Self::Roots, Self::Subnormals, Self::Divisions, Self::Loads, Self::Stores, Self::Calls, Self::Growth];

    /// What it is called in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Roots => "square roots",
            Self::Subnormals => "subnormal numbers",
            Self::Divisions => "divisions",
            Self::Loads => "scattered loads",
            Self::Stores => "scattered stores",
            Self::Calls => "calls",
            Self::Growth => "memory growth",
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
            Self::Loads => {
                let start = [track(lines(pages)), vec![I32_CONST], signed(TRACK.into()), set(3)].concat();
                endless(&start, &[get(3), repeat(&[I32_LOAD, 2, 0]), set(3)].concat())
            }
            Self::Stores => {
                let mask = (lines(pages).next_power_of_two() / 2).max(1) - 1;
                let random =
                    [get(2), word(1_664_525), vec![I32_MUL], word(1_013_904_223), vec![I32_ADD, TEE, 2]].concat();
                let at =
                    [word(8), vec![I32_SHR_U], word(mask), vec![I32_AND], word(LINE_BYTES), vec![I32_MUL]].concat();
                let store = [get(2), vec![I32_STORE, 2], unsigned(TRACK.into())].concat();
                endless(&[], &repeat(&[random, at, store].concat()))
            }
            Self::Calls => {
                // An order that nobody foresees: multiplying by 5 and adding 1 has full period.
                let (mut calls, mut at) = (Vec::new(), 0);
                for _ in 0..CALLED {
                    at = (at * 5 + 1) % CALLED;
                    calls.extend([vec![CALL], unsigned((FUNCTIONS + at).into())].concat());
                }
                endless(&[], &calls)
            }
            Self::Growth => endless(&[], &repeat(&[I32_CONST, 1, MEMORY_GROW, 0, DROP])),
            Self::Rest => Vec::new(),
            Self::Touch => {
                let grow =
                    [vec![LOOP, VOID, I32_CONST, 1, MEMORY_GROW, 0], word(u32::MAX), vec![I32_NE, BR_IF, 0, END]];
                let write = [get(2), vec![I32_CONST, 1, I32_STORE8, 0, 0]].concat();
                let next = [get(2), word(SYSTEM_PAGE_BYTES), vec![I32_ADD, TEE, 2]].concat();
                let more = [word(pages * PAGE_BYTES), vec![I32_LT_U, BR_IF, 0]].concat();
                [grow.concat(), vec![LOOP, VOID], write, next, more, vec![END]].concat()
            }
        }
    }

    /// A module that does this to `pages` pages of 64 KiB, at least [`PAGES_LEAST`].
    pub(super) fn module(self, pages: u32) -> Vec<u8> {
        let at_first = if matches!(self, Self::Growth | Self::Touch) { PAGES_LEAST } else { pages };
        let called = if self == Self::Calls { CALLED } else { 0 };
        module(at_first, &self.body(pages), called)
    }

    /// Fuel that it takes before it does what it is about, at most.
    pub(super) fn fuel_before(self, pages: u32) -> u64 {
        if self == Self::Loads { u64::from(lines(pages)) * 64 } else { 0 }
    }
}

/// Pages that a module has at least.
pub(super) const PAGES_LEAST: u32 = 4;
/// Bytes of a page of WebAssembly memory.
pub(super) const PAGE_BYTES: u32 = 65_536;
/// Bytes of a page that the system hands out at once.
pub(super) const SYSTEM_PAGE_BYTES: u32 = 4_096;
/// Where the host may write: behind the first page.
const INPUT: u32 = PAGE_BYTES;
/// Where loads and stores are, to the end of the memory.
const TRACK: u32 = 2 * PAGE_BYTES;
const LINE_BYTES: u32 = 64;
/// Functions that do nothing, some hundred bytes of machine code each, and the number of the first.
const CALLED: u32 = 1 << 14;
const FUNCTIONS: u32 = 3;
/// How often a step is written out, so that the loop around it hardly counts.
const UNROLLED: usize = 200;

const LOOP: u8 = 0x03;
const BR: u8 = 0x0c;
const BR_IF: u8 = 0x0d;
const END: u8 = 0x0b;
const VOID: u8 = 0x40;
const CALL: u8 = 0x10;
const DROP: u8 = 0x1a;
const TEE: u8 = 0x22;
const I32_LOAD: u8 = 0x28;
const I64_LOAD: u8 = 0x29;
const I32_STORE: u8 = 0x36;
const I32_STORE8: u8 = 0x3a;
const MEMORY_GROW: u8 = 0x40;
const I32_CONST: u8 = 0x41;
const I64_CONST: u8 = 0x42;
const I32_NE: u8 = 0x47;
const I32_LT_U: u8 = 0x49;
const I64_LT_U: u8 = 0x54;
const I32_ADD: u8 = 0x6a;
const I32_MUL: u8 = 0x6c;
const I32_AND: u8 = 0x71;
const I32_SHR_U: u8 = 0x76;
const I64_ADD: u8 = 0x7c;
const I64_MUL: u8 = 0x7e;
const I64_DIV_U: u8 = 0x80;
const I64_REM_U: u8 = 0x82;
const I64_OR: u8 = 0x84;
const F64_SQRT: u8 = 0x9f;
const F64_MUL: u8 = 0xa2;
const I32_WRAP_I64: u8 = 0xa7;
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

/// A constant of 32 bits.
fn word(value: u32) -> Vec<u8> {
    [vec![I32_CONST], signed(value.cast_signed().into())].concat()
}

/// A constant of 64 bits.
fn long(value: u64) -> Vec<u8> {
    [vec![I64_CONST], signed(value.cast_signed())].concat()
}

fn repeat(step: &[u8]) -> Vec<u8> {
    step.repeat(UNROLLED)
}

fn endless(start: &[u8], step: &[u8]) -> Vec<u8> {
    [start, &[LOOP, VOID], step, &[BR, 0, END]].concat()
}

/// Lines of a track: 15 times a power of two, which almost all of a memory can be.
fn lines(pages: u32) -> u32 {
    let room = pages.saturating_sub(2) * PAGE_BYTES / LINE_BYTES;
    15 << (room / 15).max(1).ilog2()
}

/// Lays a way through all of `lines` lines, in an order that nobody foresees: each holds the address of the next. One cycle: the
/// generator has full period (Hull & Dobell 1962), for its multiplier less 1 is a multiple of 60, and its increment is prime to 60.
fn track(lines: u32) -> Vec<u8> {
    let multiplier = u64::from(lines / 97) * 60 + 1;
    let address = |line: Vec<u8>| {
        [line, vec![I32_WRAP_I64], word(LINE_BYTES), vec![I32_MUL], word(TRACK), vec![I32_ADD]].concat()
    };
    let next = [get(4), long(multiplier), vec![I64_MUL], long(7), vec![I64_ADD], long(lines.into()), vec![I64_REM_U]];
    let store = [address(get(4)), address(next.concat()), vec![I32_STORE, 2, 0]].concat();
    let more = [get(4), long(1), vec![I64_ADD, TEE, 4], long(lines.into()), vec![I64_LT_U, BR_IF, 0]].concat();
    [vec![LOOP, VOID], store, more, vec![END]].concat()
}

/// A module over the table `visits` with these instructions for `spe_map`, and so many functions that do nothing.
fn module(pages: u32, map: &[u8], called: u32) -> Vec<u8> {
    const MANIFEST: &[u8] = br#"{"name": "slow", "version": "1.0.0", "abi": 1,
        "inputs": [{"table": "visits", "columns": ["target", "amount", "note"], "max_rows": 64}],
        "outputs": [{"name": "people", "kind": "count"}]}"#;
    let (i32_, i64_, f64_) = (0x7f, 0x7e, 0x7c);
    let types = list(&[
        vec![0x60, 1, i32_, 1, i32_],
        vec![0x60, 2, i32_, i32_, 1, i32_],
        vec![0x60, 2, i32_, i32_, 0],
        vec![0x60, 0, 0],
    ]);
    let exports = [("memory", 2, 0), ("spe_input", 0, 0), ("spe_start", 0, 1), ("spe_map", 0, 2)];
    let export = |(name, kind, index): (&str, u8, u8)| [named(name.as_bytes()), vec![kind, index]].concat();
    let locals = vec![3, 2, i32_, 2, i64_, 2, f64_];
    let mut bodies = vec![
        named(&[vec![0], word(INPUT), vec![END]].concat()),
        named(&[0, I32_CONST, 0, END]),
        named(&[locals, map.to_vec(), vec![END]].concat()),
    ];
    let mut functions = vec![vec![0], vec![1], vec![2]];
    for _ in 0..called {
        functions.push(vec![3]);
        bodies.push(named(&[0, END]));
    }
    let sections = [
        (1, types),
        (3, list(&functions)),
        (5, [vec![1, 0], unsigned(pages.into())].concat()),
        (7, list(&exports.map(export))),
        (10, list(&bodies)),
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
    fn every_workload_is_a_module_that_is_accepted() {
        for workload in Workload::ENDLESS.into_iter().chain([Workload::Rest, Workload::Touch]) {
            for pages in [PAGES_LEAST, 32, 1_024] {
                let inspected = spe_sandbox::inspect(&workload.module(pages));
                assert!(inspected.is_ok(), "{}: {:?}", workload.name(), inspected.err());
            }
        }
    }

    /// A bug would be: a track whose cycle is short, and stays in a cache.
    #[test]
    fn a_track_goes_through_all_lines() {
        for pages in [PAGES_LEAST, 32, 1_024] {
            let lines = u64::from(lines(pages));
            assert!(
                lines * u64::from(LINE_BYTES) <= u64::from((pages - 2) * PAGE_BYTES),
                "it is longer than the memory"
            );
            let (mut at, mut steps) = (0, 0);
            while steps == 0 || at != 0 {
                at = (at * (lines / 97 * 60 + 1) + 7) % lines;
                steps += 1;
            }
            assert_eq!(steps, lines, "{pages} pages");
        }
    }
}
