//! Rules about source files.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::Package;

const FORBID_UNSAFE: &str = "#![forbid(unsafe_code)]";

/// Directories under which people, and build machines, keep their own things.
const PRIVATE: &[&str] = &["home", "Users", "root", "work"];

/// One line for each rule that is broken in a library's root or in a tracked file.
pub(super) fn check(root: &Path, packages: &[Package]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for package in packages {
        problems.extend(unsafe_allowed(root, package)?);
    }
    for file in tracked_files(root)? {
        problems.extend(private_paths(root, &file)?);
    }
    Ok(problems)
}

fn unsafe_allowed(root: &Path, package: &Package) -> Result<Option<String>> {
    let mut targets = package.targets.iter();
    let Some(library) = targets.find(|target| target.kind.iter().any(|kind| kind == "lib")) else {
        return Ok(None);
    };
    let path = &library.src_path;
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let shown = path.strip_prefix(root).unwrap_or(path).display();
    Ok((!forbids_unsafe(&text)).then(|| format!("{shown} lacks {FORBID_UNSAFE}")))
}

fn forbids_unsafe(text: &str) -> bool {
    text.lines().any(|line| line.trim() == FORBID_UNSAFE)
}

fn tracked_files(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("git is needed: install it (Debian: apt-get install git)")?;
    ensure!(output.status.success(), "`git ls-files` failed; see above");
    let names = String::from_utf8(output.stdout).context("a tracked file's name is not UTF-8")?;
    Ok(names.split_terminator('\0').map(PathBuf::from).collect())
}

fn private_paths(root: &Path, file: &Path) -> Result<Option<String>> {
    let bytes = match fs::read(root.join(file)) {
        Ok(bytes) => bytes,
        // deleted, but not yet in the index; or a submodule
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Ok(None);
    };
    let root = root
        .to_str()
        .context("the path of the repository is not UTF-8")?;
    let found = text
        .lines()
        .zip(1..)
        .find(|(line, _)| names_private_path(line, root));
    Ok(found.map(|(line, number)| {
        format!(
            "{}:{number} names somebody's own directory: {}",
            file.display(),
            line.trim()
        )
    }))
}

/// Whether a line holds an absolute path to this repository or under a private directory.
fn names_private_path(line: &str, root: &str) -> bool {
    let under_private = |start: usize| {
        let path = &line[start + 1..];
        let mut names = path.split('/');
        let directory = names.next().unwrap_or_default();
        let inside = names.next().is_some_and(|name| name.starts_with(is_name));
        PRIVATE.contains(&directory) && inside
    };
    line.match_indices('/').any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let absolute = !before.is_some_and(|it| is_name(it) || "/}])>$~*".contains(it));
        absolute && (line[start..].starts_with(root) || under_private(start))
    })
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || "._-".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_private(line: &str) -> bool {
        names_private_path(&line.replace('!', "/"), "/srv/checkout")
    }

    #[test]
    fn an_absolute_path_of_a_user_or_of_the_repository_is_found() {
        assert!(is_private("!home!ann!kafka"));
        assert!(is_private("cd \"!Users!bob!src\""));
        assert!(is_private("x=!root!.cargo!bin"));
        assert!(is_private("(!srv!checkout!a)"));
    }

    #[test]
    fn a_relative_path_an_address_and_a_variable_are_not() {
        assert!(!is_private("crates!home!src"));
        assert!(!is_private("https:!!example.org!home!page"));
        assert!(!is_private("$HOME!work!x ${dir}!root!x"));
        assert!(!is_private("read!write !root and !home!"));
    }

    #[test]
    fn a_commented_attribute_does_not_forbid_unsafe_code() {
        assert!(forbids_unsafe("//! Docs.\n#![forbid(unsafe_code)]\n"));
        assert!(!forbids_unsafe("// #![forbid(unsafe_code)]\n"));
        assert!(!forbids_unsafe("#![deny(unsafe_code)]\n"));
    }
}
