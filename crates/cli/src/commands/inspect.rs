//! `rms inspect`: everything a file says about itself.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use clap::Args;
use openrms_formats::Inspection;
use openrms_formats::dataspaces::Versions;
use openrms_formats::inspect::Details;
use openrms_xrml::anchors::Anchors;
use serde::Serialize;
use serde_json::{Value, json};

use super::verify::node_lines;
use crate::examine::{Examined, Found, examine, read_anchors};
use crate::failure::Failure;
use crate::report::LicenseReport;
use crate::shell::{Shell, plain};

/// Arguments of `rms inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Protected files, bare licenses and certificates, or streams of protected documents.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Further trust anchors: a file of them. Microsoft's are always known.
    #[arg(long, value_name = "FILE")]
    anchors: Option<String>,
}

/// The JSON document of one file.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    format: Option<&'static str>,
    format_version: Option<String>,
    original_extension: Option<String>,
    declared_length: Option<u64>,
    ciphertext_length: Option<u64>,
    cipher: Option<&'static str>,
    license: Option<LicenseReport>,
    details: Value,
}

impl Inspect {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let mut anchors = Anchors::microsoft();
        if let Some(source) = &self.anchors {
            anchors.extend(read_anchors(source)?);
        }
        if let [file] = self.files.as_slice() {
            let report = Report::of(&examine(file)?, &anchors)?;
            return shell.answer(&report, || report.text());
        }
        let mut first_failure = None;
        let mut documents = Vec::new();
        let mut text = String::new();
        for file in &self.files {
            match examine(file).and_then(|examined| Report::of(&examined, &anchors)) {
                Ok(report) => {
                    text.push_str(&report.text());
                    text.push('\n');
                    documents.push(json!(report));
                }
                Err(failure) => {
                    documents
                        .push(json!({ "file": file.to_string_lossy(), "error": failure.error() }));
                    first_failure.get_or_insert(failure);
                }
            }
        }
        match first_failure {
            None => shell.answer(&documents, || text),
            Some(failure) if shell.is_json() => Err(failure.beside(json!({ "files": documents }))),
            Some(failure) => shell.put(text.as_bytes()).and(Err(failure)),
        }
    }
}

impl Report {
    fn of(examined: &Examined, anchors: &Anchors) -> Result<Self, Failure> {
        let file = examined.path.to_string_lossy().into_owned();
        let inspection = match &examined.found {
            Found::Container(inspection) => inspection,
            Found::PropertySet {
                version,
                sections,
                bytes,
            } => {
                return Ok(Self {
                    file,
                    format: None,
                    format_version: None,
                    original_extension: None,
                    declared_length: None,
                    ciphertext_length: None,
                    cipher: None,
                    license: None,
                    details: json!({
                        "kind": "property-set",
                        "version": version,
                        "sections": sections,
                        "bytes": bytes,
                    }),
                });
            }
        };
        Ok(Self {
            file,
            format: Some(inspection.format.as_str()),
            format_version: inspection.format_version.clone(),
            original_extension: inspection.original_extension.clone(),
            declared_length: inspection.declared_length,
            ciphertext_length: inspection.ciphertext_length,
            cipher: cipher(inspection),
            license: examined
                .license
                .as_ref()
                .and_then(|license| LicenseReport::of(license, anchors)),
            details: details(examined, inspection)?,
        })
    }

    fn text(&self) -> String {
        let mut page = Page::default();
        page.line("file", Some(plain(&self.file)));
        let version = self
            .format_version
            .as_ref()
            .map(|v| format!(" {v}"))
            .unwrap_or_default();
        page.line(
            "format",
            self.format.map(|format| format!("{format}{version}")),
        );
        page.line(
            "original extension",
            self.original_extension.as_deref().map(plain),
        );
        page.line(
            "original length",
            self.declared_length.map(|n| format!("{n} bytes")),
        );
        page.line(
            "ciphertext",
            self.ciphertext_length.map(|n| format!("{n} bytes")),
        );
        page.line("cipher", self.cipher.map(str::to_owned));
        if let Value::Object(details) = &self.details {
            page.line("kind", details.get("kind").map(show));
            let told = ["kind", "declared_length", "ciphertext_length"];
            for (name, value) in details {
                if !value.is_null() && !told.contains(&name.as_str()) {
                    page.line(&name.replace('_', " "), Some(plain(&show(value))));
                }
            }
        }
        if let Some(license) = &self.license {
            page.license(license);
        }
        page.0
    }
}

/// The container knows the cipher only where its version has but one; otherwise the key's header
/// says it, which the use license carries.
fn cipher(inspection: &Inspection) -> Option<&'static str> {
    match &inspection.details {
        Details::Pfile(header) if header.version.major <= 2 => Some("cbc4k"),
        _ => None,
    }
}

/// What only files of that kind say.
fn details(examined: &Examined, inspection: &Inspection) -> Result<Value, Failure> {
    Ok(match &inspection.details {
        Details::Pfile(header) => json!({
            "kind": "pfile",
            "notice_length": header.notice_length,
            "header_size": header.header_size,
            "license_offset": header.license.start,
            "license_length": header.license.end.saturating_sub(header.license.start),
            "content_offset": header.content_offset,
            "original_size": header.original_size,
            "metadata_offset": header.metadata.as_ref().map(|range| range.start),
            "metadata_length": header
                .metadata
                .as_ref()
                .map(|range| range.end.saturating_sub(range.start)),
        }),
        Details::Compound(facts) => json!({
            "kind": "compound-file",
            "content_stream": facts.content_stream,
            "data_space": facts.data_space,
            "transform": facts.transform,
        }),
        Details::Version(info) => {
            let mut document = json!({ "kind": "data-spaces-version", "feature": info.feature });
            put_versions(&mut document, &info.versions);
            document
        }
        Details::Map(map) => {
            let entry = |entry: &openrms_formats::dataspaces::MapEntry| {
                let names: Vec<_> = entry
                    .components
                    .iter()
                    .map(|step| step.name.as_str())
                    .collect();
                json!({ "stream": names.join("/"), "data_space": entry.data_space })
            };
            let entries: Vec<_> = map.entries.iter().map(entry).collect();
            json!({ "kind": "data-space-map", "entries": entries })
        }
        Details::Definition(definition) => {
            json!({ "kind": "data-space-definition", "transforms": definition.transforms })
        }
        Details::Transform(transform) => {
            let mut document =
                json!({ "kind": "transform", "id": transform.id, "name": transform.name });
            put_versions(&mut document, &transform.versions);
            if let (Some(license), Value::Object(fields)) = (&examined.license, &mut document) {
                fields.insert("license_length".to_owned(), license.bytes.into());
                fields.insert("license_padding".to_owned(), license.padding.into());
            }
            document
        }
        Details::Content(content) => json!({
            "kind": "encrypted-content",
            "declared_length": content.declared_length,
            "ciphertext_length": content.ciphertext_length,
            "commonest_block": commonest_block(&examined.path)
                .map_err(|error| Failure::io("read", &examined.path, &error))?,
        }),
        Details::License => json!({ "kind": "license" }),
    })
}

fn put_versions(document: &mut Value, versions: &Versions) {
    let Value::Object(fields) = document else {
        return;
    };
    let sides = [
        ("reader", versions.reader),
        ("updater", versions.updater),
        ("writer", versions.writer),
    ];
    for (side, (major, minor)) in sides {
        fields.insert(side.to_owned(), format!("{major}.{minor}").into());
    }
}

/// The block that occurs most often at the start of a ciphertext, where one repeats: the mark of
/// ECB, which shows equal blocks as equal.
fn commonest_block(path: &Path) -> std::io::Result<Value> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(8))?;
    let mut bytes = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut bytes)?;
    let (blocks, _) = bytes.as_chunks::<16>();
    let mut counts: HashMap<&[u8; 16], u64> = HashMap::new();
    for block in blocks {
        *counts.entry(block).or_default() += 1;
    }
    let commonest = counts
        .into_iter()
        .max_by_key(|&(block, times)| (times, *block));
    Ok(match commonest {
        Some((block, times)) if times > 1 => {
            json!({ "hex": format!("{:032x}", u128::from_be_bytes(*block)), "times": times })
        }
        _ => Value::Null,
    })
}

/// A JSON value as one line of text.
fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(show).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", show(value)))
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    }
}

/// Text in two columns.
#[derive(Default)]
struct Page(String);

impl Page {
    /// A line, where there is something to say.
    fn line(&mut self, label: &str, value: Option<String>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            _ = writeln!(self.0, "{label:LABEL$} {value}");
        }
    }

    fn license(&mut self, license: &LicenseReport) {
        self.0.push('\n');
        let person = |who: &Option<crate::report::Identity>| {
            let who = who.as_ref()?;
            let name = plain(who.name.as_deref().unwrap_or_default());
            Some(
                format!("{name} {} ({})", plain(&who.id), plain(&who.id_type))
                    .trim()
                    .to_owned(),
            )
        };
        self.line(
            "license",
            Some(format!(
                "{}, {}, {} bytes",
                license.kind, license.encoding, license.bytes
            )),
        );
        for (label, value) in [
            ("content", &license.content_id),
            ("certificate", &license.certificate_id),
            ("template", &license.template_id),
            ("template version", &license.policy_version),
        ] {
            self.line(label, value.as_deref().map(plain));
        }
        for (language, name) in &license.names {
            self.line(&format!("name ({language})"), Some(plain(name.trim())));
        }
        self.line("owner", license.owner.as_deref().map(plain));
        self.line("issuer", person(&license.issuer));
        self.line("issued to", person(&license.issued_to));
        self.line("issued", Some(format!("{} UTC", license.issued)));
        if let (Some(from), Some(until)) = (&license.valid_from, &license.valid_until) {
            self.line("valid", Some(format!("{from} to {until} UTC")));
        }
        for url in &license.urls {
            self.line(
                "url",
                Some(format!("{} {}", plain(&url.kind), plain(&url.url))),
            );
        }
        self.line(
            "sealed key",
            license
                .enabling_bits
                .as_ref()
                .map(|key| format!("{}, {} bits", key.kind, key.bits)),
        );
        self.line(
            "rights data",
            license
                .rights_data_bytes
                .map(|n| format!("{n} bytes, encrypted")),
        );
        for grant in license.rights.iter().flatten() {
            let holder = person(&grant.holder).unwrap_or_else(|| "the one it is issued to".into());
            let until = grant
                .until
                .as_ref()
                .map(|t| format!(" until {t}"))
                .unwrap_or_default();
            let days = grant
                .days
                .map(|n| format!(" for {n} days"))
                .unwrap_or_default();
            self.line(
                "right",
                Some(format!("{:16} {holder}{until}{days}", plain(&grant.right))),
            );
        }
        self.0.push('\n');
        self.0.push_str(&node_lines(&license.nodes));
    }
}

const LABEL: usize = 18;
/// How much of a ciphertext is searched for repetitions, in bytes.
const LOOKED_AT: u64 = 1 << 20;
