//! `rms verify`: digest and signature of every node, and whether each leads to a trust anchor.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use openrms_crypto::{Digest, HashAlgorithm};
use openrms_xrml::anchors::Anchors;
use openrms_xrml::node::Node;
use openrms_xrml::tree::{Limits, Tree};
use openrms_xrml::values::decode_base64;
use openrms_xrml::{SharedNode, chain, text};
use serde_json::{Value, json};

use crate::examine::{License, examine, read_anchors, verified};
use crate::failure::{Exit, Failure};
use crate::report::{NodeReport, Signer, node_reports};
use crate::shell::{Shell, plain};

/// Arguments of `rms verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Protected files, bare licenses and certificates.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Every node must also lead to one of these: a file of anchors, or `microsoft`.
    #[arg(long, value_name = "FILE|microsoft")]
    anchors: Option<String>,
}

/// What was found out about one file.
struct Verdict {
    name: String,
    nodes: Vec<NodeReport>,
    /// With `--anchors`: why node `index` does not lead to one, or `None` when it does.
    chains: Option<Vec<Option<String>>>,
}

impl Verify {
    pub(crate) fn run(self, shell: Shell) -> Result<(), Failure> {
        let anchors = self.anchors.as_deref().map(read_anchors).transpose()?;
        let mut documents = Vec::new();
        let mut text = String::new();
        let mut first_failure = None;
        for file in &self.files {
            let name = file.to_string_lossy().into_owned();
            let verdict = examine(file).and_then(|examined| match &examined.license {
                Some(license) => Ok(Verdict::of(name.clone(), license, anchors.as_ref())),
                None => Err(Failure::new(
                    Exit::Malformed,
                    "no-license",
                    format!("{} holds no license that could be verified", plain(&name)),
                    "in a protected document the license is in the stream `\\6Primary`",
                )),
            });
            let failure = match verdict {
                Ok(verdict) => {
                    text.push_str(&verdict.text());
                    documents.push(verdict.document());
                    verdict.failure()
                }
                Err(failure) => {
                    let failure = changed_node(file, &failure).unwrap_or(failure);
                    documents.push(json!({ "file": name, "ok": false, "error": failure.error() }));
                    Some(failure)
                }
            };
            first_failure = first_failure.or(failure);
        }
        let document = match documents.as_slice() {
            [document] => document.clone(),
            _ => json!({ "files": documents }),
        };
        match first_failure {
            None => shell.answer(&document, || text),
            Some(failure) if shell.is_json() => Err(failure.beside(document)),
            Some(failure) => shell.put(text.as_bytes()).and(Err(failure)),
        }
    }
}

impl Verdict {
    fn of(name: String, license: &License, anchors: Option<&Anchors>) -> Self {
        let known = anchors.cloned().unwrap_or_else(Anchors::microsoft);
        Self {
            name,
            nodes: node_reports(&license.nodes, &known),
            chains: anchors.map(|anchors| chain_problems(&license.nodes, anchors)),
        }
    }

    fn problem(&self, index: usize) -> Option<String> {
        let node = self.nodes.get(index)?;
        let problem = match (node.digest_ok, node.signature_ok) {
            (None, _) => "is not signed",
            (Some(false), _) => "was changed: its digest does not fit its body",
            (Some(true), Some(true)) => {
                let chain = self.chains.as_ref()?.get(index)?.as_ref()?;
                return Some(format!("does not lead to a trust anchor: {chain}"));
            }
            _ if node.key_fingerprint.is_none() => "does not name the key of its issuer",
            _ => "has a signature that is not its issuer's",
        };
        Some(problem.to_owned())
    }

    fn failure(&self) -> Option<Failure> {
        let name = plain(&self.name);
        if self.nodes.iter().all(|node| node.digest.is_none()) {
            return Some(Failure::new(
                Exit::Untrusted,
                "unsigned",
                format!("{name} is unsigned: nothing in it can be verified"),
                "rights data in clear carry no signature; verify the license they belong to",
            ));
        }
        let (index, problem) = self.nodes.iter().find_map(|node| {
            self.problem(node.index)
                .map(|problem| (node.index, problem))
        })?;
        let kind = self.nodes.get(index).map_or("node", |node| node.kind);
        let message = format!("{name}: node {index} ({kind}) {problem}");
        let (code, hint) = if self.nodes.iter().all(NodeReport::holds) {
            (
                "untrusted",
                "check that these are the anchors of the hierarchy the file comes from",
            )
        } else {
            (
                "signature",
                "do not trust the file; get it again from where it came",
            )
        };
        Some(Failure::new(Exit::Untrusted, code, message, hint))
    }

    fn document(&self) -> Value {
        let nodes: Vec<Value> = self
            .nodes
            .iter()
            .map(|node| {
                let mut document = json!(node);
                if let Value::Object(fields) = &mut document {
                    fields.insert("problem".to_owned(), json!(self.problem(node.index)));
                }
                document
            })
            .collect();
        json!({
            "file": self.name,
            "ok": self.failure().is_none(),
            "anchored": self.chains.as_ref().map(|chains| chains.iter().all(Option::is_none)),
            "nodes": nodes,
            "signed": self.nodes.iter().filter(|node| node.digest.is_some()).count(),
            "verified": self.nodes.iter().filter(|node| node.holds()).count(),
        })
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n{}", plain(&self.name), node_lines(&self.nodes));
        if self.failure().is_none() {
            let chain = match &self.chains {
                Some(_) => "every node leads to a trust anchor",
                None => "trust anchors were not asked for (--anchors)",
            };
            _ = writeln!(
                text,
                "good: digest and signature of every node hold; {chain}"
            );
        }
        text
    }
}

/// A table of nodes.
pub(crate) fn node_lines(nodes: &[NodeReport]) -> String {
    let mut text = String::new();
    for node in nodes {
        let signer = match node.signed_by {
            Some(Signer::Node(index)) => format!("node {index}"),
            Some(Signer::Anchor(_)) => "a known anchor".to_owned(),
            None => "a key outside".to_owned(),
        };
        let state = match (node.digest_ok, node.signature_ok) {
            (None, _) => "not signed".to_owned(),
            (Some(true), Some(true)) => format!("verified, signed by {signer}"),
            (Some(false), Some(true)) => "CHANGED: the digest does not fit the body".to_owned(),
            (Some(true), _) => "BAD SIGNATURE".to_owned(),
            (Some(false), _) => "CHANGED, and the signature is bad".to_owned(),
        };
        let digest = node.digest.unwrap_or("-");
        let key = node.key_fingerprint.as_deref().unwrap_or("-");
        _ = writeln!(
            text,
            "{:>2}  {:28} {digest:6} {state}",
            node.index, node.kind
        );
        _ = writeln!(
            text,
            "    issuer {} key {key}",
            plain(node.issuer.as_deref().unwrap_or("-"))
        );
    }
    text
}

/// A license that cannot be read because somebody changed it: the text of a node is still XML, and
/// is not the text that its digest was made of. That is an answer, not malformed input.
fn changed_node(file: &Path, failure: &Failure) -> Option<Failure> {
    if failure.code != "malformed-license" {
        return None;
    }
    let stored = openrms_formats::open_container(file).ok()?.license?;
    let (text, _) = text::decode(&stored).ok()?;
    let nodes = chain::split(&text).ok()?;
    let index = nodes
        .iter()
        .position(|node| digest_differs(node) == Some(true))?;
    let message = format!(
        "{}: node {index} was changed: its digest does not fit its body",
        plain(&file.to_string_lossy())
    );
    let hint = "do not trust the file; get it again from where it came";
    Some(Failure::new(Exit::Untrusted, "signature", message, hint))
}

/// Whether the digest of a node is another than that of its body; `None` without a digest.
fn digest_differs(node: &str) -> Option<bool> {
    let tree = Tree::parse(node, &Limits::default()).ok()?;
    let body = tree.root().child("BODY")?;
    let digest = tree.root().child("SIGNATURE")?.child("DIGEST")?;
    let algorithm = HashAlgorithm::from_wire_name(&digest.child("ALGORITHM")?.text()?)?;
    let value = decode_base64(&digest.child("VALUE")?.text()?).ok()?;
    Some(Digest::of_utf16le(algorithm, body.raw()).as_bytes() != value)
}

/// For every node, why it does not lead to an anchor. Only verified nodes count as steps.
fn chain_problems(nodes: &[Node], anchors: &Anchors) -> Vec<Option<String>> {
    let shared: Vec<Option<SharedNode>> = nodes
        .iter()
        .map(|node| verified(node).map(Arc::new))
        .collect();
    let steps: Vec<SharedNode> = shared.iter().flatten().cloned().collect();
    shared
        .iter()
        .map(|node| {
            let Some(node) = node else {
                return Some("its own signature fails".to_owned());
            };
            let mut path = vec![node.clone()];
            path.extend(
                steps
                    .iter()
                    .filter(|step| !Arc::ptr_eq(step, node))
                    .cloned(),
            );
            chain::verify_path(&path, None, |key| anchors.contains(key))
                .err()
                .map(|error| error.to_string())
        })
        .collect()
}
