//! A closed WASI: every function of `wasi_snapshot_preview1`, none of which does anything.
//!
//! Ordinary toolchains' output links against WASI even when it needs none of it, so that the names must exist. The
//! answers are constants: no files, arguments, environment or sockets, clocks at the epoch, one stream of entropy,
//! output that goes nowhere.
//!
//! # Privacy
//! **guest-blind**, **subject-blind guest**: an answer is a function of the call's arguments and of guest memory. There is
//! no state, so that a closed descriptor or a used-up stream cannot carry anything from one data subject to the next, and no
//! function waits. Each call costs fuel for the host's work, so that fuel bounds time.

use wasmtime::{AsContext, Caller, Extern, FuncType, Linker, Memory, Trap, Val, ValType};

use crate::guest::Limits;

/// The one module that may be imported from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";
/// Fuel for one call, about what the host's work is worth in instructions.
const CALL_FUEL: u64 = 250;
/// Fuel for one entry of an array that the host reads.
const ENTRY_FUEL: u64 = 10;

type Host<'a> = Caller<'a, Limits>;
type Answer = fn(&mut Call<'_, '_>) -> wasmtime::Result<Errno>;

/// WASI's error numbers, as far as they are answered.
#[derive(Clone, Copy)]
enum Errno {
    Success = 0,
    BadDescriptor = 8,
    BadAddress = 21,
    Invalid = 28,
    NotSupported = 58,
    NoSeek = 70,
}

/// Name, parameters (`i` = i32, `l` = i64) and answer of every function.
const FUNCTIONS: [(&str, &str, Answer); 46] = [
    ("args_get", "ii", |_| Ok(Errno::Success)),
    ("args_sizes_get", "ii", no_strings),
    ("environ_get", "ii", |_| Ok(Errno::Success)),
    ("environ_sizes_get", "ii", no_strings),
    ("clock_res_get", "ii", |call| call.clock(1, 1)),
    ("clock_time_get", "ili", |call| call.clock(2, 0)),
    ("fd_advise", "illi", no_file),
    ("fd_allocate", "ill", no_file),
    ("fd_close", "i", stdio),
    ("fd_datasync", "i", no_file),
    ("fd_fdstat_get", "ii", stdio_status),
    ("fd_fdstat_set_flags", "ii", stdio),
    ("fd_fdstat_set_rights", "ill", no_file),
    ("fd_filestat_get", "ii", no_file),
    ("fd_filestat_set_size", "il", no_file),
    ("fd_filestat_set_times", "illi", no_file),
    ("fd_pread", "iiili", no_file),
    ("fd_prestat_get", "ii", no_file),
    ("fd_prestat_dir_name", "iii", no_file),
    ("fd_pwrite", "iiili", no_file),
    ("fd_read", "iiii", empty_input),
    ("fd_readdir", "iiili", no_file),
    ("fd_renumber", "ii", no_file),
    ("fd_seek", "ilii", |call| Ok(if call.is_stdio() { Errno::NoSeek } else { Errno::BadDescriptor })),
    ("fd_sync", "i", no_file),
    ("fd_tell", "ii", no_file),
    ("fd_write", "iiii", discarded_output),
    ("path_create_directory", "iii", no_file),
    ("path_filestat_get", "iiiii", no_file),
    ("path_filestat_set_times", "iiiilli", no_file),
    ("path_link", "iiiiiii", no_file),
    ("path_open", "iiiiillii", no_file),
    ("path_readlink", "iiiiii", no_file),
    ("path_remove_directory", "iii", no_file),
    ("path_rename", "iiiiii", no_file),
    ("path_symlink", "iiiii", no_file),
    ("path_unlink_file", "iii", no_file),
    // Waiting for a clock would be sleeping.
    ("poll_oneoff", "iiii", |_| Ok(Errno::NotSupported)),
    (PROC_EXIT, "i", |_| Err(wasmtime::Error::msg("the guest ended itself"))),
    ("proc_raise", "i", |_| Ok(Errno::NotSupported)),
    ("random_get", "ii", constant_entropy),
    ("sched_yield", "", |_| Ok(Errno::Success)),
    ("sock_accept", "iii", |_| Ok(Errno::NotSupported)),
    ("sock_recv", "iiiiii", |_| Ok(Errno::NotSupported)),
    ("sock_send", "iiiii", |_| Ok(Errno::NotSupported)),
    ("sock_shutdown", "ii", |_| Ok(Errno::NotSupported)),
];

/// The one function without a result.
const PROC_EXIT: &str = "proc_exit";

/// The type that a function of that name must be imported as, in words; `None` = there is no such function.
pub(crate) fn signature(name: &str) -> Option<String> {
    let (_, params, _) = FUNCTIONS.iter().find(|f| f.0 == name)?;
    let params: Vec<_> = params.chars().map(|c| if c == 'l' { "i64" } else { "i32" }).collect();
    Some(format!("({}) -> ({})", params.join(", "), if name == PROC_EXIT { "" } else { "i32" }))
}

/// Defines every function.
pub(crate) fn link(linker: &mut Linker<Limits>) -> wasmtime::Result<()> {
    for (name, params, answer) in FUNCTIONS {
        let params = params.chars().map(|c| if c == 'l' { ValType::I64 } else { ValType::I32 });
        let results = (name != PROC_EXIT).then_some(ValType::I32);
        let ty = FuncType::new(linker.engine(), params, results);
        linker.func_new(MODULE, name, ty, move |host, args, results| {
            let mut call = Call { host, args };
            call.charge(CALL_FUEL)?;
            let errno = answer(&mut call)?;
            for result in results {
                *result = Val::I32(errno as i32);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// One call by a guest.
struct Call<'a, 'b> {
    host: Host<'a>,
    args: &'b [Val],
}

impl Call<'_, '_> {
    /// The argument at `index`, an i32 read as unsigned; every index here is within the function's type.
    fn arg(&self, index: usize) -> u32 {
        self.args.get(index).and_then(Val::i32).unwrap_or_default().cast_unsigned()
    }

    fn is_stdio(&self) -> bool {
        self.arg(0) <= 2
    }

    fn charge(&mut self, fuel: u64) -> wasmtime::Result<()> {
        let left = self.host.get_fuel()?;
        self.host.set_fuel(left.saturating_sub(fuel))?;
        if left < fuel { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
    }

    fn memory(&mut self) -> Option<Memory> {
        self.host.get_export(spe_abi::EXPORT_MEMORY).and_then(Extern::into_memory)
    }

    fn word(&mut self, address: u32) -> Option<u32> {
        let memory = self.memory()?;
        let bytes = memory.data(self.host.as_context()).get(address as usize..)?;
        bytes.first_chunk().map(|word| u32::from_le_bytes(*word))
    }

    /// Writes where a pointer argument says.
    fn write(&mut self, address: u32, bytes: &[u8]) -> Errno {
        match self.memory().map(|memory| memory.write(&mut self.host, address as usize, bytes)) {
            Some(Ok(())) => Errno::Success,
            _ => Errno::BadAddress,
        }
    }

    fn clock(&mut self, pointer: usize, nanoseconds: u64) -> wasmtime::Result<Errno> {
        const CLOCKS: u32 = 4;
        let pointer = self.arg(pointer);
        Ok(if self.arg(0) < CLOCKS { self.write(pointer, &nanoseconds.to_le_bytes()) } else { Errno::Invalid })
    }
}

fn no_file(_: &mut Call<'_, '_>) -> wasmtime::Result<Errno> {
    Ok(Errno::BadDescriptor)
}

/// Standard input, output and error are always there: closing one does nothing.
fn stdio(call: &mut Call<'_, '_>) -> wasmtime::Result<Errno> {
    Ok(if call.is_stdio() { Errno::Success } else { Errno::BadDescriptor })
}

fn no_strings(call: &mut Call<'_, '_>) -> wasmtime::Result<Errno> {
    let (count, bytes) = (call.arg(0), call.arg(1));
    Ok(match call.write(count, &[0; 4]) {
        Errno::Success => call.write(bytes, &[0; 4]),
        errno => errno,
    })
}

fn stdio_status(call: &mut Call<'_, '_>) -> wasmtime::Result<Errno> {
    const READ: u64 = 1 << 1;
    const WRITE: u64 = 1 << 6;
    if !call.is_stdio() {
        return Ok(Errno::BadDescriptor);
    }
    let rights = if call.arg(0) == 0 { READ } else { WRITE };
    let pointer = call.arg(1);
    // File type "unknown", flags 0, rights, rights to inherit: 0.
    let [a, b, c, d, e, f, g, h] = rights.to_le_bytes();
    Ok(call.write(pointer, &[0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0]))
}

fn empty_input(call: &mut Call<'_, '_>) -> wasmtime::Result<Errno> {
    let count = call.arg(3);
    Ok(if call.arg(0) == 0 { call.write(count, &[0; 4]) } else { Errno::BadDescriptor })
}

fn discarded_output(call: &mut Call<'_, '_>) -> wasmtime::Result<Errno> {
    let (descriptor, buffers, count, written) = (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    if descriptor != 1 && descriptor != 2 {
        return Ok(Errno::BadDescriptor);
    }
    call.charge(ENTRY_FUEL.saturating_mul(count.into()))?;
    let mut total = 0_u32;
    for buffer in 0..count {
        // An entry is an address and a length; nobody reads what is there.
        let length = buffers.checked_add(buffer.saturating_mul(8)).and_then(|entry| call.word(entry.checked_add(4)?));
        let Some(length) = length else { return Ok(Errno::BadAddress) };
        total = total.saturating_add(length);
    }
    Ok(call.write(written, &total.to_le_bytes()))
}

fn constant_entropy(call: &mut Call<'_, '_>) -> wasmtime::Result<Errno> {
    let (start, length) = (call.arg(0) as usize, call.arg(1) as usize);
    call.charge(call.arg(1).into())?;
    let memory = call.memory();
    let slice = memory.and_then(|m| m.data_mut(&mut call.host).get_mut(start..start.checked_add(length)?));
    let Some(slice) = slice else { return Ok(Errno::BadAddress) };
    for (chunk, word) in slice.chunks_mut(8).zip(1_u64..) {
        chunk.copy_from_slice(mixed(word).to_le_bytes().get(..chunk.len()).unwrap_or_default());
    }
    Ok(Errno::Success)
}

/// `SplitMix64`: looks random, so that programs which seed a hash table or draw until bytes differ work.
const fn mixed(word: u64) -> u64 {
    let z = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
