//! Files made by Microsoft's software: the program says of each everything that the corpus'
//! manifest says a correct parser reports. The manifest itself is read; nothing is repeated here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;

use common::{corpus, rms};
use serde_json::Value;

/// One section of the manifest.
struct Entry {
    file: String,
    bytes: u64,
    statements: Vec<String>,
}

#[test]
fn every_statement_of_the_manifest_is_said() {
    let Some(corpus) = corpus() else { return };
    let manifest = fs::read_to_string(corpus.join("MANIFEST.md")).unwrap();
    let entries = entries(&manifest);
    assert!(entries.len() >= 20, "the manifest was not understood");
    let (mut checked, mut wrong) = (0, Vec::new());
    for entry in &entries {
        assert!(!entry.statements.is_empty(), "{}", entry.file);
        let path = corpus.join(&entry.file);
        assert_eq!(
            fs::metadata(&path).unwrap().len(),
            entry.bytes,
            "{}",
            entry.file
        );
        let run = rms(["inspect".as_ref(), "--json".as_ref(), path.as_os_str()]);
        let told = Told {
            document: run.json(),
            path: &path,
        };
        for statement in &entry.statements {
            match told.agrees(statement) {
                Some(true) => checked += 1,
                Some(false) => wrong.push(format!("{}: {statement}", entry.file)),
                None => wrong.push(format!("{}: not understood: {statement}", entry.file)),
            }
        }
        let counts = entry
            .statements
            .iter()
            .find(|s| s.contains("signatures verify"));
        if let Some(counts) = counts.map(|statement| numbers(statement)) {
            let holds = rms([Path::new("verify"), &path]).code == 0;
            assert_eq!(holds, counts.first() == counts.last(), "{}", entry.file);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{checked} statements about {} files", entries.len());
}

#[test]
fn every_file_of_the_corpus_is_in_the_manifest() {
    let Some(corpus) = corpus() else { return };
    let manifest = fs::read_to_string(corpus.join("MANIFEST.md")).unwrap();
    let listed = entries(&manifest);
    for folder in fs::read_dir(&corpus)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        for file in fs::read_dir(folder.path()).unwrap().flatten() {
            let name = format!(
                "{}/{}",
                folder.file_name().display(),
                file.file_name().display()
            );
            assert!(listed.iter().any(|entry| entry.file == name), "{name}");
        }
    }
}

#[test]
fn the_chain_of_an_office_document_leads_to_microsofts_root() {
    let Some(corpus) = corpus() else { return };
    let path = corpus.join("ole-ooxml-parts/DRMEncryptedTransform.Primary.bin");
    let path = path.to_str().unwrap();
    let inspected = rms(["inspect", "--json", path]).json();
    let signers: Vec<String> = inspected["license"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["signed_by"].to_string())
        .collect();
    assert_eq!(signers, ["1", "4", "1", "4", "5", "6", "7", "\"root\""]);
    assert_eq!(rms(["verify", "--anchors", "microsoft", path]).code, 0);
}

#[test]
fn a_lone_publishing_license_does_not_lead_to_an_anchor() {
    let Some(corpus) = corpus() else { return };
    let path = corpus.join("pfile/AliceBvt.txt.pfile");
    let run = rms([
        "verify",
        "--json",
        "--anchors",
        "microsoft",
        path.to_str().unwrap(),
    ]);
    assert_eq!((run.code, run.error_code().as_str()), (4, "untrusted"));
    assert_eq!(run.json()["verified"], 1);
    assert_eq!(run.json()["anchored"], false);
}

/// What the program told of a file.
struct Told<'a> {
    document: Value,
    path: &'a Path,
}

impl Told<'_> {
    /// Whether a statement is told; `None` when this test does not know that kind of statement.
    #[allow(
        clippy::too_many_lines,
        reason = "one short paragraph for each kind of statement"
    )]
    fn agrees(&self, statement: &str) -> Option<bool> {
        let license = &self.document["license"];
        let details = &self.document["details"];
        let quoted: Vec<&str> = statement.split('`').skip(1).step_by(2).collect();
        let starts = |prefix: &str| statement.strip_prefix(prefix);
        if let Some(version) = starts("pfile ") {
            return Some(
                self.document["format"] == "pfile" && self.document["format_version"] == version,
            );
        }
        if starts("cleartext redirection ").is_some() {
            return Some(numbers(statement) == [num(&details["notice_length"])]);
        }
        if starts("header size ").is_some() {
            return Some(numbers(statement) == [num(&details["header_size"])]);
        }
        if starts("extension ").is_some() {
            return Some(self.document["original_extension"] == *quoted.first()?);
        }
        if starts("licence at ").is_some() {
            let told = [num(&details["license_offset"]), num(&license["bytes"]), 8];
            return Some(numbers(statement) == told && license["encoding"] == encoding(statement)?);
        }
        if starts("content at ").is_some() {
            let told = [
                num(&details["content_offset"]),
                num(&self.document["ciphertext_length"]),
            ];
            return Some(numbers(statement) == told);
        }
        if statement == "original size unknown (all ones)" {
            return Some(
                details["original_size"].is_null() && self.document["declared_length"].is_null(),
            );
        }
        if starts("metadata at ").is_some() {
            let told = [
                num(&details["metadata_offset"]),
                num(&details["metadata_length"]),
            ];
            return Some(numbers(statement) == told);
        }
        if starts("encoding ").is_some() {
            return Some(license["encoding"] == encoding(statement)?);
        }
        if starts("content ID ").is_some() {
            return Some(license["content_id"] == *quoted.first()?);
        }
        if starts("certificate ID ").is_some() {
            return Some(license["certificate_id"] == *quoted.first()?);
        }
        if let Some(rest) = starts("issuer ") {
            return identity(&license["issuer"], rest, quoted.first()?);
        }
        if let Some(rest) = starts("issued to ") {
            return identity(&license["issued_to"], rest, quoted.first()?);
        }
        if starts("policy/template ID ").is_some() {
            let wanted = format!("{{{}}}", quoted.first()?.trim_matches(['{', '}']));
            let version = statement
                .split_once("version attribute ")
                .map(|(_, v)| v.trim_end_matches(')'));
            return Some(
                license["template_id"] == wanted && license["policy_version"].as_str() == version,
            );
        }
        if let Some(rest) = starts("name LCID ") {
            let (language, name) = rest.split_once(' ')?;
            return Some(license["names"][language] == name.trim_matches('"'));
        }
        if let Some((count, rest)) = statement.split_once(" localised names (LCIDs ") {
            let (languages, rest) = rest.split_once(" ...); ")?;
            let (language, name) = rest.split_once(" = ")?;
            let names = license["names"].as_object()?;
            return Some(
                names.len().to_string() == count
                    && languages
                        .split(", ")
                        .all(|language| names.contains_key(language))
                    && names[language] == name.trim_matches('"'),
            );
        }
        if starts("owner ").is_some() {
            return Some(license["owner"] == *quoted.first()?);
        }
        if let Some(time) = starts("issued ") {
            return Some(license["issued"] == time);
        }
        if let Some(span) = starts("validity ") {
            let (from, until) = span.split_once(" .. ")?;
            return Some(license["valid_from"] == from && license["valid_until"] == until);
        }
        if let Some(rest) = starts("enabling bits ") {
            let (kind, bits) = rest.split_once(", ")?;
            let key = &license["enabling_bits"];
            return Some(key["type"] == kind && numbers(bits) == [num(&key["bits"])]);
        }
        if starts("ERD ").is_some() {
            return Some(numbers(statement) == [num(&license["rights_data_bytes"])]);
        }
        if let Some(rest) = starts("chain length ") {
            let (count, kinds) = rest.split_once(" (")?;
            let wanted: Vec<&str> = kinds
                .trim_end_matches(')')
                .split(", ")
                .map(kind_name)
                .collect();
            let told: Vec<&str> = license["nodes"]
                .as_array()?
                .iter()
                .filter_map(|node| node["kind"].as_str())
                .collect();
            return Some(told == wanted && told.len().to_string() == count);
        }
        if statement.ends_with("digests and signatures verify on the raw text") {
            return Some(
                numbers(statement) == [num(&license["verified"]), num(&license["signed"])],
            );
        }
        if let (Some((kind, _)), [url]) = (statement.split_once(" `http"), quoted.as_slice()) {
            return Some(has_url(license, kind, url));
        }
        if let (Some((kind, _)), [url]) = (statement.split_once(" `mailto:"), quoted.as_slice()) {
            return Some(has_url(license, kind, url));
        }
        self.agrees_on_parts(statement, &quoted)
    }

    /// Statements about loose streams, plain files and the rights data in clear.
    fn agrees_on_parts(&self, statement: &str, quoted: &[&str]) -> Option<bool> {
        let license = &self.document["license"];
        let details = &self.document["details"];
        let starts = |prefix: &str| statement.starts_with(prefix);
        if starts("one map entry: ") {
            let entries = details["entries"].as_array()?;
            let entry = entries.first()?;
            return Some(
                entries.len() == 1
                    && entry["stream"] == *quoted.first()?
                    && entry["data_space"] == *quoted.get(1)?,
            );
        }
        if starts("one transform reference: ") {
            let transforms = details["transforms"].as_array()?;
            return Some(transforms.len() == 1 && transforms[0] == *quoted.first()?);
        }
        if starts("feature ") {
            let version = statement.rsplit(' ').next()?;
            let sides = ["reader", "updater", "writer"];
            return Some(
                details["feature"] == *quoted.first()?
                    && sides.iter().all(|side| details[side] == version),
            );
        }
        if starts("transform ") {
            return Some(details["id"] == *quoted.first()? && details["name"] == *quoted.get(1)?);
        }
        if starts("licence UTF-8, length field ") {
            let [_, length, padding] = numbers(statement)[..] else {
                return None;
            };
            return Some(
                license["encoding"] == "utf-8"
                    && length == num(&license["bytes"])
                    && length == num(&details["license_length"])
                    && padding == num(&details["license_padding"]),
            );
        }
        if starts("declared plaintext size ") {
            let block = &details["commonest_block"];
            let hex = statement.split("block ").nth(1)?.split("...").next()?;
            let times = *numbers(statement).last()?;
            return Some(
                numbers(statement)[..2]
                    == [
                        num(&self.document["declared_length"]),
                        num(&self.document["ciphertext_length"]),
                    ]
                    && block["hex"].as_str()?.starts_with(hex)
                    && times == num(&block["times"]),
            );
        }
        if statement.ends_with("property set version as in [MS-OLEPS]") {
            let version = num(&details["version"]);
            return Some(
                details["kind"] == "property-set"
                    && numbers(statement) == [num(&details["bytes"])]
                    && version <= 1,
            );
        }
        if let Some(characters) = statement.strip_suffix(" characters, no signature") {
            let wanted: u64 = characters.replace(',', "").parse().ok()?;
            return Some(wanted == num(&license["characters"]) && license["signed"] == 0);
        }
        if statement.starts_with("17 rights granted: ") {
            return self.agrees_on_rights(statement);
        }
        // A file that is not protected: the error names its size.
        let size = statement
            .strip_suffix(" bytes")
            .filter(|size| size.parse::<u64>().is_ok())?;
        let error = &self.document["error"];
        let code = rms([Path::new("inspect"), self.path]).code;
        Some(
            code == 6
                && error["code"] == "not-protected"
                && error["message"]
                    .as_str()?
                    .contains(&format!("({size} bytes)")),
        )
    }

    /// `17 rights granted: 8 to owner (Windows), ..., VIEW to user@contoso.com until T`.
    fn agrees_on_rights(&self, statement: &str) -> Option<bool> {
        let license = &self.document["license"];
        let grants = license["rights"].as_array()?;
        let (total, parts) = statement.split_once(" rights granted: ")?;
        let mut good = grants.len().to_string() == total;
        for part in parts.split(", ") {
            let (count, whom) = part.split_once(" to ")?;
            if let Some(id_type) = whom.strip_prefix("owner (") {
                let id_type = id_type.trim_end_matches(')');
                let held = |grant: &&Value| {
                    grant["holder"]["id_type"] == id_type
                        && grant["holder"]["name"] == license["owner"]
                };
                good &= grants.iter().filter(held).count().to_string() == count;
            } else {
                let (name, until) = whom.split_once(" until ")?;
                good &= grants.iter().any(|grant| {
                    grant["right"] == count
                        && grant["holder"]["name"] == name
                        && grant["until"] == until
                });
            }
        }
        Some(good)
    }
}

fn entries(manifest: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in manifest.lines() {
        if let Some(file) = line.strip_prefix("### ") {
            entries.push(Entry {
                file: file.to_owned(),
                bytes: 0,
                statements: Vec::new(),
            });
        } else if let Some(entry) = entries.last_mut() {
            if let Some(rest) = line.strip_prefix("- sha256 ") {
                let (_, bytes) = rest.split_once(", ").unwrap();
                entry.bytes = bytes.trim_end_matches(" bytes").parse().unwrap();
            } else if let Some(statement) = line.strip_prefix("  - ") {
                entry.statements.push(statement.to_owned());
            }
        }
    }
    entries
}

/// `NAME ID (TYPE)`, where the type may be missing.
fn identity(told: &Value, rest: &str, id: &str) -> Option<bool> {
    let (name, tail) = rest.split_once(" `")?;
    let id_type = tail
        .split_once(" (")
        .map(|(_, id_type)| id_type.trim_end_matches(')'));
    Some(
        told["name"] == name
            && told["id"] == id
            && id_type.is_none_or(|id_type| told["id_type"] == id_type),
    )
}

fn has_url(license: &Value, kind: &str, url: &str) -> bool {
    let urls = license["urls"].as_array().into_iter().flatten();
    urls.into_iter()
        .any(|told| told["type"] == kind && told["url"] == url)
}

fn encoding(statement: &str) -> Option<&'static str> {
    if statement.contains("UTF-8 with BOM") {
        Some("utf-8-bom")
    } else if statement.contains("UTF-16LE without BOM") {
        Some("utf-16le")
    } else {
        None
    }
}

/// The manifest's names of nodes are those on the wire.
fn kind_name(wire: &str) -> &str {
    match wire {
        "Microsoft Rights Label" => "publishing-license",
        "Microsoft Official Rights Template" => "official-rights-template",
        "Client-Licensor-Certificate" => "client-licensor-certificate",
        "Server-Licensor-Certificate" => "server-licensor-certificate",
        "Group-Identity-Credential" => "rights-account-certificate",
        "Content-License" => "use-license",
        "DRM-CA-Certificate" => "ca-certificate",
        other => other,
    }
}

/// A number of the document; one that no statement has where it is missing.
fn num(value: &Value) -> u64 {
    value.as_u64().unwrap_or(u64::MAX)
}

/// The whole numbers in a text, in order.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .flat_map(|word| word.rsplit("UTF"))
        .filter_map(|word| word.parse().ok())
        .collect()
}
