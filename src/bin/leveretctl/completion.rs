//! What can shells complete? Verbs, their options and columns, read from the table.

use crate::options::{OPTIONS, Opt, Takes};
use crate::verb::Verb;

/// A script for this shell; `None` when we have none.
pub fn script(shell: &str, program: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash(program)),
        "zsh" => Some(format!(
            "#compdef {program}\nautoload -U +X bashcompinit && bashcompinit\n{}",
            bash(program)
        )),
        "fish" => Some(fish(program)),
        _ => None,
    }
}

fn bash(program: &str) -> String {
    let verbs: Vec<&str> = Verb::all().map(|verb| verb.name).collect();
    let verbs = verbs.join(" ");
    let general = OPTIONS.iter().filter(|option| option.general).map(dashed);
    let general: Vec<String> = general.collect();
    let mut cases = String::new();
    for verb in Verb::all() {
        let words = words_of(verb);
        if !words.is_empty() {
            cases.push_str(&format!("        {}) words=\"{}\" ;;\n", verb.name, words.join(" ")));
        }
    }
    let function = program.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!(
        "_{function}() {{\n    local word verb= words=\n    for word in \
         \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n        case \" {verbs} \" in *\" $word \"*) \
         verb=$word; break ;; esac\n    done\n    case $verb in\n        '') words=\"{verbs}\" ;;\n\
         {cases}    esac\n    COMPREPLY=($(compgen -W \"$words {}\" -- \
         \"${{COMP_WORDS[COMP_CWORD]}}\"))\n}}\ncomplete -o default -F _{function} {program}\n",
        general.join(" ")
    )
}

fn fish(program: &str) -> String {
    let mut text = String::new();
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    for option in OPTIONS.iter().filter(|option| option.general) {
        let summary = quoted(option.summary);
        let value = if option.takes == Takes::Nothing { "" } else { " -r" };
        text.push_str(&format!("complete -c {program} -l {}{value} -d {summary}\n", option.long));
    }
    for verb in Verb::all() {
        let summary = quoted(verb.summary);
        let name = verb.name;
        text.push_str(&format!(
            "complete -c {program} -n __fish_use_subcommand -a {name} -d {summary}\n"
        ));
        let words = words_of(verb);
        if !words.is_empty() {
            let words = quoted(&words.join(" "));
            text.push_str(&format!(
                "complete -c {program} -n '__fish_seen_subcommand_from {name}' -a {words}\n"
            ));
        }
    }
    text
}

/// What can follow a verb.
fn words_of(verb: &Verb) -> Vec<String> {
    let options = OPTIONS.iter().filter(|option| verb.options.contains(&option.long)).map(dashed);
    let mut words: Vec<String> = options.collect();
    if let Some(columns) = verb.columns.filter(|columns| !columns.usual.is_empty()) {
        words.extend(columns.all.iter().map(|column| column.name.to_owned()));
    }
    match verb.name {
        "help" => words.extend(Verb::all().map(|verb| verb.name.to_owned())),
        "completion" => words.extend(["bash", "zsh", "fish"].map(str::to_owned)),
        _ => {}
    }
    words
}

fn dashed(option: &Opt) -> String {
    format!("--{}", option.long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_knows_every_verb() {
        for shell in ["bash", "zsh", "fish"] {
            let text = script(shell, "leveretctl").unwrap();
            for verb in Verb::all() {
                let word = text.split([' ', '"', '\'', '\n']).any(|word| word == verb.name);
                assert!(word, "{shell}: {}", verb.name);
            }
        }
        assert!(script("csh", "leveretctl").is_none());
    }

    #[test]
    fn columns_and_options_of_a_verb_are_offered_after_it() {
        let text = script("bash", "leveretctl").unwrap();
        let line = text.lines().find(|line| line.trim_start().starts_with("list_queues)")).unwrap();
        for word in ["--offline", "messages_ready"] {
            assert!(line.contains(word), "{line}");
        }
    }
}
