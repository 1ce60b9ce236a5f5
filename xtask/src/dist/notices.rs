//! The licences of the crates in a program with their texts, which most of them want to come with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::run;
use super::stage::name;
use crate::Failure;

/// A crate as cargo has it: its licence, and the texts that it brings.
struct Crate {
    licence: String,
    texts: Vec<String>,
}

/// All that a build may need, by name and version.
pub(crate) struct Crates(BTreeMap<(String, String), Crate>);

impl Crates {
    /// Asks cargo, which has their sources.
    pub(crate) fn read() -> Result<Self, Failure> {
        let told = run::output("cargo", |cargo| {
            cargo.args(["metadata", "--locked", "--format-version", "1"])
        })?;
        let told: Value = serde_json::from_str(&told)?;
        let mut crates = BTreeMap::new();
        for package in list(&told["packages"]) {
            // Ours have none.
            if package["source"].is_null() {
                continue;
            }
            let folder = Path::new(text(&package["manifest_path"])?).parent();
            let texts = texts(folder.unwrap_or(Path::new("")))?;
            let licence = package["license"]
                .as_str()
                .unwrap_or("see its text")
                .to_owned();
            let key = (
                text(&package["name"])?.into(),
                text(&package["version"])?.into(),
            );
            crates.insert(key, Crate { licence, texts });
        }
        Ok(Self(crates))
    }

    /// Of those that a bill of materials names: first who has which licence, then each text once, with
    /// those whose it is.
    pub(crate) fn of(&self, bill: &Path) -> Result<String, Failure> {
        let bill: Value = serde_json::from_str(&fs::read_to_string(bill)?)?;
        let mut out = String::from("Crates of others in this program, and their licences.\n\n");
        let mut whose = BTreeMap::<&str, BTreeSet<String>>::new();
        for component in list(&bill["components"]) {
            let (name, version) = (text(&component["name"])?, text(&component["version"])?);
            let Some(one) = self.0.get(&(name.into(), version.into())) else {
                continue;
            };
            writeln!(out, "{name} {version}: {}", one.licence)?;
            for text in &one.texts {
                whose
                    .entry(text)
                    .or_default()
                    .insert(format!("{name} {version}"));
            }
        }
        let mut by_crate: Vec<_> = whose.into_iter().collect();
        by_crate.sort_by(|(text, whose), (other, others)| (whose, text).cmp(&(others, other)));
        for (text, whose) in by_crate {
            let whose: Vec<_> = whose.into_iter().collect();
            write!(
                out,
                "\n{}\n{}\n\n{text}\n",
                "-".repeat(78),
                whose.join(", ")
            )?;
        }
        Ok(out)
    }
}

/// The files of a crate that are named as licences are.
fn texts(folder: &Path) -> Result<Vec<String>, Failure> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = name(&path)?.to_ascii_uppercase();
        if NAMES.iter().any(|beginning| name.starts_with(beginning)) && path.is_file() {
            let text = String::from_utf8_lossy(&fs::read(&path)?).replace('\r', "");
            texts.insert(name, text.trim_matches('\n').to_owned());
        }
    }
    Ok(texts.into_values().collect())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Result<&str, Failure> {
    value
        .as_str()
        .ok_or_else(|| format!("{value}: a text is expected").into())
}

const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];
