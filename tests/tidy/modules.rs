//! Which module is a file, which modules does it name, and which files does it lead to.

use std::collections::BTreeMap;

use super::source::{Source, Token};

/// The top-level module that the file at `path` belongs to, and how many modules deep the file
/// itself is; `None` for the crate's root and the binaries.
pub fn module_of(path: &str) -> Option<(&str, usize)> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    let module = inner.split('/').next()?;
    if matches!(module, "lib" | "main" | "bin") {
        return None;
    }
    Some((module, inner.split('/').count()))
}

/// The names directly under the crate's root that paths in `tokens` begin with, by `crate::` or
/// by enough `super::`, for a file that is `depth` modules deep.
pub fn top_level_paths(tokens: &[Token], depth: usize) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    let mut inline = InlineModules::default();
    let mut index = 0;
    while index < tokens.len() {
        inline.step(tokens, index);
        let (at_root, next) = match tokens[index].text.as_str() {
            "crate" => (true, index + 1),
            "super" => {
                let next = end_of_supers(tokens, index);
                ((next - index).div_ceil(2) == depth + inline.depth(), next)
            }
            _ => (false, index + 1),
        };
        if at_root && tokens.get(next).is_some_and(|token| token.text == "::") {
            names.extend(first_names(&tokens[next + 1..]));
        }
        index = next;
    }
    names
}

/// The index after `super`, `super::super`, and so on, that begins at `index`.
fn end_of_supers(tokens: &[Token], index: usize) -> usize {
    let mut next = index + 1;
    while let [colons, again, ..] = &tokens[next..]
        && colons.text == "::"
        && again.text == "super"
    {
        next += 2;
    }
    next
}

/// What comes first in a path or, in braces, in each path of a group.
fn first_names(tokens: &[Token]) -> Vec<(usize, String)> {
    let name = |token: &Token| (token.line, token.text.clone());
    if tokens.first().is_none_or(|token| token.text != "{") {
        return tokens.first().map(name).into_iter().collect();
    }
    let mut names = Vec::new();
    let mut depth = 0;
    let mut expected = false;
    for token in tokens {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ if expected => names.push(name(token)),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        expected = depth == 1 && (token.text == "{" || token.text == ",");
    }
    names
}

/// Which `mod name { .. }` a walk over the tokens is inside of.
#[derive(Default)]
struct InlineModules {
    braces: usize,
    opened_at: Vec<usize>,
}

impl InlineModules {
    fn step(&mut self, tokens: &[Token], index: usize) {
        match tokens[index].text.as_str() {
            "{" => {
                self.braces += 1;
                if index >= 2 && tokens[index - 2].text == "mod" {
                    self.opened_at.push(self.braces);
                }
            }
            "}" => {
                if self.opened_at.last() == Some(&self.braces) {
                    self.opened_at.pop();
                }
                self.braces = self.braces.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn depth(&self) -> usize {
        self.opened_at.len()
    }
}

/// The files that mod lines lead to from the roots, and whether each is only part of tests.
pub fn reachable(files: &BTreeMap<String, Source>) -> BTreeMap<String, bool> {
    let mut open: Vec<(String, String, bool)> = Vec::new();
    for path in files.keys().filter(|path| is_root(path)) {
        open.push((path.clone(), folder(path).to_owned(), false));
    }
    let mut reached = BTreeMap::new();
    while let Some((path, children, test)) = open.pop() {
        let Some(source) = files.get(&path) else {
            continue;
        };
        let known = reached.get(&path).copied();
        if known == Some(false) || known == Some(test) {
            continue;
        }
        reached.insert(path.clone(), test);
        for module in mod_lines(source) {
            let test = test || module.test;
            if let Some(file) = module.path {
                let file = format!("{}/{file}", folder(&path));
                open.push((file.clone(), folder(&file).to_owned(), test));
                continue;
            }
            let inside = format!("{children}/{}", module.name);
            open.push((format!("{inside}.rs"), inside.clone(), test));
            open.push((format!("{inside}/mod.rs"), inside, test));
        }
    }
    reached
}

fn is_root(path: &str) -> bool {
    let in_bin = path.strip_prefix("src/bin/");
    let program = |rest: &str| !rest.contains('/') || rest.ends_with("/main.rs");
    matches!(path, "src/lib.rs" | "src/main.rs") || in_bin.is_some_and(program)
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// One `mod name;`.
struct ModLine {
    name: String,
    /// What `#[path = ".."]` before it says.
    path: Option<String>,
    test: bool,
}

fn mod_lines(source: &Source) -> Vec<ModLine> {
    let tokens = &source.tokens;
    let mut lines = Vec::new();
    for (index, window) in tokens.windows(3).enumerate() {
        if window[0].text != "mod" || window[2].text != ";" {
            continue;
        }
        // Back over the visibility and the attributes to the item before.
        let mut start = index;
        while start > 0 && !matches!(tokens[start - 1].text.as_str(), ";" | "}" | "{") {
            start -= 1;
        }
        let before = &tokens[start..index];
        let path = before.windows(3).find(|w| w[0].text == "path" && w[1].text == "=");
        let path = path.map(|w| w[2].text.trim_matches('"').to_owned());
        lines.push(ModLine { name: window[1].text.clone(), path, test: window[0].test });
    }
    lines
}
