//! The names of protected files: `a.txt` becomes `a.ptxt`, `a.foo` becomes `a.foo.pfile`, Office
//! documents and PDFs keep theirs. A name is a convention only; what a file is, is told by
//! [`detect`](crate::detect()).

/// How files with some extension are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A pfile whose extension gets a `p` in front: text, XML and pictures.
    PPrefixed,
    /// A PDF with its own form of protection; `ppdf` is a pfile for old readers.
    Pdf,
    /// An Office document that is a ZIP package inside: name unchanged.
    OfficeXml,
    /// An Office document that is a compound file inside: name unchanged.
    OfficeBinary,
    /// Anything else: `.pfile` is appended.
    Other,
}

/// The family a file name (without folders) belongs to, by its extension in any case.
pub fn family(name: &str) -> Family {
    let extension = split(name).1.to_ascii_lowercase();
    let has = |list: &[&str]| list.contains(&extension.as_str());
    if has(P_PREFIXED) {
        Family::PPrefixed
    } else if extension == "pdf" {
        Family::Pdf
    } else if has(OFFICE_XML) {
        Family::OfficeXml
    } else if has(OFFICE_BINARY) {
        Family::OfficeBinary
    } else {
        Family::Other
    }
}

/// The name of the protected form of `name`, with native protection where there is one.
pub fn protected_name(name: &str) -> String {
    match family(name) {
        Family::Pdf | Family::OfficeXml | Family::OfficeBinary => name.to_owned(),
        Family::PPrefixed | Family::Other => pfile_name(name),
    }
}

/// The name of `name` as a pfile, whatever other protection its family has.
pub fn pfile_name(name: &str) -> String {
    match (family(name), split(name)) {
        (Family::PPrefixed | Family::Pdf, (stem, extension)) => format!("{stem}.p{extension}"),
        _ => format!("{name}.pfile"),
    }
}

/// The name of the original, from the name of the pfile and the extension field in its header.
/// The header wins over the name, if it survives [`sanitise_extension`] and is not `.pfile`, which
/// writers use for "none". A name without any mark of protection comes back as it is, unless the
/// header says otherwise.
pub fn original_name(name: &str, header_extension: Option<&str>) -> String {
    let (undone, appended) = undo(name);
    let Some(extension) = header_extension.and_then(sanitise_extension) else {
        return undone;
    };
    if extension.eq_ignore_ascii_case(".pfile") {
        return undone;
    }
    let (stem, current) = split(&undone);
    if current.eq_ignore_ascii_case(extension.trim_start_matches('.')) {
        undone
    } else if appended {
        // `my.report.pfile` was renamed: what stands before `.pfile` need not be an extension.
        format!("{undone}{extension}")
    } else {
        format!("{stem}{extension}")
    }
}

/// An extension from outside, made safe to append to a file name: one leading dot, then letters
/// and digits. `None` when nothing or anything else is in it; then the file name has to serve.
pub fn sanitise_extension(extension: &str) -> Option<String> {
    let bare = extension.strip_prefix('.').unwrap_or(extension);
    let fits = !bare.is_empty() && bare.len() <= 64 && bare.chars().all(char::is_alphanumeric);
    fits.then(|| format!(".{bare}"))
}

/// Undoes the naming. The flag says that `.pfile` was what went.
fn undo(name: &str) -> (String, bool) {
    let (stem, extension) = split(name);
    if extension.eq_ignore_ascii_case("pfile") {
        return (stem.to_owned(), true);
    }
    let original = extension.strip_prefix(['p', 'P']).unwrap_or_default();
    let lower = original.to_ascii_lowercase();
    if lower == "pdf" || P_PREFIXED.contains(&lower.as_str()) {
        return (format!("{stem}.{original}"), false);
    }
    (name.to_owned(), false)
}

/// Stem and extension without the dot. A name that only begins with a dot has no extension.
fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, extension),
        _ => (name, ""),
    }
}

const P_PREFIXED: &[&str] = &[
    "txt", "xml", "jpg", "jpeg", "jpe", "jfif", "jif", "png", "tif", "tiff", "bmp", "gif", "jt",
];

const OFFICE_XML: &[&str] = &[
    "docm", "docx", "dotm", "dotx", "xlam", "xlsb", "xlsm", "xlsx", "xltm", "xltx", "xps", "potm",
    "potx", "ppsm", "ppsx", "pptm", "pptx", "thmx", "vsdm", "vsdx", "vssm", "vssx", "vstm", "vstx",
];

const OFFICE_BINARY: &[&str] = &["doc", "dot", "xla", "xls", "xlt", "pps", "ppt", "pot"];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_extensions_get_a_p_and_others_get_pfile_appended() {
        assert_eq!(protected_name("a.txt"), "a.ptxt");
        assert_eq!(protected_name("a.b.JPG"), "a.b.pJPG");
        assert_eq!(protected_name("a.foo"), "a.foo.pfile");
        assert_eq!(protected_name("README"), "README.pfile");
        assert_eq!(protected_name(".txt"), ".txt.pfile");
    }

    #[test]
    fn office_and_pdf_names_stay_unless_a_pfile_is_asked_for() {
        assert_eq!(protected_name("a.docx"), "a.docx");
        assert_eq!(protected_name("a.XLS"), "a.XLS");
        assert_eq!(protected_name("a.pdf"), "a.pdf");
        assert_eq!(pfile_name("a.pdf"), "a.ppdf");
        assert_eq!(pfile_name("a.docx"), "a.docx.pfile");
    }

    #[test]
    fn names_that_merely_begin_with_p_are_not_protected_names() {
        for name in ["a.png", "a.ppt", "a.pdf", "a.pst", "a.p", "ptxt", ".ptxt"] {
            assert_eq!(original_name(name, None), name);
        }
    }

    #[test]
    fn the_header_wins_over_the_name() {
        assert_eq!(original_name("a.ptxt", Some(".txt")), "a.txt");
        assert_eq!(original_name("a.ptxt", Some(".jpg")), "a.jpg");
        assert_eq!(original_name("a.txt.pfile", Some(".txt")), "a.txt");
        assert_eq!(original_name("a.TXT.pfile", Some(".txt")), "a.TXT");
        assert_eq!(
            original_name("my.report.pfile", Some(".txt")),
            "my.report.txt"
        );
        assert_eq!(original_name("a.ppdf", None), "a.pdf");
        assert_eq!(original_name("a.pfile", Some(".pfile")), "a");
    }

    #[test]
    fn an_extension_that_is_a_path_is_not_used() {
        for bad in [
            "", ".", "..", "../x", "./x", ".a/b", ".a\\b", ".a.b", ".a\0", ".a b", ".a:b",
        ] {
            assert_eq!(sanitise_extension(bad), None, "{bad:?}");
            assert_eq!(original_name("a.ptxt", Some(bad)), "a.txt", "{bad:?}");
        }
        assert_eq!(sanitise_extension("txt").as_deref(), Some(".txt"));
        assert_eq!(sanitise_extension(".txt").as_deref(), Some(".txt"));
    }

    proptest! {
        #[test]
        fn undoing_gives_back_the_name(stem in "[a-z][a-z0-9 ]{0,8}", ext in "[a-z]{1,4}") {
            prop_assume!(ext != "pfile");
            let name = format!("{stem}.{ext}");
            prop_assert_eq!(original_name(&pfile_name(&name), Some(&format!(".{ext}"))), name.clone());
            prop_assert_eq!(original_name(&pfile_name(&name), None), name);
        }

        #[test]
        fn no_header_can_put_a_separator_into_a_name(extension in any::<String>()) {
            let name = original_name("a.ptxt", Some(&extension));
            prop_assert!(!name.contains(['/', '\\', '\0', ':']));
        }
    }
}
