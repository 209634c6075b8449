//! How is a configuration file read: lines of `key = value`, `#` comments, RabbitMQ's quoting.
//!
//! Blank lines do not count. `#` starts a comment anywhere outside single quotes; a value in
//! single quotes is taken literally, so that passwords may contain `#`. A key given twice
//! counts as it was given last. What a key means is in `keys`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::config::Draft;
use super::error::ConfigError;
use super::keys;

/// Puts what the file at `path` says over `draft`.
///
/// # Errors
/// The file cannot be read, or the first of its lines that is wrong.
pub(super) fn apply(draft: Draft, path: &Path) -> Result<Draft, ConfigError> {
    let text = read(path)?;
    apply_text(draft, &text, path)
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    Ok(text)
}

fn apply_text(mut draft: Draft, text: &[u8], path: &Path) -> Result<Draft, ConfigError> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let outcome = match std::str::from_utf8(line) {
            Ok(line) => apply_line(&mut draft, line),
            Err(_) => Err("this line is not UTF-8".to_owned()),
        };
        let warning = outcome.map_err(|problem| ConfigError::Line {
            path: path.to_owned(),
            line: index + 1,
            problem,
        })?;
        let place = || format!("{}:{}", path.display(), index + 1);
        draft.config.warnings.extend(warning.map(|text| format!("{}: {text}", place())));
    }
    Ok(draft)
}

fn apply_line(draft: &mut Draft, line: &str) -> Result<Option<String>, String> {
    match split_line(line)? {
        Some((key, value)) => keys::apply(draft, key, value),
        None => Ok(None),
    }
}

/// Key and value of `line`; `None` when there is nothing but white space and comment.
fn split_line(line: &str) -> Result<Option<(&str, &str)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let without_comment = line.split('#').next().unwrap_or(line);
    let Some(equals) = without_comment.find('=') else {
        return Err(format!("expected 'key = value', found '{}'", without_comment.trim()));
    };
    let key = line[..equals].trim();
    let rest = line[equals + 1..].trim();
    if key.is_empty() {
        return Err("there is no key before '='".to_owned());
    }
    Ok(Some((key, value_of(key, rest)?)))
}

fn value_of<'a>(key: &str, rest: &'a str) -> Result<&'a str, String> {
    let Some(quoted) = rest.strip_prefix('\'') else {
        return Ok(rest.split('#').next().unwrap_or(rest).trim());
    };
    let Some((value, after)) = quoted.split_once('\'') else {
        return Err(format!("the quote ' that begins the value of {key} does not end"));
    };
    let after = after.trim();
    if !after.is_empty() && !after.starts_with('#') {
        return Err(format!("nothing may follow the quoted value of {key}"));
    }
    Ok(value)
}

/// Far more than any configuration needs, so that a wrong path does not eat the memory.
const FILE_BYTES_MAX: u64 = 1 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests {
    use super::super::environment::Environment;
    use super::*;

    fn outcome(text: &[u8]) -> Result<Draft, ConfigError> {
        let draft = Draft::new(&Environment::default());
        apply_text(draft, text, Path::new("/etc/leveret.conf"))
    }

    fn complaint(text: &[u8]) -> String {
        match outcome(text) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn comments_blank_lines_and_space_do_not_count() {
        let text =
            b"\xEF\xBB\xBF# a file\n\n  heartbeat=7 # seconds\r\n\t frame_max  =  8192\t\r\n";
        let draft = outcome(text).ok().unwrap();
        assert_eq!((draft.config.heartbeat_s, draft.config.frame_max), (7, 8192));
    }

    #[test]
    fn a_key_given_twice_counts_as_given_last() {
        let draft = outcome(b"heartbeat = 7\nheartbeat = 8").ok().unwrap();
        assert_eq!(draft.config.heartbeat_s, 8);
    }

    #[test]
    fn quotes_keep_what_would_be_a_comment() {
        for (line, password) in [
            ("default_pass = plain", "plain"),
            ("default_pass = cut#off", "cut"),
            ("default_pass = 'a#b = c' # comment", "a#b = c"),
            ("default_pass = ' spaces '", " spaces "),
            ("default_pass = it's", "it's"),
            ("default_pass = a=b", "a=b"),
        ] {
            let draft = outcome(line.as_bytes()).ok().unwrap();
            assert_eq!(draft.config.default_pass.reveal(), password, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_line() {
        for (text, expected) in [
            ("heartbeat", "/etc/leveret.conf:1: expected 'key = value', found 'heartbeat'"),
            (
                "\n\nheartbeat # = 1",
                "/etc/leveret.conf:3: expected 'key = value', found 'heartbeat'",
            ),
            ("= 5", "/etc/leveret.conf:1: there is no key before '='"),
            (
                "default_pass = 'open",
                "/etc/leveret.conf:1: the quote ' that begins the value of default_pass does not \
                 end",
            ),
            (
                "default_pass = 'a' b",
                "/etc/leveret.conf:1: nothing may follow the quoted value of default_pass",
            ),
            (
                "# one\nhartbeat = 5",
                "/etc/leveret.conf:2: unknown key hartbeat; did you mean heartbeat?",
            ),
            (
                "heartbeat = 1\nheartbeat = soon",
                "/etc/leveret.conf:2: heartbeat wants a whole number from 0 to 65535 seconds, not \
                 'soon'",
            ),
        ] {
            assert_eq!(complaint(text.as_bytes()), expected);
        }
        assert!(complaint(b"heartbeat = 1\n\xFF\n").ends_with(":2: this line is not UTF-8"));
    }

    #[test]
    fn a_file_of_absurd_size_is_refused_and_a_missing_one_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.conf");
        let draft = || Draft::new(&Environment::default());
        let missing = apply(draft(), &path).err().unwrap().to_string();
        assert!(missing.starts_with("cannot read the configuration file "), "{missing}");
        let line = "# 0123456789012345\n";
        let fits = usize::try_from(FILE_BYTES_MAX).unwrap() / line.len();
        std::fs::write(&path, line.repeat(fits)).unwrap();
        assert!(apply(draft(), &path).is_ok());
        std::fs::write(&path, line.repeat(fits + 1)).unwrap();
        let large = apply(draft(), &path).err().unwrap().to_string();
        assert!(large.contains("larger than 1048576 bytes"), "{large}");
    }
}
