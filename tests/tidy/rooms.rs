//! Which room of a module is a file in, and what does it reach for in the others?

use super::source::{Source, Token};

/// The module and the room in it that the file at `path` belongs to: a folder, or a file that
/// stands alone. `None` for a module's own `mod.rs`, modules of one file and the binaries.
pub fn room_of(path: &str) -> Option<(&str, &str)> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let (module, inside) = inner.split_once('/')?;
    let room = inside.split('/').next()?;
    (module != "bin" && inside != "mod").then_some((module, room))
}

/// Every path in code that is not only compiled for tests, from the crate's root, as far as names
/// go; a group of paths counts as each of them.
pub fn paths(source: &Source) -> Vec<(usize, Vec<String>)> {
    let Some(inner) = source.path.strip_prefix("src/").and_then(|p| p.strip_suffix(".rs")) else {
        return Vec::new();
    };
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    let here: Vec<String> = inner.split('/').map(str::to_owned).collect();
    let tokens = &source.tokens;
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let mut next = index + 1;
        let base = match tokens[index].text.as_str() {
            "crate" => Some(Vec::new()),
            "super" => {
                let mut base = here.clone();
                base.pop();
                while follows(tokens, next, &["::", "super"]) {
                    base.pop();
                    next += 2;
                }
                Some(base)
            }
            _ => None,
        };
        if let Some(base) = base
            && !tokens[index].test
            && follows(tokens, next, &["::"])
        {
            expand(tokens, next + 1, &base, &mut found);
        }
        index = next;
    }
    found
}

fn follows(tokens: &[Token], index: usize, texts: &[&str]) -> bool {
    let there = tokens.get(index..index + texts.len());
    there.is_some_and(|there| there.iter().zip(texts).all(|(token, text)| token.text == *text))
}

/// Adds the paths that begin with `base` and go on at `index`; returns where they end.
fn expand(
    tokens: &[Token],
    mut index: usize,
    base: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut path = base.to_vec();
    loop {
        let Some(token) = tokens.get(index) else {
            return index;
        };
        if token.text == "{" {
            index += 1;
            while tokens.get(index).is_some_and(|token| token.text != "}") {
                index = expand(tokens, index, &path, found);
                // A rename, and the comma.
                while tokens.get(index).is_some_and(|t| !matches!(t.text.as_str(), "," | "}")) {
                    index += 1;
                }
                index += usize::from(tokens.get(index).is_some_and(|token| token.text == ","));
            }
            return index + 1;
        }
        path.push(token.text.clone());
        index += 1;
        if !follows(tokens, index, &["::"]) {
            found.push((token.line, path));
            return index;
        }
        index += 1;
    }
}
