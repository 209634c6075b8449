//! What can shells complete? Verbs, their options and columns, read from the table, and names that
//! the broker knows.

use crate::options::{OPTIONS, Opt, Takes};
use crate::verb::Verb;

/// A script for this shell; `None` when we have none.
pub fn script(shell: &str, program: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash(program)),
        "zsh" => Some(zsh(program)),
        "fish" => Some(fish(program)),
        _ => None,
    }
}

fn bash(program: &str) -> String {
    let cases: String = Verb::all()
        .map(|verb| {
            let (words, kind) = (words_of(verb).join(" "), kind_of(verb).unwrap_or_default());
            format!("        {}) words=\"{words}\" kind={kind} ;;\n", verb.name)
        })
        .collect();
    BASH.replace("FUNCTION", &function(program))
        .replace("PROGRAM", program)
        .replace("VERBS", &all_verbs())
        .replace("GENERAL", &general().join(" "))
        .replace("CASES", &cases)
}

fn zsh(program: &str) -> String {
    let cases: String = Verb::all()
        .map(|verb| {
            let (words, kind) = (words_of(verb).join(" "), kind_of(verb).unwrap_or_default());
            format!("        {}) offers=({words}) kind={kind} ;;\n", verb.name)
        })
        .collect();
    ZSH.replace("FUNCTION", &function(program))
        .replace("PROGRAM", program)
        .replace("VERBS", &all_verbs())
        .replace("GENERAL", &general().join(" "))
        .replace("CASES", &cases)
}

/// What a shell may call a function.
fn function(program: &str) -> String {
    program.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

fn all_verbs() -> String {
    Verb::all().map(|verb| verb.name).collect::<Vec<_>>().join(" ")
}

fn general() -> Vec<String> {
    OPTIONS.iter().filter(|option| option.general).map(dashed).collect()
}

/// What names can follow a verb, as `complete` calls them.
fn kind_of(verb: &Verb) -> Option<&'static str> {
    match verb.arguments.first()?.0 {
        "<queue>" | "<queue_name>" => Some("queues"),
        "<username>" => Some("users"),
        "<vhost>" => Some("vhosts"),
        _ => None,
    }
}

/// Words are taken from the line: bash takes names with colons apart. Whatever says which broker
/// is meant is passed on when that is asked for names.
const BASH: &str = r#"_FUNCTION() {
    local line=${COMP_LINE:0:COMP_POINT} word before= verb= words= kind= current
    local -a all where=()
    read -ra all <<<"$line"
    [[ $line == *[[:space:]] ]] && all+=("")
    current=${all[${#all[@]}-1]}
    for word in "${all[@]:1:${#all[@]}-2}"; do
        case $before in
            --data-dir | --uri | -p | --vhost) where+=("$before" "$word") before= ;;
            -n | --node | -t | --timeout | --formatter) before= ;;
            *)
                before=$word
                if [[ -z $verb && " VERBS " == *" $word "* ]]; then verb=$word; fi ;;
        esac
    done
    case $verb in
        '') words="VERBS" ;;
CASES    esac
    words+=" GENERAL"
    case $before in
        -p | --vhost) words= kind=vhosts ;;
        --formatter) words="table pretty_table json csv erlang" kind= ;;
        --data-dir) return ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [[ -n $kind && $current != -* ]]; then
        while IFS= read -r word; do
            COMPREPLY+=("$(printf %q "$word")")
        done < <(PROGRAM complete "$kind" "$current" "${where[@]}" 2>/dev/null)
    fi
    if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*:}"}"}")
    fi
}
complete -o default -F _FUNCTION PROGRAM
"#;

const ZSH: &str = r#"#compdef PROGRAM
_FUNCTION() {
    local word verb kind
    local -a verbs offers names
    verbs=(VERBS)
    for word in $words[2,CURRENT-1]; do
        if (( $verbs[(Ie)$word] )); then verb=$word; break; fi
    done
    case $verb in
        '') offers=($verbs) ;;
CASES    esac
    offers+=(GENERAL)
    case $words[CURRENT-1] in
        -p | --vhost) offers=() kind=vhosts ;;
        --formatter) offers=(table pretty_table json csv erlang) kind= ;;
        --data-dir) _files -/; return ;;
    esac
    if [[ -n $kind && $words[CURRENT] != -* ]]; then
        names=(${(f)"$(PROGRAM complete $kind "${(Q)words[CURRENT]}" 2>/dev/null)"})
        compadd -a names
    fi
    compadd -a offers
}
if [[ $funcstack[1] == _FUNCTION ]]; then _FUNCTION "$@"; else compdef _FUNCTION PROGRAM; fi
"#;

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
        if let Some(kind) = kind_of(verb) {
            let names =
                quoted(&format!("({program} complete {kind} (commandline -ct) 2>/dev/null)"));
            text.push_str(&format!(
                "complete -c {program} -n '__fish_seen_subcommand_from {name}' -f -a {names}\n"
            ));
        }
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
        "complete" => words.extend(["queues", "users", "vhosts"].map(str::to_owned)),
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
                let word =
                    text.split([' ', '"', '\'', '\n', '(', ')']).any(|word| word == verb.name);
                assert!(word, "{shell}: {}", verb.name);
            }
        }
        assert!(script("csh", "leveretctl").is_none());
    }

    #[test]
    fn columns_and_options_of_a_verb_are_offered_after_it() {
        let text = script("bash", "rabbitmqctl-3").unwrap();
        assert!(text.ends_with("complete -o default -F _rabbitmqctl_3 rabbitmqctl-3\n"), "{text}");
        let line = text.lines().find(|line| line.trim_start().starts_with("list_queues)")).unwrap();
        for word in ["--offline", "messages_ready"] {
            assert!(line.contains(word), "{line}");
        }
    }
}
