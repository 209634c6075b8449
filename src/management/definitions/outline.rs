//! Where in a file of definitions is which object?
//!
//! A file may be long: it is looked through in pieces, and found to be JSON before anything of it
//! is taken in. Only where its objects are is remembered.

use std::ops::Range;

use serde_json::Value;

/// The lists that a file may have, in the order in which they are taken in: what others name comes
/// before them. Users come before vhosts: should the node die in between, one with a vhost and
/// nobody who could log in does not start.
pub const SECTIONS: [&str; 10] = [
    "users",
    "vhosts",
    "permissions",
    "topic_permissions",
    "parameters",
    "global_parameters",
    "policies",
    "exchanges",
    "queues",
    "bindings",
];

/// An object of a file has at most so many bytes.
const OBJECT_BYTES_MAX: usize = 2 << 20;

/// A file that is looked through.
#[derive(Debug)]
pub struct Outline {
    at: usize,
    expects: Expects,
    /// Where the objects of each section are.
    pub objects: [Vec<Range<u32>>; SECTIONS.len()],
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// The file's brace.
    Start,
    /// A key, or the end of an object without any.
    KeyOrEnd,
    Key,
    /// An object of this section, or the end of an empty one.
    ItemOrEnd(usize),
    Item(usize),
    /// A comma or the end of the section.
    AfterItem(usize),
    /// A comma or the end of the file.
    AfterValue,
    Nothing,
}

/// What is wrong with a file as a whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// It is no JSON, or no object.
    NoJson,
    /// Something in it is none of what it has to be.
    Other(String),
}

impl Outline {
    /// A file that begins at this byte.
    pub fn new(at: usize) -> Self {
        Self { at, expects: Expects::Start, objects: Default::default() }
    }

    /// Goes one step on; how many bytes that was. 0: the file is over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn step(&mut self, file: &[u8]) -> Result<usize, Broken> {
        let before = self.at;
        self.skip_blanks(file);
        let next = file.get(self.at).copied();
        match (self.expects, next) {
            (Expects::Nothing, _) => return Ok(0),
            (Expects::Start, Some(b'{')) => self.pass(Expects::KeyOrEnd),
            (Expects::KeyOrEnd | Expects::AfterValue, Some(b'}')) => self.pass(Expects::Nothing),
            (Expects::KeyOrEnd | Expects::Key, Some(b'"')) => self.key(file)?,
            (Expects::ItemOrEnd(_) | Expects::AfterItem(_), Some(b']')) => {
                self.pass(Expects::AfterValue);
            }
            (Expects::ItemOrEnd(section) | Expects::Item(section), Some(_)) => {
                let range = self.value(file)?;
                self.objects[section].push(range);
                self.expects = Expects::AfterItem(section);
            }
            (Expects::AfterItem(section), Some(b',')) => self.pass(Expects::Item(section)),
            (Expects::AfterValue, Some(b',')) => self.pass(Expects::Key),
            (
                Expects::Start
                | Expects::KeyOrEnd
                | Expects::Key
                | Expects::ItemOrEnd(_)
                | Expects::Item(_)
                | Expects::AfterItem(_)
                | Expects::AfterValue,
                _,
            ) => return Err(Broken::NoJson),
        }
        Ok(self.at - before)
    }

    /// Where the file ended.
    pub fn end(&self) -> usize {
        self.at
    }

    fn pass(&mut self, expects: Expects) {
        self.at += 1;
        self.expects = expects;
    }

    fn skip_blanks(&mut self, file: &[u8]) {
        let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.at += file[self.at..].iter().take_while(blank).count();
    }

    /// A key with its colon; its value too, unless it is one of the lists.
    fn key(&mut self, file: &[u8]) -> Result<(), Broken> {
        let range = self.value(file)?;
        let key = &file[range.start as usize..range.end as usize];
        let key: String = serde_json::from_slice(key).map_err(|_| Broken::NoJson)?;
        self.skip_blanks(file);
        if file.get(self.at) != Some(&b':') {
            return Err(Broken::NoJson);
        }
        self.at += 1;
        self.skip_blanks(file);
        let section = SECTIONS.iter().position(|section| *section == key);
        match (section, file.get(self.at)) {
            (Some(section), Some(b'[')) => self.pass(Expects::ItemOrEnd(section)),
            (Some(_), Some(_)) => {
                self.value(file)?;
                return Err(Broken::Other(format!("{key} has to be a list")));
            }
            (_, _) => {
                self.value(file)?;
                self.expects = Expects::AfterValue;
            }
        }
        Ok(())
    }

    /// Passes a value, which has to be JSON.
    fn value(&mut self, file: &[u8]) -> Result<Range<u32>, Broken> {
        let rest = &file[self.at..];
        let most = &rest[..rest.len().min(OBJECT_BYTES_MAX)];
        let bytes = match value_bytes(most) {
            Some(bytes) => bytes,
            None if most.len() == OBJECT_BYTES_MAX => {
                let text = format!("an object has more than {OBJECT_BYTES_MAX} bytes");
                return Err(Broken::Other(text));
            }
            None => return Err(Broken::NoJson),
        };
        serde_json::from_slice::<Value>(&most[..bytes]).map_err(|_| Broken::NoJson)?;
        let start = u32::try_from(self.at).map_err(|_| Broken::NoJson)?;
        self.at += bytes;
        let end = u32::try_from(self.at).map_err(|_| Broken::NoJson)?;
        Ok(start..end)
    }
}

/// How many bytes the value has that `rest` begins with; `None` when it does not end.
fn value_bytes(rest: &[u8]) -> Option<usize> {
    match rest.first()? {
        b'"' => string_bytes(rest),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0usize, 0);
            loop {
                match rest.get(at)? {
                    b'"' => {
                        at += string_bytes(&rest[at..])?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let ends =
                |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
            rest.iter().position(ends)
        }
    }
}

fn string_bytes(rest: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match rest.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(file: &str) -> Result<Outline, Broken> {
        let mut outline = Outline::new(0);
        while outline.step(file.as_bytes())? > 0 {}
        let is_all = file[outline.end()..].trim().is_empty();
        if is_all { Ok(outline) } else { Err(Broken::NoJson) }
    }

    #[test]
    fn objects_are_found_wherever_their_lists_are() {
        let file = r#" { "x": {"queues": [1]}, "queues" : [ {"a": "]}\"" }, 5 ] ,
            "users":[],"vhosts": [{"name":"v"}], "y": null } "#;
        let found = outline(file).unwrap();
        let texts = |section: &str| {
            let index = SECTIONS.iter().position(|name| *name == section).unwrap();
            let range = |range: &Range<u32>| &file[range.start as usize..range.end as usize];
            found.objects[index].iter().map(range).collect::<Vec<_>>()
        };
        assert_eq!(texts("queues"), [r#"{"a": "]}\"" }"#, "5"]);
        assert_eq!(texts("vhosts"), [r#"{"name":"v"}"#]);
        assert!(texts("users").is_empty());
        assert!(outline("{}").is_ok());
    }

    /// Whatever is cut off or changed, what this takes is what a whole parser takes.
    #[test]
    fn what_is_no_json_is_refused() {
        let file = r#"{"a": [1, {"b": "c\\"}], "queues": [{"name": "q"}, {}], "c": true}"#;
        for end in 0..file.len() {
            assert!(outline(&file[..end]).is_err(), "{}", &file[..end]);
        }
        for at in 0..file.len() {
            for byte in ["", ",", "]", "}", "\"", "x", " "] {
                let changed = [&file[..at], byte, &file[at + 1..]].concat();
                let parsed = serde_json::from_str::<Value>(&changed);
                let is_list = |value: &Value| value.get("queues").is_none_or(Value::is_array);
                let is_fine = parsed.as_ref().is_ok_and(is_list);
                assert_eq!(outline(&changed).is_ok(), is_fine, "{changed}");
            }
        }
        for other in ["", "[]", "\"str\"", "123", "null", "{bad"] {
            assert_eq!(outline(other).err(), Some(Broken::NoJson), "{other}");
        }
        assert_eq!(
            outline(r#"{"queues": {}}"#).err(),
            Some(Broken::Other("queues has to be a list".into()))
        );
    }
}
