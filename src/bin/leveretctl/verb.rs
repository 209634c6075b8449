//! Which verbs are there? The rows that help, completion, dispatch and usage errors read.

use crate::failure::Failure;
use crate::options::{Given, Takes, option};
use crate::output::Column;
use crate::session::Session;
use crate::verbs;

/// One verb.
#[derive(Clone, Copy)]
pub struct Verb {
    /// What people type.
    pub name: &'static str,
    /// Where help lists it.
    pub group: Group,
    /// What follows it, in order.
    pub arguments: &'static [Argument],
    /// The options that it takes beyond the general ones, by their long names.
    pub options: &'static [&'static str],
    /// What it can list, if it lists something.
    pub columns: Option<&'static Columns>,
    /// Seconds that it may take when nobody says.
    pub seconds: u64,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Does it.
    pub run: Run,
}

/// What does the work of a verb.
pub type Run = fn(&mut Session<'_>) -> Result<(), Failure>;

/// An argument: how usage writes it (`<a>` must be given, `[<a>]` may, `[<a> ...]` may be given
/// many times), and what it is.
pub type Argument = (&'static str, &'static str);

/// What a verb can list.
pub struct Columns {
    /// All of it.
    pub all: &'static [Column],
    /// What it lists unless asked for something else; empty for all of it, always.
    pub usual: &'static str,
}

/// Where help lists a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// About this program.
    Help,
    /// The broker as a process.
    Node,
    /// Users.
    Users,
    /// Permissions.
    Access,
    /// Looking at things.
    Monitoring,
    /// Checks for scripts.
    Health,
    /// Parameters.
    Parameters,
    /// Policies.
    Policies,
    /// Virtual hosts.
    Vhosts,
    /// Settings.
    Configuration,
    /// Everything that is defined.
    Definitions,
    /// Feature flags.
    Features,
    /// Connections.
    Operations,
    /// Queues, exchanges, bindings and messages.
    Objects,
}

impl Group {
    /// All of them, in the order of help.
    pub const ALL: [Group; 14] = [
        Group::Help,
        Group::Node,
        Group::Users,
        Group::Access,
        Group::Monitoring,
        Group::Health,
        Group::Parameters,
        Group::Policies,
        Group::Vhosts,
        Group::Configuration,
        Group::Definitions,
        Group::Features,
        Group::Operations,
        Group::Objects,
    ];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Help => "Help",
            Group::Node => "Nodes",
            Group::Users => "Users",
            Group::Access => "Access Control",
            Group::Monitoring => "Monitoring and observability",
            Group::Health => "Health checks",
            Group::Parameters => "Parameters",
            Group::Policies => "Policies",
            Group::Vhosts => "Virtual hosts",
            Group::Configuration => "Configuration and Environment",
            Group::Definitions => "Definitions",
            Group::Features => "Feature flags",
            Group::Operations => "Operations",
            Group::Objects => "Queues, exchanges and messages",
        }
    }
}

impl Verb {
    /// What rows of one group have in common.
    pub const fn of(group: Group) -> Verb {
        Verb {
            name: "",
            group,
            arguments: &[],
            options: &[],
            columns: None,
            seconds: 60,
            summary: "",
            run: |_| Ok(()),
        }
    }

    /// All verbs, by group.
    pub fn all() -> impl Iterator<Item = &'static Verb> {
        verbs::TABLES.iter().flat_map(|table| table.iter())
    }

    /// The verb of this name.
    pub fn named(name: &str) -> Option<&'static Verb> {
        Verb::all().find(|verb| verb.name == name)
    }

    /// The name that comes closest to `name`, if one comes close.
    pub fn nearest(name: &str) -> Option<&'static str> {
        let distances = Verb::all().map(|verb| (distance(name, verb.name), verb.name));
        let (distance, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
        (distance <= 3.min(name.len() / 2)).then_some(nearest)
    }

    /// The least and the largest number of arguments.
    pub fn arity(&self) -> (usize, usize) {
        let needed = self.arguments.iter().filter(|(name, _)| !name.starts_with('[')).count();
        let many = self.arguments.iter().any(|(name, _)| name.contains("..."));
        (needed, if many { usize::MAX } else { self.arguments.len() })
    }

    /// Checks what was given before anything is done.
    ///
    /// # Errors
    /// There is too much, too little, or something that this verb does not know.
    pub fn check(&self, given: &Given) -> Result<(), Failure> {
        given.only(self.options)?;
        let (least, most) = self.arity();
        let count = given.arguments().len();
        if count < least {
            return Err(Failure::usage("not enough arguments."));
        }
        if count > most {
            return Err(Failure::usage("too many arguments."));
        }
        self.listed(given).map(|_| ())
    }

    /// The columns that were asked for; without any, the usual ones.
    ///
    /// # Errors
    /// One is unknown.
    pub fn listed(&self, given: &Given) -> Result<Vec<&'static Column>, Failure> {
        let Some(columns) = self.columns else {
            return Ok(Vec::new());
        };
        if columns.usual.is_empty() {
            return Ok(columns.all.iter().collect());
        }
        let asked: Vec<&str> = given.arguments().iter().flat_map(|word| word.split(',')).collect();
        let asked: Vec<&str> =
            asked.into_iter().map(str::trim).filter(|name| !name.is_empty()).collect();
        let names = if asked.is_empty() { columns.usual.split(' ').collect() } else { asked };
        let find = |name: &str| columns.all.iter().find(|column| column.name == name);
        let strange: Vec<&str> = names.iter().copied().filter(|n| find(n).is_none()).collect();
        if !strange.is_empty() {
            let text = format!("Info key(s) {} are not supported", strange.join(","));
            return Err(Failure::usage(text));
        }
        Ok(names.into_iter().filter_map(find).collect())
    }

    /// The usage line, after the program's name.
    pub fn usage(&self) -> String {
        let mut text = String::from(self.name);
        for name in self.options {
            let Some(option) = option(name) else { continue };
            let short = match option.short {
                "" => String::new(),
                letter => format!("|-{letter}"),
            };
            match option.takes {
                Takes::Nothing => text.push_str(&format!(" [--{name}{short}]")),
                Takes::Text(hint) | Takes::Number(hint) => {
                    text.push_str(&format!(" [--{name}{short} {hint}]"));
                }
            }
        }
        for (name, _) in self.arguments {
            text.push(' ');
            text.push_str(name);
        }
        text
    }
}

/// How many letters have to change to make one of the other.
fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut before: Vec<usize> = (0..=two.len()).collect();
    for (row, letter) in one.chars().enumerate() {
        let mut now = vec![row + 1];
        for (column, other) in two.iter().enumerate() {
            let changed = before[column] + usize::from(letter != *other);
            now.push(changed.min(before[column + 1] + 1).min(now[column] + 1));
        }
        before = now;
    }
    before[two.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::failure::Exit;

    fn given(words: &[&str]) -> Given {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Given::parse(&words).unwrap()
    }

    #[test]
    fn every_row_is_whole_and_named_once() {
        let mut names = BTreeSet::new();
        for verb in Verb::all() {
            assert!(names.insert(verb.name), "{} is there twice", verb.name);
            assert!(!verb.summary.is_empty(), "{} has no summary", verb.name);
            for name in verb.options {
                let known = option(name).is_some_and(|option| !option.general);
                assert!(known, "{} takes --{name}", verb.name);
            }
            let optional = |(name, _): &Argument| name.starts_with('[');
            let first = verb.arguments.iter().position(optional).unwrap_or(verb.arguments.len());
            assert!(verb.arguments[first..].iter().all(optional), "{}", verb.usage());
            for (name, summary) in verb.arguments {
                let bare = verb.columns.is_some() && *name == "[<column> ...]";
                assert!(bare || !summary.is_empty(), "{}: {name} has no summary", verb.name);
            }
        }
        assert!(names.len() >= 80, "{}", names.len());
    }

    #[test]
    fn every_row_refuses_too_few_and_too_many_arguments() {
        for verb in Verb::all() {
            let (least, most) = verb.arity();
            let words = |count: usize| {
                let mut words = vec![verb.name];
                words.resize(1 + count, "x");
                given(&words)
            };
            if least > 0 {
                let refused = verb.check(&words(least - 1));
                let Err(Failure::Validation { exit: Exit::Usage, text }) = refused else {
                    panic!("{} takes {} arguments: {refused:?}", verb.name, least - 1);
                };
                assert_eq!(text, "not enough arguments.");
            }
            if most < usize::MAX {
                let refused = verb.check(&words(most + 1));
                let Err(Failure::Validation { exit: Exit::Usage, text }) = refused else {
                    panic!("{} takes {} arguments: {refused:?}", verb.name, most + 1);
                };
                assert_eq!(text, "too many arguments.");
            }
        }
    }

    #[test]
    fn every_row_refuses_options_of_others() {
        for verb in Verb::all() {
            let strange = crate::options::OPTIONS
                .iter()
                .filter(|option| !option.general && !verb.options.contains(&option.long));
            for option in strange {
                let flag = match option.takes {
                    Takes::Nothing => format!("--{}", option.long),
                    Takes::Text(_) | Takes::Number(_) => format!("--{}=1", option.long),
                };
                let refused = given(&[verb.name, &flag]).only(verb.options);
                assert!(refused.is_err(), "{} takes {flag}", verb.name);
            }
        }
    }

    #[test]
    fn every_list_knows_its_usual_columns_and_refuses_others() {
        for verb in Verb::all() {
            let Some(columns) = verb.columns else { continue };
            let usual = verb.listed(&given(&[verb.name])).unwrap();
            assert!(!usual.is_empty(), "{}", verb.name);
            if !columns.usual.is_empty() {
                let refused = verb.check(&given(&[verb.name, "name,nonsense", "rubbish"]));
                let Err(Failure::Validation { exit: Exit::Usage, text }) = refused else {
                    panic!("{}: {refused:?}", verb.name);
                };
                assert!(text.ends_with("nonsense,rubbish are not supported"), "{text}");
            }
        }
    }

    #[test]
    fn columns_may_be_separated_by_commas() {
        let verb = Verb::named("list_queues").unwrap();
        for words in [&["name", "messages"][..], &["name,messages"], &["name,", "messages"]] {
            let words = [&["list_queues"], words].concat();
            let names: Vec<&str> =
                verb.listed(&given(&words)).unwrap().iter().map(|column| column.name).collect();
            assert_eq!(names, ["name", "messages"]);
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        for (name, nearest) in [
            ("list_queus", Some("list_queues")),
            ("lsit_users", Some("list_users")),
            ("add-user", Some("add_user")),
            ("frobnicate", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(Verb::nearest(name), nearest, "{name}");
        }
    }
}
