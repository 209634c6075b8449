//! Does a name match a permission's or a policy's pattern?
//!
//! Patterns are Perl-style and unanchored, as operators write them for RabbitMQ. One that does not
//! compile, or that cannot be decided within the matcher's step limit, matches nothing: access is
//! denied, a policy does not apply. Names are bytes; what is not UTF-8 in them is matched as
//! U+FFFD. Imports `amqp`.

use std::cell::OnceCell;
use std::fmt;

use fancy_regex::{Regex, RegexBuilder};

/// A pattern, which is compiled when it is first asked for: that takes a tenth of a millisecond and
/// 10 kB, and most users of a large node are not there.
pub struct Pattern {
    text: Box<str>,
    kind: Kind,
    /// What does not compile has a reason.
    program: OnceCell<Result<Box<Regex>, Box<str>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The empty permission: the empty name only.
    EmptyName,
    /// `.*` and the like, which most users have.
    Everything,
    /// One to be compiled, that reads a name once.
    Plain,
    /// The same, that may try a name in very many ways.
    Backtracking,
}

impl Pattern {
    /// The pattern of a permission. The empty one matches the empty name only.
    pub fn of_permission(text: &str) -> Self {
        let pattern = Self::of_policy(text);
        if text.is_empty() { Self { kind: Kind::EmptyName, ..pattern } } else { pattern }
    }

    /// The pattern of a policy. The empty one, like any that is found everywhere, matches all.
    pub fn of_policy(text: &str) -> Self {
        let kind = match text {
            _ if is_trivial(text) => Kind::Everything,
            _ if backtracks(text) => Kind::Backtracking,
            _ => Kind::Plain,
        };
        Self { text: text.into(), kind, program: OnceCell::new() }
    }

    /// Whether the pattern is found in the name.
    pub fn matches(&self, name: &[u8]) -> bool {
        match self.kind {
            Kind::EmptyName => name.is_empty(),
            Kind::Everything => true,
            Kind::Plain | Kind::Backtracking => self
                .program()
                .is_ok_and(|regex| regex.is_match(&String::from_utf8_lossy(name)).unwrap_or(false)),
        }
    }

    /// The pattern as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it may cost to match a name, in units of the broker's work.
    pub fn work(&self) -> usize {
        match self.kind {
            Kind::EmptyName | Kind::Everything => 1,
            Kind::Backtracking => WORK_PER_BACKTRACKING,
            Kind::Plain => WORK_PER_MATCH,
        }
    }

    /// What it costs to compile a pattern.
    pub fn work_to_compile(text: &str) -> usize {
        if is_trivial(text) { 0 } else { WORK_TO_COMPILE + text.len() }
    }

    /// Compiles it, if that was not done; what it cost.
    pub fn prepare(&self) -> usize {
        if !self.has_program() || self.program.get().is_some() {
            return 0;
        }
        let _ = self.program();
        Self::work_to_compile(&self.text)
    }

    /// Why the pattern does not compile, when it does not.
    pub fn defect(&self) -> Option<&str> {
        if self.has_program() { self.program().err() } else { None }
    }

    fn has_program(&self) -> bool {
        matches!(self.kind, Kind::Plain | Kind::Backtracking)
    }

    fn program(&self) -> Result<&Regex, &str> {
        let program = self.program.get_or_init(|| {
            compile(&self.text).map(Box::new).map_err(|error| error.to_string().into())
        });
        program.as_deref().map_err(|reason| &**reason)
    }
}

impl Clone for Pattern {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), kind: self.kind, program: self.program.clone() }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.kind == other.kind
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

/// Whether a pattern is found everywhere.
fn is_trivial(text: &str) -> bool {
    matches!(text, "" | ".*" | "^.*" | ".*$" | "^.*$" | "^")
}

/// Whether a pattern may have something in it that is tried in several ways: groups that are more
/// than groups, references back, possessive repetitions.
fn backtracks(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| match pair {
        b"(?" | b"++" | b"*+" | b"?+" | b"}+" => true,
        [b'\\', after] => after.is_ascii_digit() || b"gGkKzZ".contains(after),
        _ => false,
    })
}

fn compile(text: &str) -> Result<Regex, Box<fancy_regex::Error>> {
    RegexBuilder::new(&perl_to_rust(text))
        .backtrack_limit(BACKTRACK_STEPS_MAX)
        .delegate_size_limit(COMPILED_BYTES + COMPILED_BYTES_PER_BYTE * text.len())
        .build()
        .map_err(Box::new)
}

/// Rewrites the few things that mean something else to Perl: `\w` and the like stand for bytes of
/// ASCII; a `{` that begins no repetition is taken literally, and inside of a class `[`, `&&`, `--`
/// and `~~`.
fn perl_to_rust(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text.chars().peekable();
    let mut class_start: Option<usize> = None;
    while let Some(c) = rest.next() {
        match (c, class_start) {
            ('\\', _) => {
                let escaped = rest.next();
                if let Some(class) = escaped.and_then(ascii_class) {
                    out.push_str(class);
                    continue;
                }
                out.push(c);
                out.extend(escaped);
                // \p{Greek}, \x{263a}, \k{name}: these braces are the escape's own.
                if matches!(escaped, Some('p' | 'P' | 'x' | 'u' | 'k' | 'g'))
                    && rest.peek() == Some(&'{')
                {
                    out.extend(rest.by_ref().take_while(|&c| c != '}'));
                    out.push('}');
                }
            }
            ('[', None) => {
                out.push(c);
                if rest.peek() == Some(&'^') {
                    out.extend(rest.next());
                }
                class_start = Some(out.len());
            }
            (']', Some(start)) if out.len() > start => {
                class_start = None;
                out.push(c);
            }
            (']', Some(_)) => out.push_str("\\]"),
            ('[', Some(_)) if rest.peek() == Some(&':') => {
                // [:alpha:]
                out.push(c);
                out.extend(rest.by_ref().take_while(|&c| c != ']'));
                out.push(']');
            }
            ('[', Some(_)) => out.push_str("\\["),
            ('&' | '-' | '~', Some(_)) if rest.peek() == Some(&c) => {
                // The first may be the operator of a range, the second is none.
                out.push(c);
                out.push('\\');
                out.extend(rest.next());
            }
            ('{', None) if !begins_repetition(rest.clone()) => out.push_str("\\{"),
            _ => out.push(c),
        }
    }
    out
}

/// The class that a letter behind a backslash stands for.
fn ascii_class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'h' => "[\\t ]",
        'H' => "[^\\t ]",
        's' => "[\\t\\n\\x0B\\x0C\\r ]",
        'S' => "[^\\t\\n\\x0B\\x0C\\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

/// Whether what follows a `{` is `3}`, `3,}` or `3,5}`.
fn begins_repetition(rest: impl Iterator<Item = char>) -> bool {
    let mut inside = String::new();
    for c in rest {
        if c == '}' {
            let (least, most) = inside.split_once(',').unwrap_or((&inside, ""));
            return !least.is_empty()
                && least.chars().chain(most.chars()).all(|c| c.is_ascii_digit());
        }
        inside.push(c);
    }
    false
}

/// Patterns with look-around or back references get so many steps for one name; about 2 ms.
const BACKTRACK_STEPS_MAX: usize = 20_000;

/// A pattern may not compile to more: of a short one, it takes half a millisecond.
const COMPILED_BYTES: usize = 1 << 17;
const COMPILED_BYTES_PER_BYTE: usize = 64;

/// What it costs to compile a pattern, and to match a name: without look-around and the like it is
/// read once; with it, it may be tried in very many ways.
const WORK_TO_COMPILE: usize = 1_500;
const WORK_PER_MATCH: usize = 20;
const WORK_PER_BACKTRACKING: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let pattern = Pattern::of_permission(pattern);
        assert_eq!(pattern.defect(), None, "{pattern:?}");
        pattern.matches(name.as_bytes())
    }

    #[test]
    fn patterns_are_unanchored_and_perl_style() {
        for (pattern, name, expected) in [
            (".*", "anything", true),
            (".*", "", true),
            ("orders", "my.orders.queue", true),
            ("^orders", "my.orders", false),
            ("^orders$", "orders", true),
            ("^orders$", "orders2", false),
            ("^(amq\\.gen.*|amq\\.default)$", "amq.gen-X", true),
            ("^(?!amq\\.)", "amq.direct", false),
            ("^(?!amq\\.)", "mine", true),
            ("(?<=a)b", "ab", true),
            ("(?i)ABC", "xabc", true),
            ("^a{2,3}$", "aaa", true),
            ("^a{2}$", "aaa", false),
            ("^\\d+\\-\\w+\\/x$", "12-ab/x", true),
            ("^$", "", true),
            ("^$", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_perl_takes_literally_is_literal() {
        for (pattern, name, expected) in [
            ("^{user}$", "{user}", true),
            ("^a{$", "a{", true),
            ("^a{,2}$", "a{,2}", true),
            ("^a{x}", "a{x}", true),
            ("^[[a]$", "[", true),
            ("^[]a]$", "]", true),
            ("^[^]a]$", "b", true),
            ("^[a&&b]+$", "&ba", true),
            ("^[+--]$", ",", true),
            ("^[[:alpha:]]+$", "abc", true),
            ("^\\p{Greek}$", "α", true),
            ("^\\x{61}$", "a", true),
            ("^\\{a\\}$", "{a}", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn letters_for_classes_stand_for_ascii() {
        for (pattern, name, expected) in [
            ("^\\w+$", "a_1", true),
            ("^\\w+$", "ü", false),
            ("^[\\w]+$", "ü", false),
            ("^[\\w-.]+$", "a-.", true),
            ("^[\\w-.]+$", "a/", false),
            ("^[^\\W\\d]+$", "ab", true),
            ("^[^\\W\\d]+$", "a1", false),
            ("^\\W+$", "ü", true),
            ("^\\d+$", "٣", false),
            ("^\\D\\S$", "ab", true),
            ("^\\s\\h\\H$", "\u{b}\tx", true),
            ("^\\w{60}$", &"a".repeat(60), true),
            ("a(?=\\w)", "ab", true),
            ("^\\\\w$", "\\w", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_empty_permission_matches_only_the_empty_name_and_the_empty_policy_all() {
        assert!(matches("", ""));
        assert!(!matches("", "a"));
        assert!(Pattern::of_policy("").matches(b"a"));
        assert_ne!(Pattern::of_policy(""), Pattern::of_permission(""));
    }

    #[test]
    fn a_pattern_is_compiled_once_and_not_before_somebody_asks() {
        let pattern = Pattern::of_policy("^a");
        assert!(pattern.program.get().is_none());
        assert_eq!([pattern.prepare(), pattern.prepare()], [WORK_TO_COMPILE + 2, 0]);
        assert!(pattern.matches(b"ab"));
        assert_eq!(pattern.clone().prepare(), 0);
        assert_eq!(Pattern::of_policy(".*").prepare(), 0);
        assert_eq!(Pattern::of_permission("").prepare(), 0);
    }

    #[test]
    fn a_pattern_that_does_not_compile_denies() {
        for text in ["*", "(", "[a", "a{1000000}{1000000}"] {
            let pattern = Pattern::of_permission(text);
            assert!(pattern.defect().is_some(), "{text}");
            assert!(!pattern.matches(b"") && !pattern.matches(text.as_bytes()));
            assert_eq!(pattern.text(), text);
        }
    }

    #[test]
    fn a_pattern_that_backtracks_without_end_denies() {
        let pattern = Pattern::of_permission("^(?=(a+)+$)(?:(a|aa)+)\\1x$");
        assert!(pattern.defect().is_none());
        assert!(!pattern.matches(&[b'a'; 200]));
    }

    #[test]
    fn names_that_are_not_utf_8_are_matched_too() {
        assert!(Pattern::of_permission("^a.b$").matches(b"a\xffb"));
        assert!(!Pattern::of_permission("^ab$").matches(b"a\xffb"));
    }
}
