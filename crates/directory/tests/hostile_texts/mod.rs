//! Account names and addresses that would change a filter (RFC 4515) if they were put into one as
//! they are, as hostile as they may be without being refused at once.

use proptest::prelude::Strategy;

/// One of each kind.
pub(crate) fn hostile_texts() -> impl Strategy<Value = [String; 5]> {
    let name = "[a-z()&!'~^#\u{e1}\u{df}]{1,3}[a-z()&!'~ ]{0,12}[a-z()]";
    let atoms = "[a-z!#$%&'*/=?^_{|}~\u{e1}\u{df}+-]{1,16}@[a-z]{1,8}[.]example";
    let quoted = "\"([a-z*()|&!=@<>, ]|\\\\[\\\\\"a-f0-9*()]){1,16}\"@corp[.]example";
    let anything = "\\PC{0,16}";
    (name, atoms, quoted, anything).prop_map(|(name, atoms, quoted, anything)| {
        let full_name = format!("CORP\\{name}");
        [name, full_name, atoms, quoted, anything]
    })
}
