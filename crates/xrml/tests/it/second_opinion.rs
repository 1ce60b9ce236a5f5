//! Our scanner and quick-xml read the same from whatever ours accepts.

use openrms_crypto::Mode;
use openrms_xrml::Hand;
use openrms_xrml::chain;
use openrms_xrml::tree::{Element, Limits, Tree};
use quick_xml::events::Event;
use quick_xml::reader::Reader;

use crate::support::{Hierarchy, account, rights_data_request};

/// Start tags with their attributes and the text of elements without children, in order.
fn ours(text: &str) -> Vec<String> {
    let tree = Tree::parse(text, &Limits::default()).unwrap();
    let describe = |element: Element<'_>| {
        let names: Vec<_> = [
            "type", "name", "id", "size", "value", "version", "min", "max", "days",
        ]
        .into_iter()
        .filter_map(|name| Some(format!("{name}={}", element.attribute(name)?)))
        .collect();
        format!(
            "{} {names:?} {:?}",
            element.name(),
            element.text().unwrap_or_default()
        )
    };
    tree.elements().map(describe).collect()
}

fn theirs(text: &str) -> Vec<String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut out: Vec<(String, Vec<String>, String, bool)> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) => {
                let mut found = Vec::new();
                for name in [
                    "type", "name", "id", "size", "value", "version", "min", "max", "days",
                ] {
                    if let Some(attribute) = tag.try_get_attribute(name).unwrap() {
                        let value = quick_xml::escape::unescape(&attribute.value).unwrap();
                        found.push(format!("{name}={value}"));
                    }
                }
                if let Some(&parent) = open.last() {
                    out[parent].3 = true;
                }
                open.push(out.len());
                out.push((tag.name().as_ref().to_owned(), found, String::new(), false));
            }
            Event::End(_) => _ = open.pop(),
            Event::Text(text) => {
                if let Some(&index) = open.last() {
                    out[index].2.push_str(&text);
                }
            }
            Event::GeneralRef(name) => {
                let whole = format!("&{};", &*name);
                let resolved = quick_xml::escape::unescape(&whole).unwrap().into_owned();
                out[*open.last().unwrap()].2.push_str(&resolved);
            }
            Event::Eof => break,
            other => panic!("{other:?}"),
        }
    }
    out.into_iter()
        .map(|(name, found, text, parent)| {
            let text = if parent { "" } else { text.trim() };
            format!("{name} {found:?} {text:?}")
        })
        .collect()
}

#[test]
fn of_real_licenses() {
    for text in crate::corpus::every_text() {
        for part in chain::split(&text).unwrap() {
            assert_eq!(ours(part), theirs(part));
        }
    }
}

#[test]
fn of_what_we_write() {
    let hierarchy = Hierarchy::new(Mode::One);
    let person = hierarchy.person(account("author"));
    let pl = hierarchy.pl(&person);
    let ul = hierarchy.ul(&pl, &person, &hierarchy.slc, Hand::Server);
    let texts = [person.spc.text, person.rac.text, person.clc.text, pl, ul];
    for text in texts
        .iter()
        .chain([&hierarchy.template(), &rights_data_request().text()])
    {
        assert_eq!(ours(text), theirs(text));
    }
}
