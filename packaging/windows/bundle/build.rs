//! Puts the packages of the folder that `OPENRMS_BUNDLE` names into the program, with their digests.
//! Without the variable the program has none, and says so.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

use sha2::{Digest as _, Sha256};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=OPENRMS_BUNDLE");
    let mut text = String::from("pub(crate) const PACKAGES: &[Package] = &[\n");
    if let Some(folder) = env::var_os("OPENRMS_BUNDLE") {
        for name in ["Client.msi", "BackCompat.msi"] {
            let path = fs::canonicalize(Path::new(&folder).join(name))?;
            let digest: [u8; 32] = Sha256::digest(fs::read(&path)?).into();
            let path = path.display().to_string();
            println!("cargo::rerun-if-changed={path}");
            let _ = writeln!(
                text,
                "Package {{ name: {name:?}, bytes: include_bytes!({path:?}), sha256: {digest:?} }},"
            );
        }
    }
    text.push_str("];\n");
    let out = env::var_os("OUT_DIR").unwrap_or_default();
    fs::write(Path::new(&out).join("packages.rs"), text)
}
