//! Tables of the manual that come from the source: between `<!-- table: NAME -->` and
//! `<!-- end of table -->`.

use std::path::Path;

use crate::Failure;

/// Writes a table into its page; without `write`, only looks whether it is there.
pub(crate) fn keep(path: &Path, name: &str, table: &str, write: bool) -> Result<(), Failure> {
    let page = std::fs::read_to_string(path)?;
    let wanted = with_table(&page, name, table)
        .ok_or_else(|| format!("{}: no place for the table {name}", path.display()))?;
    if write {
        std::fs::write(path, wanted)?;
    } else if wanted != page {
        let path = path.display();
        return Err(format!("{path}: the table {name} is not that of the source (--write)").into());
    }
    Ok(())
}

fn with_table(page: &str, name: &str, table: &str) -> Option<String> {
    let begin = format!("<!-- table: {name} -->\n");
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n{table}\n{END}{after}"))
}

const END: &str = "<!-- end of table -->";
