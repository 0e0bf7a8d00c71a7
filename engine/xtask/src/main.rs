//! `cargo xtask`: chores of the build.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use flow_xtask::{Profile, build_guests};

const USAGE: &str = "usage: cargo xtask plugins [--dev]\n\nplugins   compiles the plugins into target/plugins and lists them";

#[expect(clippy::print_stdout, reason = "a command prints what it is asked for")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let profile = match arguments.as_slice() {
        ["plugins"] => Profile::Release,
        ["plugins", "--dev"] => Profile::Dev,
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return Ok(());
        }
        _ => bail!("{USAGE}"),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    for (name, path) in build_guests(&root.join("plugins"), &target.join("plugins"), profile)? {
        let size = std::fs::metadata(&path)?.len();
        println!("{name}\t{}\t{} KiB", path.display(), size.div_ceil(1024));
    }
    Ok(())
}
