//! Policy names by language: `LCID 1033:NAME n:DESCRIPTION d;` (MS-RMPR 2.2.9.7.1).

/// Name and description of a policy in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalizedName {
    /// Windows language code, such as 1033.
    pub lcid: u32,
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
}

/// Reads the names of a DESCRIPTOR. What has no form is left out.
///
/// A name may hold `;`, `:` and the word `LCID`, so the text is cut only where a whole marker
/// (`LCID 1033:NAME `) stands at the start or behind a `;`.
#[must_use]
pub fn parse_names(text: &str) -> Vec<LocalizedName> {
    let mut starts: Vec<usize> = text
        .match_indices(MARKER)
        .map(|(at, _)| at)
        .filter(|&at| {
            let before = text[..at].trim_end();
            (before.is_empty() || before.ends_with(';')) && parse_lcid(&text[at..]).is_some()
        })
        .collect();
    starts.push(text.len());
    starts
        .windows(2)
        .filter_map(|pair| parse_one(text.get(pair[0]..pair[1])?))
        .collect()
}

/// Writes names as servers do: each entry ends in `;` and a line feed.
#[must_use]
pub fn format_names(names: &[LocalizedName]) -> String {
    let mut text = String::new();
    for LocalizedName {
        lcid,
        name,
        description,
    } in names
    {
        let lcid = lcid.to_string();
        for part in [
            MARKER,
            &lcid,
            ":NAME ",
            name,
            ":DESCRIPTION ",
            description,
            ";\n",
        ] {
            text.push_str(part);
        }
    }
    text
}

fn parse_one(entry: &str) -> Option<LocalizedName> {
    let (lcid, rest) = parse_lcid(entry)?;
    let rest = rest.trim_end();
    let rest = rest.strip_suffix(';').unwrap_or(rest);
    let (name, description) = rest.split_once(":DESCRIPTION ").unwrap_or((rest, ""));
    Some(LocalizedName {
        lcid,
        name: name.to_owned(),
        description: description.to_owned(),
    })
}

/// Reads the marker at the start of an entry; gives the language and what follows.
fn parse_lcid(entry: &str) -> Option<(u32, &str)> {
    let entry = entry.strip_prefix(MARKER)?;
    let digits = entry.bytes().take_while(u8::is_ascii_digit).count();
    let (lcid, rest) = entry.split_at(digits);
    Some((lcid.parse().ok()?, rest.strip_prefix(":NAME ")?))
}

const MARKER: &str = "LCID ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_they_were_written() {
        let names = vec![
            LocalizedName {
                lcid: 1033,
                name: "A: b; c".into(),
                description: "d".into(),
            },
            LocalizedName {
                lcid: 1031,
                name: "Nur Lesen;".into(),
                description: String::new(),
            },
            LocalizedName {
                lcid: 9,
                name: "LCID 5:".into(),
                description: "LCID 7:NAME x; ;".into(),
            },
        ];
        assert_eq!(parse_names(&format_names(&names)), names);
        assert_eq!(parse_names("nonsense"), []);
        assert_eq!(parse_names("LCID x:NAME a;LCID 99999999999:NAME b;"), []);
    }

    #[test]
    fn a_leading_blank_and_entries_on_one_line_are_read() {
        let names = parse_names(" LCID 1033:NAME CONTOSO:DESCRIPTION For it; LCID 1031:NAME b;");
        let pairs: Vec<_> = names.iter().map(|n| (n.lcid, n.name.as_str())).collect();
        assert_eq!(pairs, [(1033, "CONTOSO"), (1031, "b")]);
        assert_eq!(names[0].description, "For it");
    }
}
