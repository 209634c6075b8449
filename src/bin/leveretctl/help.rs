//! What can people ask for? Everything here is read from the table of verbs.

use crate::options::{OPTIONS, Opt, Takes};
use crate::verb::{Group, Verb};

/// All verbs, by group.
pub fn general(program: &str) -> String {
    let mut text = format!("\n{}\n\nAvailable commands:\n", usage(program));
    for group in Group::ALL {
        text.push_str(&format!("\n{}:\n\n", group.title()));
        for verb in Verb::all().filter(|verb| verb.group == group) {
            text.push_str(&format!("   {:<29} {}\n", verb.name, verb.summary));
        }
    }
    text.push_str(&format!(
        "\nUse '{program} help <command>' to learn more about a specific command\n"
    ));
    text
}

/// One verb.
pub fn of(program: &str, verb: &Verb) -> String {
    let mut text = format!("\n{}\n\n{}.\n", usage_of(program, verb), verb.summary);
    if !verb.arguments.is_empty() || !verb.options.is_empty() {
        text.push_str("\nArguments and Options\n");
    }
    for (name, summary) in verb.arguments {
        text.push_str(&format!("\n{}\n\t{summary}", name.trim_matches(['[', ']'])));
        if let Some(columns) = verb.columns.filter(|_| summary.is_empty()) {
            let mut names: Vec<&str> = columns.all.iter().map(|column| column.name).collect();
            names.sort_unstable();
            text.push_str(&format!("must be one of {}", names.join(", ")));
        }
        text.push('\n');
    }
    for option in OPTIONS.iter().filter(|option| verb.options.contains(&option.long)) {
        text.push_str(&format!("\n{}\n\t{}\n", names(option), option.summary));
    }
    text.push_str("\nGeneral Options\n\n");
    for option in OPTIONS.iter().filter(|option| option.general) {
        text.push_str(&format!("   {:<26} {}\n", names(option), option.summary));
    }
    text
}

/// How any verb is called.
pub fn usage(program: &str) -> String {
    format!(
        "Usage\n\n{program} [--data-dir <dir> | --uri <uri>] [--timeout <timeout>] [--quiet] \
         <command> [<command options>]"
    )
}

/// How this verb is called.
pub fn usage_of(program: &str, verb: &Verb) -> String {
    format!("Usage\n\n{program} [<general options>] {}", verb.usage())
}

/// An option's names and what follows them.
fn names(option: &Opt) -> String {
    let hint = match option.takes {
        Takes::Nothing => String::new(),
        Takes::Text(hint) | Takes::Number(hint) => format!(" {hint}"),
    };
    match option.short {
        "" => format!("--{}{hint}", option.long),
        letter => format!("-{letter}, --{}{hint}", option.long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_verb_once() {
        let text = general("leveretctl");
        for verb in Verb::all() {
            let line = format!("   {:<29} {}\n", verb.name, verb.summary);
            assert_eq!(text.matches(&line).count(), 1, "{}", verb.name);
        }
    }

    #[test]
    fn help_of_a_verb_says_how_it_is_called_and_what_it_takes() {
        for verb in Verb::all() {
            let text = of("rabbitmqctl", verb);
            assert!(text.contains(&format!("rabbitmqctl [<general options>] {}", verb.usage())));
            for option in OPTIONS {
                let named = text.contains(&format!("\n{}\n\t", names(option)));
                assert_eq!(named, verb.options.contains(&option.long), "{}", verb.name);
            }
        }
    }

    #[test]
    fn help_of_a_list_names_its_columns() {
        let text = of("leveretctl", Verb::named("list_exchanges").unwrap());
        let columns = "arguments, auto_delete, durable, internal, name, policy, type";
        assert!(text.contains(&format!("<column> ...\n\tmust be one of {columns}\n")), "{text}");
    }
}
