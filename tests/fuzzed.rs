//! Inputs that the fuzzer begins with, and those that ever failed: what holds for every input holds
//! for them. Then some thousand more, made from them by chance.
//!
//! `LEVERET_FUZZED_CASES` says how many of these there are for each target, `LEVERET_FUZZED_SEED`
//! what chance begins with.

mod common;
#[path = "fuzzed/mod.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Random, number};
use targets::TARGETS;

#[test]
fn what_is_kept_for_the_fuzzer_holds() {
    for (name, target) in TARGETS {
        let kept = kept(name);
        assert!(!kept.is_empty(), "{name} begins with nothing");
        for (path, input) in kept {
            eprintln!("{}", path.display());
            target(&input);
        }
    }
}

#[test]
fn what_chance_makes_of_it_holds() {
    let cases = number("LEVERET_FUZZED_CASES").unwrap_or(300);
    let seed = number("LEVERET_FUZZED_SEED").unwrap_or(1);
    for (name, target) in TARGETS {
        let inputs: Vec<_> = kept(name).into_iter().map(|(_, input)| input).collect();
        let mut random = Random::new(seed);
        for case in 0..cases {
            eprintln!("{name}, case {case} of seed {seed}");
            target(&mixed(&inputs, &mut random));
        }
    }
}

/// What the repository holds for a target.
fn kept(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut paths: Vec<_> = ["seeds", "failed"]
        .iter()
        .filter_map(|kind| fs::read_dir(root.join(kind).join(name)).ok())
        .flatten()
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let input = fs::read(&path).expect("it can be read");
        (path, input)
    };
    paths.into_iter().map(read).collect()
}

/// Pieces of some inputs one behind the other, a few bytes changed.
fn mixed(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut made = Vec::new();
    for _ in 0..random.within(1..4) {
        let input = &inputs[random.within(0..inputs.len())];
        let from = if made.is_empty() { 0 } else { random.within(0..input.len() + 1) };
        made.extend_from_slice(&input[from..random.within(from..input.len() + 1)]);
    }
    for _ in 0..random.within(0..6) {
        if !made.is_empty() {
            let at = random.within(0..made.len());
            random.fill(&mut made[at..=at]);
        }
    }
    made
}
