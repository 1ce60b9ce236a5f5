//! Man pages and completions, made from the command lines themselves.

use std::path::Path;

use clap_complete::Shell;

use crate::Failure;

/// Writes `man1/*.1` and `completions/*`.
pub(crate) fn write(folder: &Path) -> Result<(), Failure> {
    let man = folder.join("man1");
    let completions = folder.join("completions");
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    for command in [openrms_cli::command(), openrms_server::commands::command()] {
        let name = command.get_name().to_owned();
        clap_mangen::generate_to(command.clone(), &man)?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            clap_complete::generate_to(shell, &mut command.clone(), name.as_str(), &completions)?;
        }
    }
    Ok(())
}
