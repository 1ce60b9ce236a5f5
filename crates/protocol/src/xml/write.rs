//! Writes XML. Everything goes through escaping except certificates, which are valid by type.

/// An XML text under construction.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: String,
}

impl Writer {
    /// A text that begins with the XML declaration.
    pub(crate) fn document(capacity: usize) -> Self {
        let mut out = String::with_capacity(capacity + 512);
        out.push_str(DECLARATION);
        Self { out }
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }

    pub(crate) fn start(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
    }

    /// Opens an element that declares `namespace` as the default one.
    pub(crate) fn start_in(&mut self, name: &str, namespace: &str) {
        self.start_with(name, &[("xmlns", namespace)]);
    }

    pub(crate) fn start_with(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes);
        self.out.push('>');
    }

    pub(crate) fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes);
        self.out.push_str(" />");
    }

    pub(crate) fn end(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    pub(crate) fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.start(name);
        content(self);
        self.end(name);
    }

    pub(crate) fn leaf(&mut self, name: &str, text: &str) {
        self.start(name);
        self.text(text);
        self.end(name);
    }

    pub(crate) fn optional_leaf(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.leaf(name, text);
        }
    }

    pub(crate) fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '\r' => self.out.push_str("&#xD;"),
                c => self.out.push(allowed(c)),
            }
        }
    }

    /// Text that is markup already and known to be balanced.
    pub(crate) fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(name);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            for c in value.chars() {
                match c {
                    '&' => self.out.push_str("&amp;"),
                    '<' => self.out.push_str("&lt;"),
                    '"' => self.out.push_str("&quot;"),
                    '\r' => self.out.push_str("&#xD;"),
                    '\n' => self.out.push_str("&#xA;"),
                    '\t' => self.out.push_str("&#x9;"),
                    c => self.out.push(allowed(c)),
                }
            }
            self.out.push('"');
        }
    }
}

/// The character itself, or a replacement where XML has no way to write it.
fn allowed(c: char) -> char {
    match c {
        '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..='\u{10ffff}' => c,
        _ => '\u{fffd}',
    }
}

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>";
