//! Do the links between the documents lead somewhere?

use std::fs;
use std::path::{Path, PathBuf};

/// The documents at the top and in `docs`.
fn documents() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in [top.to_owned(), top.join("docs")] {
        for entry in fs::read_dir(folder).expect("a folder that can be read") {
            let path = entry.expect("an entry that can be read").path();
            found.extend(path.extension().is_some_and(|end| end == "md").then_some(path));
        }
    }
    found
}

/// Where the links in `text` lead that stay in this tree.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://"))
}

/// Whether a heading of `text` is what `anchor` names: lower case, dashes for spaces.
fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .any(|heading| heading == anchor)
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_in_it() {
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document in UTF-8");
        for link in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                _ => document.parent().expect("it lies in a folder").join(path),
            };
            let shown = document.display();
            assert!(target.exists(), "{shown}: {link} leads nowhere");
            if !anchor.is_empty() {
                let target = fs::read_to_string(target).expect("a document in UTF-8");
                assert!(has_heading(&target, anchor), "{shown}: {link} leads to no heading");
            }
            checked += 1;
        }
    }
    assert!(checked >= 15, "only {checked} links were found");
}

#[test]
fn the_readme_leads_to_every_document() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&readme).expect("a document in UTF-8");
    for document in documents().into_iter().filter(|document| *document != readme) {
        let named = |link: &str| readme.with_file_name(link) == document;
        assert!(links(&text).any(named), "README.md does not lead to {}", document.display());
    }
}
