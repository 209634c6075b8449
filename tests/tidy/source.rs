//! What is code in a Rust file, and what only looks like it: tokens, items and test code.
//!
//! Takes Rust apart far enough that a brace in a comment, a string or a character is never
//! taken for one, and that code which is only compiled for tests is known as such.

/// One file.
pub struct Source {
    /// From the package's directory, with slashes.
    pub path: String,
    pub text: String,
    pub tokens: Vec<Token>,
}

/// A word, number, literal, lifetime, `::` or single character of code. Literals keep their
/// quotes, so that they are never taken for words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// From 1.
    pub line: usize,
    /// Whether it is only compiled for tests.
    pub test: bool,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let mut tokens = Lexer { rest: text, line: 1, tokens: Vec::new() }.run();
        mark_tests(&mut tokens);
        Source { path: path.to_owned(), text: text.to_owned(), tokens }
    }

    /// An offence for each place where the tokens read `pattern` and the first is `wanted`.
    pub fn at_each(
        &self,
        pattern: &[&str],
        wanted: impl Fn(&Token) -> bool,
        text: &str,
    ) -> Vec<String> {
        let same =
            |window: &&[Token]| window.iter().zip(pattern).all(|(token, word)| token.text == *word);
        let found = self.tokens.windows(pattern.len()).filter(same);
        found
            .filter(|window| wanted(&window[0]))
            .map(|window| format!("{}:{}: {text}", self.path, window[0].line))
            .collect()
    }
}

/// The index of the token that ends the item which begins at `start`: the brace that closes its
/// body, or its semicolon.
pub fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut body = false;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "(" | "[" => depth += 1,
            "{" => {
                body |= depth == 0;
                depth += 1;
            }
            ")" | "]" | "}" if depth == 0 => return index,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 && body {
                    return index;
                }
            }
            ";" if depth == 0 => return index,
            _ => {}
        }
    }
    tokens.len() - 1
}

/// Marks what `#[cfg(test)]` stands before, and everything after a `#![cfg(test)]`.
fn mark_tests(tokens: &mut [Token]) {
    let mut index = 0;
    while index < tokens.len() {
        let Some((words, after)) = attribute(tokens, index) else {
            index += 1;
            continue;
        };
        let is = |word: &str| words.iter().any(|token| token.text == word);
        if !(words[0].text == "cfg" && is("test") && !is("not")) {
            index = after;
            continue;
        }
        if tokens[index + 1].text == "!" {
            tokens[index..].iter_mut().for_each(|token| token.test = true);
            return;
        }
        let mut item = after;
        while let Some((_, next)) = attribute(tokens, item) {
            item = next;
        }
        if item < tokens.len() {
            let end = item_end(tokens, item);
            tokens[index..=end].iter_mut().for_each(|token| token.test = true);
        }
        index = after;
    }
}

/// The inside of the attribute that begins at `index`, and the index after it.
fn attribute(tokens: &[Token], index: usize) -> Option<(Vec<Token>, usize)> {
    let text = |index: usize| tokens.get(index).map(|token| token.text.as_str());
    if text(index) != Some("#") {
        return None;
    }
    let open = if text(index + 1) == Some("!") { index + 2 } else { index + 1 };
    if text(open) != Some("[") {
        return None;
    }
    let mut depth = 0_usize;
    for (close, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let inside = tokens[open + 1..close].to_vec();
            return (!inside.is_empty()).then_some((inside, close + 1));
        }
    }
    None
}

/// Takes Rust apart far enough that comments, strings and characters are never mistaken.
struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(mut self) -> Vec<Token> {
        while let Some(first) = self.rest.chars().next() {
            if first.is_whitespace() {
                self.skip(first.len_utf8());
            } else if self.rest.starts_with("//") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.skip(block_comment_bytes(self.rest));
            } else if let Some(bytes) = literal_bytes(self.rest) {
                self.token(bytes);
            } else if first == '\'' || is_word(first) {
                let end = self.rest[1..].find(|c: char| !is_word(c));
                self.token(end.map_or(self.rest.len(), |end| end + 1));
            } else if self.rest.starts_with("::") {
                self.token(2);
            } else {
                self.token(first.len_utf8());
            }
        }
        self.tokens
    }

    fn token(&mut self, bytes: usize) {
        let text = self.rest[..bytes].to_owned();
        self.tokens.push(Token { text, line: self.line, test: false });
        self.skip(bytes);
    }

    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_ascii_alphanumeric()
}

/// Block comments nest.
fn block_comment_bytes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut index) = (0_usize, 0);
    while index + 1 < bytes.len() {
        match &bytes[index..index + 2] {
            b"/*" => (depth, index) = (depth + 1, index + 2),
            b"*/" => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
        if depth == 0 {
            return index;
        }
    }
    bytes.len()
}

/// The length of the string or character literal that `text` begins with, if it does.
fn literal_bytes(text: &str) -> Option<usize> {
    let word = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    let (prefix, after) = text.split_at(word);
    if !matches!(prefix, "" | "b" | "c" | "r" | "br" | "cr") {
        return None;
    }
    if prefix.ends_with('r') {
        let hashes = after.bytes().take_while(|&byte| byte == b'#').count();
        let inside = after[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let length = inside.find(&close).map(|end| word + hashes + 1 + end + close.len());
        return Some(length.unwrap_or(text.len()));
    }
    let quote = after.chars().next().filter(|&c| c == '"' || (c == '\'' && prefix != "c"))?;
    if quote == '\'' && !is_character(after) {
        return None;
    }
    let mut escaped = false;
    for (index, character) in after.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(word + index + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// Whether the `'` that `text` begins with opens a character rather than a lifetime.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

#[test]
fn comments_strings_and_characters_are_not_code() {
    let text = r###"a /* b /* c */ d */ "e \" f" 'g' '\'' '"' b'h' 'i j r#"k " l"# br"m\" c"n" // o
p::q "r
s" t 'u, ' ' é"###;
    let tokens = Source::new("src/a.rs", text).tokens;
    let texts: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    let expected = [
        "a",
        r#""e \" f""#,
        "'g'",
        r"'\''",
        "'\"'",
        "b'h'",
        "'i",
        "j",
        "r#\"k \" l\"#",
        r#"br"m\""#,
        "c\"n\"",
        "p",
        "::",
        "q",
        "\"r\ns\"",
        "t",
        "'u",
        ",",
        "' '",
        "é",
    ];
    assert_eq!(texts, expected);
    let lines: Vec<usize> = tokens.iter().map(|token| token.line).collect();
    assert_eq!(lines[10..], [1, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
}
