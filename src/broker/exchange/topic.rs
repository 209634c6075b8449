//! Which destinations does a topic exchange send a routing key to? A trie over words.
//!
//! Patterns are words between dots; `*` stands for exactly one word, `#` for any number of them,
//! none included. Empty words are words, but the empty key has none (as in RabbitMQ). The trie is
//! walked once per key; no pattern and key together can make the walk longer than nodes times
//! words. Imports nothing of the crate but keys.

use std::cell::Cell;
use std::collections::HashMap;
use std::num::NonZeroU32;

use foldhash::quality::RandomState;
use slab::Slab;

use crate::broker::by_name::ByName;
use crate::broker::exchange::binding::Destination;
use crate::broker::exchange::destination_set::DestinationSet;
use crate::broker::hashing::IdBuild;

/// The bindings of a topic exchange.
///
/// 1. Below a `#` node there is neither a `#` nor a `*` node: patterns are brought into a normal
///    form in which the stars of a run of wildcards come first and are followed by at most one `#`.
/// 2. Every node but the root has a destination or a child.
/// 3. Each word that labels an edge is in `words`, with the number of those edges.
#[derive(Debug)]
pub struct TopicMatcher {
    /// The root is node 0.
    nodes: Slab<Node>,
    edges: HashMap<(u32, WordId), NodeId, IdBuild>,
    words: ByName<Box<[u8]>, Word, RandomState>,
    free_words: Vec<WordId>,
    /// The number of the walk, which tells this walk's marks in the nodes from older ones.
    walk: Cell<u64>,
}

impl TopicMatcher {
    /// A matcher without bindings.
    pub fn new() -> Self {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::default());
        debug_assert_eq!(root, ROOT as usize);
        Self {
            nodes,
            edges: HashMap::default(),
            words: ByName::default(),
            free_words: Vec::new(),
            walk: Cell::new(0),
        }
    }

    /// Counts a binding of the destination with this pattern.
    pub fn add(&mut self, pattern: &[u8], destination: Destination) {
        let mut at = ROOT;
        for step in steps(pattern) {
            at = match self.child(at, step) {
                Some(child) => child.index(),
                None => self.grow(at, step),
            };
        }
        self.nodes[at as usize].destinations.add(destination);
    }

    /// Counts a binding less; `false` when there was none.
    pub fn remove(&mut self, pattern: &[u8], destination: Destination) -> bool {
        let mut path = Vec::new();
        let mut at = ROOT;
        for step in steps(pattern) {
            let Some(child) = self.child(at, step) else {
                return false;
            };
            path.push((at, step, child));
            at = child.index();
        }
        let found = self.nodes[at as usize].destinations.remove(destination);
        for (parent, step, child) in path.into_iter().rev() {
            if !self.nodes[child.index() as usize].is_bare() {
                break;
            }
            self.prune(parent, step, child);
        }
        found
    }

    /// Appends the destinations of every pattern that matches; one with several matching patterns
    /// comes several times. Allocates only for keys of more than `WORDS_ON_STACK` words.
    pub fn route(&self, routing_key: &[u8], out: &mut Vec<Destination>) {
        let mut on_stack = [None; WORDS_ON_STACK];
        let mut on_heap = Vec::new();
        let mut count = 0;
        for word in words_of(routing_key) {
            let id = self.words.get(word).map(|word| word.id);
            if count < WORDS_ON_STACK {
                on_stack[count] = id;
            } else {
                if on_heap.is_empty() {
                    on_heap.extend_from_slice(&on_stack);
                }
                on_heap.push(id);
            }
            count += 1;
        }
        let words = if on_heap.is_empty() { &on_stack[..count] } else { &on_heap[..] };
        self.walk.set(self.walk.get() + 1);
        self.visit(ROOT, words, 0, out);
    }

    /// Whether there is no binding.
    pub fn is_empty(&self) -> bool {
        self.nodes[ROOT as usize].is_bare()
    }

    /// `node` was reached by the words before `position`.
    fn visit(
        &self,
        at: u32,
        words: &[Option<WordId>],
        position: usize,
        out: &mut Vec<Destination>,
    ) {
        let node = &self.nodes[at as usize];
        if position == words.len() {
            node.destinations.append_to(out);
        }
        if let Some(hash) = node.hash {
            self.visit_hash(hash.index(), words, position, out);
        }
        self.visit_children(at, node, words, position, out);
    }

    /// A `#` node was reached by the words before `first`: from here on it is reached by every
    /// longer prefix too. Patterns such as `#.a.#.b.#` reach one many times, so each node remembers
    /// from which word on this walk has been below it, and goes below for the others only.
    fn visit_hash(
        &self,
        at: u32,
        words: &[Option<WordId>],
        first: usize,
        out: &mut Vec<Destination>,
    ) {
        let node = &self.nodes[at as usize];
        let walk = self.walk.get();
        let mut end = words.len();
        if node.visited_by.get() == walk {
            end = node.visited_from.get() as usize;
            if first >= end {
                return;
            }
        } else {
            node.visited_by.set(walk);
            node.destinations.append_to(out);
        }
        node.visited_from.set(u32::try_from(first).expect("a key has fewer than 2^32 words"));
        for position in first..end {
            self.visit_children(at, node, words, position, out);
        }
    }

    fn visit_children(
        &self,
        at: u32,
        node: &Node,
        words: &[Option<WordId>],
        position: usize,
        out: &mut Vec<Destination>,
    ) {
        let Some(&word) = words.get(position) else {
            return;
        };
        if let Some(star) = node.star {
            self.visit(star.index(), words, position + 1, out);
        }
        if node.literals > 0
            && let Some(word) = word
            && let Some(child) = self.edges.get(&(at, word))
        {
            self.visit(child.index(), words, position + 1, out);
        }
    }

    fn child(&self, parent: u32, step: Step<'_>) -> Option<NodeId> {
        match step {
            Step::Star => self.nodes[parent as usize].star,
            Step::Hash => self.nodes[parent as usize].hash,
            Step::Word(word) => {
                let word = self.words.get(word)?.id;
                self.edges.get(&(parent, word)).copied()
            }
        }
    }

    fn grow(&mut self, parent: u32, step: Step<'_>) -> u32 {
        let child = NodeId::of(self.nodes.insert(Node::default()));
        match step {
            Step::Star => self.nodes[parent as usize].star = Some(child),
            Step::Hash => self.nodes[parent as usize].hash = Some(child),
            Step::Word(word) => {
                let word = self.acquire_word(word);
                self.edges.insert((parent, word), child);
                self.nodes[parent as usize].literals += 1;
            }
        }
        child.index()
    }

    fn prune(&mut self, parent: u32, step: Step<'_>, child: NodeId) {
        match step {
            Step::Star => self.nodes[parent as usize].star = None,
            Step::Hash => self.nodes[parent as usize].hash = None,
            Step::Word(word) => {
                let word = self.release_word(word);
                self.edges.remove(&(parent, word));
                self.nodes[parent as usize].literals -= 1;
            }
        }
        self.nodes.remove(child.index() as usize);
    }

    fn acquire_word(&mut self, text: &[u8]) -> WordId {
        if let Some(word) = self.words.get_mut(text) {
            word.edges += 1;
            return word.id;
        }
        // Without numbers given back, those in use are 1 to the number of words.
        let id = self.free_words.pop().unwrap_or_else(|| WordId::of(self.words.len() + 1));
        self.words.insert(text.into(), Word { id, edges: 1 });
        id
    }

    fn release_word(&mut self, text: &[u8]) -> WordId {
        let word = self.words.get_mut(text).expect("invariant 3");
        word.edges -= 1;
        let id = word.id;
        if word.edges == 0 {
            self.words.remove(text);
            self.free_words.push(id);
        }
        id
    }
}

impl Default for TopicMatcher {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug, Default)]
struct Node {
    star: Option<NodeId>,
    hash: Option<NodeId>,
    /// The number of edges with words.
    literals: u32,
    /// Of a `#` node: from which word on the walk `visited_by` has been below.
    visited_from: Cell<u32>,
    /// Of a `#` node: the walk that was here last.
    visited_by: Cell<u64>,
    destinations: DestinationSet,
}

impl Node {
    fn is_bare(&self) -> bool {
        self.star.is_none()
            && self.hash.is_none()
            && self.literals == 0
            && self.destinations.is_empty()
    }
}

/// A node other than the root, which is no one's child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NodeId(NonZeroU32);

impl NodeId {
    fn of(index: usize) -> Self {
        let index = u32::try_from(index).expect("fewer than 2^32 nodes fit into memory");
        Self(NonZeroU32::new(index).expect("slot 0 is the root's for ever"))
    }

    fn index(self) -> u32 {
        self.0.get()
    }
}

/// The number of a word, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct WordId(NonZeroU32);

impl WordId {
    fn of(number: usize) -> Self {
        let number = u32::try_from(number).expect("fewer than 2^32 words fit into memory");
        Self(NonZeroU32::new(number).expect("numbers are given from 1"))
    }
}

#[derive(Debug)]
struct Word {
    id: WordId,
    edges: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'a> {
    Star,
    Hash,
    Word(&'a [u8]),
}

/// The pattern's steps in normal form (invariant 1): `#.*` becomes `*.#`, `#.#` becomes `#`.
fn steps(pattern: &[u8]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut after_hash = false;
    for word in words_of(pattern) {
        match word {
            b"*" => steps.push(Step::Star),
            b"#" => after_hash = true,
            _ => {
                if after_hash {
                    steps.push(Step::Hash);
                    after_hash = false;
                }
                steps.push(Step::Word(word));
            }
        }
    }
    if after_hash {
        steps.push(Step::Hash);
    }
    steps
}

/// The words between the dots; the empty key has none.
fn words_of(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    key.split(|&byte| byte == b'.').filter(move |_| !key.is_empty())
}

const ROOT: u32 = 0;

/// More words than routing keys have, outside of tests.
const WORDS_ON_STACK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::testing::{Seeded, queue};

    /// Whether the pattern matches the key, by trying everything.
    fn naive(pattern: &[&[u8]], key: &[&[u8]]) -> bool {
        match (pattern, key) {
            ([], key) => key.is_empty(),
            ([b"#", rest @ ..], key) => (0..=key.len()).any(|n| naive(rest, &key[n..])),
            ([_, ..], []) => false,
            ([word, rest @ ..], [first, others @ ..]) => {
                (*word == b"*" || word == first) && naive(rest, others)
            }
        }
    }

    fn matches(pattern: &str, key: &str) -> bool {
        let mut matcher = TopicMatcher::new();
        matcher.add(pattern.as_bytes(), queue(1));
        let mut out = Vec::new();
        matcher.route(key.as_bytes(), &mut out);
        assert!(out.len() <= 1, "{pattern} {key}: {out:?}");
        !out.is_empty()
    }

    #[test]
    fn wildcards_stand_for_words() {
        for (pattern, key, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("a.#", "b.a", false),
            ("#", "", true),
            ("#", "a.b.c", true),
            ("#.c", "a.b.c", true),
            ("#.c", "c", true),
            ("#.c", "c.d", false),
            ("a.#.z", "a.z", true),
            ("a.#.z", "a.b.c.z", true),
            ("#.#", "a", true),
            ("#.*", "", false),
            ("#.*.#", "a", true),
            ("*.#.*", "a", false),
            ("*.#.*", "a.b", true),
            ("a*", "ab", false),
            ("a*", "a*", true),
            ("##", "##", true),
            ("##", "a", false),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} {key}");
        }
    }

    #[test]
    fn empty_words_are_words_and_the_empty_key_has_none() {
        for (pattern, key, expected) in [
            ("", "", true),
            ("", ".", false),
            ("*", "", false),
            ("*.*", ".", true),
            (".", ".", true),
            ("a.", "a.", true),
            ("a.", "a", false),
            ("a.*", "a.", true),
            ("a.*.b", "a..b", true),
            ("a..b", "a..b", true),
            ("a.b", "a..b", false),
            ("a.#.b", "a..b", true),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} {key}");
        }
    }

    #[test]
    fn any_set_of_patterns_routes_as_the_naive_twin_does() {
        let words = ["a", "b", "c", "", "*", "#", "#"];
        let mut random = Seeded::new(7);
        for round in 0..300 {
            let mut matcher = TopicMatcher::new();
            let mut bound: Vec<(String, Destination)> = Vec::new();
            for step in 0..60 {
                if !bound.is_empty() && random.below(4) == 0 {
                    let (pattern, to) = bound.swap_remove(random.below(bound.len()));
                    assert!(matcher.remove(pattern.as_bytes(), to));
                } else {
                    let pattern = sentence(&mut random, &words);
                    let to = queue(u32::try_from(random.below(8)).unwrap());
                    matcher.add(pattern.as_bytes(), to);
                    bound.push((pattern, to));
                }
                let key = sentence(&mut random, &words[..4]);
                let mut out = Vec::new();
                matcher.route(key.as_bytes(), &mut out);
                out.sort();
                out.dedup();
                assert_eq!(out, expected(&bound, &key), "round {round} step {step} key {key:?}");
            }
            for (pattern, to) in bound {
                assert!(matcher.remove(pattern.as_bytes(), to));
                assert!(!matcher.remove(b"never.bound", to));
            }
            assert!(matcher.is_empty());
            assert_eq!(matcher.nodes.len(), 1, "only the root stays");
            assert!(matcher.edges.is_empty() && matcher.words.is_empty());
        }
    }

    fn sentence(random: &mut Seeded, words: &[&str]) -> String {
        let count = random.below(6);
        let chosen: Vec<_> = (0..count).map(|_| words[random.below(words.len())]).collect();
        chosen.join(".")
    }

    fn expected(bound: &[(String, Destination)], key: &str) -> Vec<Destination> {
        let key: Vec<_> = words_of(key.as_bytes()).collect();
        let mut found: Vec<_> = bound
            .iter()
            .filter(|(p, _)| naive(&words_of(p.as_bytes()).collect::<Vec<_>>(), &key))
            .map(|(_, to)| *to)
            .collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn a_pattern_full_of_hashes_takes_nodes_times_words_not_for_ever() {
        let mut matcher = TopicMatcher::new();
        let pattern = ["#.a"; 63].join(".") + ".#.b";
        matcher.add(pattern.as_bytes(), queue(1));
        let mut out = Vec::new();
        matcher.route(["a"; 128].join(".").as_bytes(), &mut out);
        assert!(out.is_empty());
        matcher.route((["a"; 126].join(".") + ".b").as_bytes(), &mut out);
        assert_eq!(out, [queue(1)]);
    }

    #[test]
    fn a_key_may_have_more_words_than_fit_on_the_stack() {
        let mut matcher = TopicMatcher::new();
        matcher.add(b"a.#.z", queue(1));
        matcher.add(b"a.*", queue(2));
        let mut out = Vec::new();
        matcher.route(("a.".to_owned() + &"b.".repeat(1000) + "z").as_bytes(), &mut out);
        assert_eq!(out, [queue(1)]);
    }

    #[test]
    fn a_hundred_thousand_bindings_are_told_apart() {
        let mut matcher = TopicMatcher::new();
        for n in 0..100_000u32 {
            matcher.add(format!("site.{}.device.{}.#", n % 317, n).as_bytes(), queue(n));
        }
        let mut out = Vec::new();
        for n in (0..100_000u32).step_by(997) {
            out.clear();
            matcher.route(format!("site.{}.device.{n}.up", n % 317).as_bytes(), &mut out);
            assert_eq!(out, [queue(n)]);
        }
    }
}
