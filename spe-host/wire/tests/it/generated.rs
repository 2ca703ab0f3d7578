//! The generated code is checked in, so that a build needs no generator; this keeps it fresh.

use std::{env, error::Error, fs, path::Path};

/// To update it: `SPE_UPDATE_GENERATED=1 cargo test --release --workspace --test wire generated`.
#[test]
fn generated_code_is_that_of_the_protos() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (proto, code) in [("spe.proto", "spe.v1.rs"), ("keyholder.proto", "spe.keyholder.v1.rs")] {
        let fresh = tempfile::tempdir()?;
        let descriptors = protox::compile([proto], [root.join("proto")])?;
        tonic_prost_build::configure().out_dir(fresh.path()).compile_fds(descriptors)?;
        let (made, kept) = (fs::read_to_string(fresh.path().join(code))?, root.join("src/gen").join(code));
        if env::var_os("SPE_UPDATE_GENERATED").is_some() {
            fs::write(&kept, &made)?;
        }
        let same = fs::read_to_string(&kept)? == made;
        assert!(same, "{code} is not what {proto} generates; run this test with SPE_UPDATE_GENERATED=1");
    }
    Ok(())
}
