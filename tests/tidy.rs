//! Do the sources keep the rules of this project? The rules that a machine can check.
//!
//! Each rule is a function from one source file to its offences, has a test that runs it over
//! the tree, and a test that it catches an offence planted in a string. The rules read tokens,
//! not text, so that a word in a comment or a string never counts as code.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/source.rs"]
mod source;

use modules::{module_of, reachable, top_level_paths};
use rooms::{paths, room_of};
use source::{Source, item_end};

/// What each module may import besides itself. Imports point down this table only.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("amqp", &[]),
    ("outbox", &[]),
    ("websocket", &["outbox"]),
    ("storage", &["sys"]),
    ("broker", &["amqp", "storage"]),
    ("session", &["amqp", "outbox", "broker"]),
    ("management", &["amqp", "outbox", "broker"]),
    ("node", &["sys", "amqp", "outbox", "websocket", "storage", "broker", "session", "management"]),
    ("net", &["sys", "amqp", "outbox", "storage", "broker", "session", "management", "node"]),
    ("daemon", &["sys", "amqp", "storage", "broker", "session", "management", "node", "net"]),
];

/// What each room of a module may import from it besides itself; `*`: what stands in the module's
/// own file, which knows all rooms. A file that stands alone and has no row may import everything.
const ROOM_MAY_IMPORT: &[(&str, &str, &[&str])] = &[
    ("broker", "key", &[]),
    ("broker", "hashing", &[]),
    ("broker", "by_name", &[]),
    ("broker", "chunks", &[]),
    ("broker", "ends", &[]),
    ("broker", "histogram", &[]),
    ("broker", "counters", &["histogram", "work"]),
    ("broker", "history", &[]),
    ("broker", "watched", &["key", "counters", "history"]),
    ("broker", "term", &[]),
    ("broker", "resource", &[]),
    ("broker", "payload", &[]),
    ("broker", "work", &[]),
    ("broker", "block_reasons", &[]),
    ("broker", "effect", &["key"]),
    ("broker", "notices", &["key"]),
    ("broker", "exchange", &["key", "by_name", "counters", "hashing", "term"]),
    ("broker", "users", &["key", "payload", "resource", "exchange"]),
    ("broker", "arguments", &["payload", "resource", "term", "exchange", "users"]),
    ("broker", "queue", &["key", "by_name", "counters", "arguments"]),
    ("broker", "serving", &["key", "work", "counters", "effect", "arguments", "queue"]),
    (
        "broker",
        "topology",
        &[
            "key",
            "by_name",
            "work",
            "counters",
            "resource",
            "exchange",
            "users",
            "arguments",
            "queue",
            "serving",
        ],
    ),
    (
        "broker",
        "flow",
        &[
            "*",
            "key",
            "work",
            "chunks",
            "counters",
            "notices",
            "watched",
            "term",
            "resource",
            "exchange",
            "arguments",
            "queue",
            "serving",
            "topology",
        ],
    ),
    (
        "broker",
        "requests",
        &[
            "*",
            "work",
            "key",
            "by_name",
            "counters",
            "effect",
            "resource",
            "exchange",
            "users",
            "arguments",
            "queue",
            "serving",
            "topology",
            "flow",
        ],
    ),
    ("storage", "types", &[]),
    ("storage", "record", &["types"]),
    ("storage", "file", &["types", "record"]),
    ("storage", "index", &["types"]),
    ("storage", "helper", &["types", "file"]),
    ("storage", "log", &["types", "record", "file", "helper", "store"]),
    ("storage", "recovery", &["types", "record", "file", "helper", "log", "store"]),
    ("storage", "options", &["file", "helper", "recovery"]),
    ("session", "wait", &[]),
    ("management", "request", &[]),
    ("management", "response", &[]),
    ("management", "view", &["figures"]),
    ("management", "figures", &["view"]),
    ("management", "samples", &["request", "response"]),
    ("management", "stats", &["figures", "samples", "view"]),
    ("management", "exposition", &[]),
    ("management", "coding", &["request", "response"]),
    ("management", "cors", &["request"]),
    ("management", "json", &["response"]),
    ("management", "arguments", &[]),
    ("management", "body", &["response", "json", "arguments", "definitions"]),
    ("management", "refusal", &["response"]),
    ("management", "sessions", &["request"]),
    ("management", "authentication", &["response", "sessions", "call"]),
    ("management", "sign_in", &["request", "response", "sessions", "authentication", "call"]),
    ("management", "call", &["request", "response", "view", "authentication", "cors", "list"]),
    ("management", "list", &["request", "response", "call", "sorted"]),
    (
        "management",
        "resources",
        &[
            "request",
            "response",
            "view",
            "json",
            "exposition",
            "body",
            "stats",
            "samples",
            "figures",
            "refusal",
            "sessions",
            "authentication",
            "call",
            "list",
            "change",
            "definitions",
        ],
    ),
    (
        "management",
        "definitions",
        &["response", "json", "arguments", "authentication", "call", "list"],
    ),
    ("management", "change", &["response", "json", "call", "definitions"]),
    ("management", "page", &["request", "response", "call"]),
    ("management", "router", &["request", "response", "call", "page", "resources"]),
    ("management", "upgrade", &["request", "response", "cors"]),
    ("management", "job", &["request", "response", "coding", "authentication", "call", "router"]),
    (
        "management",
        "conversation",
        &[
            "request",
            "response",
            "coding",
            "cors",
            "authentication",
            "sign_in",
            "call",
            "router",
            "upgrade",
            "job",
            "view",
        ],
    ),
    ("session", "channel", &["wait"]),
];

/// What a module may not reach for, as tokens: methods of what lies two floors down.
const MAY_NOT_REACH: &[(&str, &[&str])] =
    &[("session", &["broker", ".", "store"]), ("management", &["broker", ".", "store"])];

/// The islands of `unsafe`: system calls, the mapping of a segment, and the mapping of the
/// scratch file that holds the middle of long queues' indexes (memory only, never read back
/// after a restart, but a mapping like the segments').
const MAY_BE_UNSAFE: &[&str] = &[
    "src/sys.rs",
    "src/storage/file/mapping.rs",
    "src/storage/index/scratch.rs",
    // Counting what is allocated takes an allocator of its own.
    "tests/allocations.rs",
];

/// Who may ask for the time: the loop, the programs that are not the broker, and the storage
/// helper, which measures its syncs.
const MAY_READ_CLOCK: &[&str] = &["src/net/", "src/bin/", "src/storage/helper/jobs.rs"];

const LINE_CHARS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

/// Notes to self; in pieces, so that this file does not offend against its own rule.
const FORBIDDEN_WORDS: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Macros of a program that is not finished.
const FORBIDDEN_MACROS: &[&str] = &["dbg", "todo", "unimplemented"];

// The rules.

/// Modules import only what stands in their row of the table.
fn imports(source: &Source) -> Vec<String> {
    let Some((module, depth)) = module_of(&source.path) else {
        return Vec::new();
    };
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: module {module} is not in the import table", source.path)];
    };
    let known = |name: &str| MAY_IMPORT.iter().any(|(other, _)| *other == name);
    let mut offences = Vec::new();
    for (line, name) in top_level_paths(&source.tokens, depth) {
        if known(&name) && name != module && !allowed.contains(&name.as_str()) {
            offences.push(format!("{}:{line}: {module} may not import {name}", source.path));
        }
    }
    offences
}

/// Rooms import only what stands in their row of the table.
fn rooms(source: &Source) -> Vec<String> {
    let Some((module, room)) = room_of(&source.path) else {
        return Vec::new();
    };
    let row = ROOM_MAY_IMPORT.iter().find(|(of, name, _)| (*of, *name) == (module, room));
    let Some((_, _, allowed)) = row else {
        let has_rooms = ROOM_MAY_IMPORT.iter().any(|(of, _, _)| *of == module);
        let is_folder = source.path.matches('/').count() > 2;
        let is_test = source.tokens.iter().all(|token| token.test);
        let text = format!("{}:1: {module}/{room} has no row in the table of rooms", source.path);
        return if has_rooms && is_folder && !is_test { vec![text] } else { Vec::new() };
    };
    let mut offences = Vec::new();
    for (line, path) in paths(source) {
        let [of, reached, ..] = &path[..] else {
            continue;
        };
        // Types are named like this; those of the module's own file and what it passes on.
        let is_type = reached.starts_with(|c: char| c.is_ascii_uppercase());
        let reached = if is_type { "*" } else { reached.as_str() };
        if of == module && reached != room && !allowed.contains(&reached) {
            let path = path.join("::");
            offences.push(format!("{}:{line}: {module}/{room} may not import {path}", source.path));
        }
    }
    offences
}

/// Methods of what lies two floors down are not called.
fn reach(source: &Source) -> Vec<String> {
    let Some((module, _)) = module_of(&source.path) else {
        return Vec::new();
    };
    let tokens = MAY_NOT_REACH.iter().filter(|(of, _)| *of == module);
    let text = "this reaches past the floor below; ask that one";
    tokens.flat_map(|(_, tokens)| source.at_each(tokens, |token| !token.test, text)).collect()
}

/// `unsafe` stays on its islands.
fn unsafe_islands(source: &Source) -> Vec<String> {
    if MAY_BE_UNSAFE.contains(&source.path.as_str()) {
        return Vec::new();
    }
    source.at_each(&["unsafe"], |_| true, "unsafe is not allowed here")
}

fn line_lengths(source: &Source) -> Vec<String> {
    let long = |line: &str| line.chars().count() > LINE_CHARS_MAX;
    let lines = source.text.lines().enumerate().filter(|(_, line)| long(line));
    lines
        .map(|(index, _)| format!("{}:{}: over {LINE_CHARS_MAX} chars", source.path, index + 1))
        .collect()
}

fn file_lengths(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines, over {FILE_LINES_MAX}", source.path)]
}

/// From `fn` to the closing brace, whatever is in between.
fn function_lengths(source: &Source) -> Vec<String> {
    let tokens = &source.tokens;
    let mut offences = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.text != "fn" || tokens.get(index + 1).is_none_or(|next| next.text == "(") {
            continue;
        }
        let end = item_end(tokens, index);
        let lines = tokens[end].line - token.line + 1;
        if lines > FUNCTION_LINES_MAX {
            let name = &tokens[index + 1].text;
            let place = format!("{}:{}", source.path, token.line);
            offences.push(format!("{place}: {name} has {lines} lines, over {FUNCTION_LINES_MAX}"));
        }
    }
    offences
}

/// Every file says first which question it answers.
fn headers(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or("");
    match first.strip_prefix("//!") {
        Some(text) if !text.trim().is_empty() => Vec::new(),
        _ => vec![format!("{}:1: does not begin with //! and a sentence", source.path)],
    }
}

/// Time is an argument, except where the clock may be read and in tests.
fn clock(source: &Source) -> Vec<String> {
    if MAY_READ_CLOCK.iter().any(|place| source.path.starts_with(place)) {
        return Vec::new();
    }
    let text = "the clock is read here; take the time as an argument";
    let mut offences = source.at_each(&["Instant", "::", "now"], |token| !token.test, text);
    offences.extend(source.at_each(&["SystemTime", "::", "now"], |token| !token.test, text));
    offences
}

fn unwraps(source: &Source) -> Vec<String> {
    let text = "unwrap outside tests; answer the error or state the invariant with expect";
    source.at_each(&[".", "unwrap", "("], |token| !token.test, text)
}

fn words(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let mut found = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(word) = found.find(|word| FORBIDDEN_WORDS.contains(word)) {
            offences.push(format!("{}:{}: {word}; do it or drop it", source.path, index + 1));
        }
    }
    offences
}

fn macros(source: &Source) -> Vec<String> {
    let each = |name: &&str| source.at_each(&[name, "!"], |_| true, "a macro of unfinished code");
    FORBIDDEN_MACROS.iter().flat_map(each).collect()
}

/// Every file under src is part of a program or of the library.
fn dead_files(files: &BTreeMap<String, Source>) -> Vec<String> {
    let reached = reachable(files);
    let dead = files.keys().filter(|path| !reached.contains_key(*path));
    dead.map(|path| format!("{path}: no mod line leads to this file")).collect()
}

// The tree that they are held against.

/// Every Rust file below `folders`, by its path from the package's directory.
fn tree(folders: &[&str]) -> BTreeMap<String, Source> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    let mut open: Vec<String> = folders.iter().map(|&folder| folder.to_owned()).collect();
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(package.join(&folder)) else {
            continue;
        };
        for entry in entries {
            let entry = entry.expect("a directory that can be read");
            let path = format!("{folder}/{}", entry.file_name().display());
            if entry.path().is_dir() {
                let ours = !path.ends_with("/target") && !path.contains("/.");
                open.extend(ours.then_some(path));
            } else if path.ends_with(".rs") {
                let text = fs::read_to_string(entry.path()).expect("a file in UTF-8");
                files.insert(path.clone(), Source::new(&path, &text));
            }
        }
    }
    files
}

/// The broker and its programs; a file that only tests include counts as test throughout.
fn sources() -> BTreeMap<String, Source> {
    let mut files = tree(&["src"]);
    assert!(files.contains_key("src/lib.rs"), "the tree was not found");
    for (path, test) in reachable(&files) {
        if test && let Some(source) = files.get_mut(&path) {
            source.tokens.iter_mut().for_each(|token| token.test = true);
        }
    }
    files
}

/// Fails with every offence against `rule`, one a line.
fn keep(files: &BTreeMap<String, Source>, rule: fn(&Source) -> Vec<String>) {
    let offences: Vec<String> = files.values().flat_map(rule).collect();
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

/// What `rule` finds in `text` as the file at `path`, as line numbers; 0 without one.
fn lines_found(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> Vec<usize> {
    let line = |offence: &String| {
        let place = offence.split(':').nth(1).unwrap_or("");
        place.parse().unwrap_or(0)
    };
    rule(&Source::new(path, text)).iter().map(line).collect()
}

// The sources keep the rules.

#[test]
fn imports_point_down_the_table() {
    keep(&sources(), imports);
}

#[test]
fn rooms_import_what_lies_below_them() {
    keep(&sources(), rooms);
}

#[test]
fn nobody_reaches_past_the_floor_below() {
    keep(&sources(), reach);
}

#[test]
fn unsafe_is_only_on_its_islands() {
    keep(&tree(&["src", "tests", "benches"]), unsafe_islands);
}

#[test]
fn lines_fit_the_screen() {
    keep(&tree(&["src", "tests", "benches"]), line_lengths);
}

#[test]
fn files_answer_one_question() {
    keep(&tree(&["src", "tests", "benches"]), file_lengths);
}

#[test]
fn functions_fit_the_screen() {
    keep(&sources(), function_lengths);
}

#[test]
fn files_say_which_question_they_answer() {
    keep(&tree(&["src", "tests", "benches"]), headers);
}

/// Its scripts keep the same rules as far as text shows them.
#[test]
fn the_pages_files_fit_the_screen_and_say_which_question_they_answer() {
    let mut offences = Vec::new();
    for folder in ["src/management/page/files", "tests/page"] {
        let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
        for entry in entries.expect("the page has files") {
            let path = entry.expect("a directory that can be read").path();
            let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
            if !["js", "css"].contains(&kind) {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a file in UTF-8");
            let source = Source { path: path.display().to_string(), text, tokens: Vec::new() };
            offences.extend(line_lengths(&source));
            offences.extend(file_lengths(&source));
            let first = source.text.lines().next().unwrap_or_default();
            let asks = source.text.lines().take(3).any(|line| line.contains('?'));
            if !asks || !(first.starts_with("// ") || first.starts_with("/* ")) {
                offences.push(format!("{}:1: it says no question", source.path));
            }
        }
    }
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn no_file_is_dead() {
    let dead = dead_files(&tree(&["src"]));
    assert!(dead.is_empty(), "\n{}\n", dead.join("\n"));
}

#[test]
fn time_is_an_argument() {
    keep(&sources(), clock);
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    keep(&sources(), unwraps);
}

#[test]
fn nothing_is_left_for_later() {
    keep(&tree(&["src", "tests", "benches"]), words);
}

#[test]
fn no_macro_of_unfinished_code_is_left() {
    keep(&tree(&["src", "tests", "benches"]), macros);
}

// The rules catch offences.

#[test]
fn an_import_that_points_up_is_caught() {
    let text = "use crate::storage::Log;\nuse crate::net::Timers;\nuse crate::broker::Queue;\n\
                fn f() { crate::session::g(); }\nuse crate::{amqp, daemon::Config, \
                storage::{net, session}};\npub(crate) struct X;\n";
    assert_eq!(lines_found(imports, "src/broker/queue.rs", text), [2, 4, 5]);
    assert_eq!(lines_found(imports, "src/daemon/server.rs", text), []);
    assert_eq!(lines_found(imports, "src/main.rs", text), []);
    assert_eq!(lines_found(imports, "src/sys.rs", text), [1, 2, 3, 4, 5, 5, 5]);
    assert_eq!(lines_found(imports, "src/unheard/of.rs", ""), [0]);
    assert_eq!(imports(&Source::new("src/unheard/of.rs", "")).len(), 1);
}

#[test]
fn an_import_by_super_is_caught_where_it_reaches_the_root() {
    let text = "use super::storage;\nuse super::super::storage;\nuse super::super::{amqp, net};\n\
                mod tests {\nuse super::super::net;\nuse super::super::super::net;\n}\n\
                use super::super::session;\n";
    assert_eq!(lines_found(imports, "src/amqp/table.rs", text), [2, 3, 6, 8]);
    assert_eq!(lines_found(imports, "src/amqp/mod.rs", text), [1, 5]);
}

#[test]
fn an_import_from_a_room_that_lies_above_is_caught() {
    let text = "use crate::broker::key::QueueKey;\nuse crate::broker::flow::message::Content;\n\
                use crate::broker::{Broker, arguments::effective, serving};\n\
                use crate::{amqp::Name, broker::{topology::{vhost, routing as r}, queue}};\n\
                fn f() { super::flow::g(); super::super::broker::Queues::new(); }\n\
                #[cfg(test)]\nmod tests { use crate::broker::Broker; }\n";
    assert_eq!(lines_found(rooms, "src/broker/queue/mod.rs", text), [2, 3, 3, 4, 4, 5, 5]);
    assert_eq!(lines_found(rooms, "src/broker/queue/ready.rs", "use super::super::flow;"), [1]);
    assert_eq!(lines_found(rooms, "src/broker/requests/a.rs", text), [5]);
    assert_eq!(lines_found(rooms, "src/broker/mod.rs", text), []);
    assert_eq!(lines_found(rooms, "src/session/queue.rs", text), []);
    assert_eq!(lines_found(rooms, "src/broker/attic/queue.rs", text), [1]);
    assert_eq!(lines_found(rooms, "src/daemon/attic/queue.rs", text), []);
}

#[test]
fn a_call_past_the_floor_below_is_caught() {
    let text = "fn f() { broker.store.x(); }\nfn g() { self.broker.store.y(); broker.stored(); }\n\
                #[cfg(test)]\nmod tests { fn f() { broker.store.x(); } }\n";
    assert_eq!(lines_found(reach, "src/session/closing.rs", text), [1, 2]);
    assert_eq!(lines_found(reach, "src/node/turn.rs", text), []);
}

#[test]
fn unsafe_off_its_islands_is_caught() {
    let text = "// unsafe\nfn f() { unsafe { g(\"unsafe\") } }\n#[allow(unsafe_code)]\nfn h() {}\n";
    assert_eq!(lines_found(unsafe_islands, "src/net/mod.rs", text), [2]);
    assert_eq!(lines_found(unsafe_islands, "src/storage/log/ring.rs", text), [2]);
    for island in MAY_BE_UNSAFE {
        assert_eq!(lines_found(unsafe_islands, island, text), []);
    }
}

#[test]
fn a_long_line_is_caught_by_characters_not_bytes() {
    let text = format!("{}\n{}\n", "é".repeat(100), "e".repeat(101));
    assert_eq!(lines_found(line_lengths, "src/a.rs", &text), [2]);
}

#[test]
fn a_long_file_is_caught() {
    assert!(file_lengths(&Source::new("src/a.rs", &"\n".repeat(800))).is_empty());
    assert_eq!(file_lengths(&Source::new("src/a.rs", &"\n".repeat(801))).len(), 1);
}

#[test]
fn a_long_function_is_caught_whatever_is_in_it() {
    let body = |lines: usize| "    let c = '}'; // }\n".repeat(lines);
    let whole = |lines: usize| format!("fn f(a: [u8; 3])\nwhere\n{{\n{}}}\n", body(lines));
    assert_eq!(lines_found(function_lengths, "src/a.rs", &whole(66)), []);
    assert_eq!(lines_found(function_lengths, "src/a.rs", &whole(67)), [1]);
    let strings = format!("trait T {{ fn g(); }}\nfn f() {{ r#\"\n{}\"#; }}\n", body(70));
    assert_eq!(lines_found(function_lengths, "src/a.rs", &strings), [2]);
    let apart = format!("type F = fn(u8);\nmod m {{\n{}\n{}}}\n", whole(40), whole(40));
    assert_eq!(lines_found(function_lengths, "src/a.rs", &apart), []);
}

#[test]
fn a_missing_header_is_caught() {
    assert_eq!(lines_found(headers, "src/a.rs", "//! What is a?\n"), []);
    for text in ["", "//!\n", "// What is a?\n", "\n//! What is a?\n", "use std::fs;\n"] {
        assert_eq!(lines_found(headers, "src/a.rs", text), [1], "{text}");
    }
}

#[test]
fn a_dead_file_is_caught() {
    let files: BTreeMap<String, Source> = [
        ("src/lib.rs", "pub mod net;\n// mod comment;\n#[cfg(test)]\nmod checks;\nmod in_line {}"),
        ("src/net/mod.rs", "mod connection;\nconst TEXT: &str = \"mod string;\";"),
        ("src/net/connection.rs", "mod state;"),
        ("src/net/connection/state.rs", ""),
        ("src/net/string.rs", ""),
        ("src/net/state.rs", ""),
        ("src/checks.rs", "mod more;"),
        ("src/checks/more.rs", ""),
        ("src/comment.rs", ""),
        ("src/in_line.rs", ""),
        ("src/bin/tool.rs", "#[path = \"tool/part.rs\"]\nmod part;"),
        ("src/bin/tool/part.rs", "mod piece;"),
        ("src/bin/tool/piece.rs", ""),
        ("src/bin/tool/lost.rs", ""),
        ("src/bin/other/main.rs", "mod own;"),
        ("src/bin/other/own.rs", ""),
    ]
    .map(|(path, text)| (path.to_owned(), Source::new(path, text)))
    .into();
    let dead: Vec<String> =
        dead_files(&files).iter().map(|text| text.split(':').next().unwrap().to_owned()).collect();
    let expected = [
        "src/bin/tool/lost.rs",
        "src/comment.rs",
        "src/in_line.rs",
        "src/net/state.rs",
        "src/net/string.rs",
    ];
    assert_eq!(dead, expected);
    let tests: Vec<String> =
        reachable(&files).into_iter().filter(|(_, test)| *test).map(|(path, _)| path).collect();
    assert_eq!(tests, ["src/checks.rs", "src/checks/more.rs"]);
}

#[test]
fn a_look_at_the_clock_is_caught() {
    let text = "let a = Instant::now();\nlet b = std::time::SystemTime::now();\n// Instant::now()\n\
                let c = now;\n#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }\n\
                let d = time::Instant :: now;\n";
    assert_eq!(lines_found(clock, "src/broker/queue.rs", text), [1, 7, 2]);
    for place in ["src/net/timers.rs", "src/bin/leveret-bench.rs", "src/storage/helper/jobs.rs"] {
        assert_eq!(lines_found(clock, place, text), []);
    }
}

#[test]
fn an_unwrap_outside_tests_is_caught() {
    let text = "fn a() { b.unwrap(); }\nfn c() { d.unwrap_or(1).unwrap_err(); }\n\
                #[cfg(test)]\n#[allow(unused)]\nmod tests { fn e() { f.unwrap(); } }\n\
                #[cfg(test)]\nuse x;\nfn g() { h\n.unwrap() }\n\
                #[cfg(not(test))]\nfn i() { j.unwrap() }\n// .unwrap()\n\
                const K: &str = \".unwrap()\";";
    assert_eq!(lines_found(unwraps, "src/a.rs", text), [1, 9, 11]);
    let whole = format!("//! a\n#![cfg(test)]\n{text}");
    assert_eq!(lines_found(unwraps, "src/a.rs", &whole), []);
}

#[test]
fn a_note_to_self_is_caught_also_in_comments_and_strings() {
    for word in FORBIDDEN_WORDS {
        let text = format!("// fine\n// {word}: later\nlet a = \"{word}\";\nlet {word}S = 1;\n");
        assert_eq!(lines_found(words, "tests/a.rs", &text), [2, 3]);
    }
}

#[test]
fn a_macro_of_unfinished_code_is_caught() {
    let text =
        "fn a() { dbg!(1); }\nfn todo() { unimplemented!() }\n// dbg!(2)\nfn b() { todo!() }\n";
    assert_eq!(lines_found(macros, "src/a.rs", text), [1, 4, 2]);
}
