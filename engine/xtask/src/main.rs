//! `cargo xtask`: chores of the build.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use flow_xtask::{Profile, build_guests, freeze_contract};

const USAGE: &str = "\
usage: cargo xtask plugins [--dev]
       cargo xtask freeze-contract

plugins           compiles the plugins into target/plugins and lists them
freeze-contract   when a version of the plugin contract is released: keeps its WIT files and a plugin
                  built for it, so that every later flow is tested with it";

#[expect(clippy::print_stdout, reason = "a command prints what it is asked for")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let profile = match arguments.as_slice() {
        ["plugins"] => Profile::Release,
        ["plugins", "--dev"] => Profile::Dev,
        ["freeze-contract"] => {
            let frozen = freeze_contract(&root, &target.join("contract"))?;
            println!("version {}", frozen.version);
            for path in [frozen.wit, frozen.plugin] {
                println!("kept {}", path.display());
            }
            return Ok(());
        }
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return Ok(());
        }
        _ => bail!("{USAGE}"),
    };
    for (name, path) in build_guests(&root.join("plugins"), &target.join("plugins"), profile)? {
        let size = std::fs::metadata(&path)?.len();
        println!("{name}\t{}\t{} KiB", path.display(), size.div_ceil(1024));
    }
    Ok(())
}
