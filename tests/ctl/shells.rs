//! Do shells complete what they should? With the shells that are on this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::PROGRAM;
use crate::server::Server;

/// What bash offers for `line`, with the broker in `directory` that answers with `answers`; and
/// what the broker was asked.
fn bash(
    line: &str,
    directory: &Path,
    answers: &[(u16, &'static str)],
) -> (Vec<String>, Vec<String>) {
    let data = directory.join("leveret-data");
    fs::create_dir_all(&data).unwrap();
    let server = Server::start(&data.join("leveret.sock"), answers.iter().copied());
    let script = "eval \"$(leveretctl completion bash)\"\nCOMP_LINE=$1 COMP_POINT=${#1}\n\
                  _leveretctl\n(( ${#COMPREPLY[@]} == 0 )) || printf '%s\\n' \"${COMPREPLY[@]}\"";
    let program = Path::new(PROGRAM).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", script, "bash", line])
        .current_dir(directory)
        .env("PATH", path)
        .output()
        .unwrap();
    let asked = server.stop();
    let _ = fs::remove_file(data.join("leveret.sock"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
    let offers = String::from_utf8(output.stdout).unwrap();
    (offers.lines().map(str::to_owned).collect(), asked)
}

const NAMES: (u16, &str) = (200, r#"[{"name":"a b"},{"name":"it's"},{"name":"x:y"}]"#);

#[test]
fn bash_completes_verbs_options_columns_and_names() {
    let directory = tempfile::tempdir().unwrap();
    let offered = |line: &str, answers: &[_]| bash(line, directory.path(), answers);
    let mut verbs = offered("leveretctl list_us", &[]).0;
    verbs.sort_unstable();
    let known =
        ["list_user_limits", "list_user_permissions", "list_user_topic_permissions", "list_users"];
    assert_eq!(verbs, known);
    assert_eq!(offered("leveretctl list_queues --off", &[]).0, ["--offline"]);
    assert_eq!(offered("leveretctl list_queues messages_un", &[]).0.len(), 2);
    assert_eq!(offered("leveretctl list_queues --formatter e", &[]).0, ["erlang"]);
    let (names, asked) = offered("leveretctl delete_queue -p v ", &[NAMES]);
    for name in ["a\\ b", "it\\'s", "x:y"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    assert!(asked[0].starts_with("GET /api/queues/v?"), "{asked:?}");
    assert_eq!(offered("leveretctl set_user_tags a", &[NAMES]).0, ["a\\ b"]);
    assert_eq!(offered("leveretctl list_queues -p i", &[NAMES]).0, ["it\\'s"]);
    // bash replaces only what stands behind the colon.
    assert_eq!(offered("leveretctl delete_queue x:", &[NAMES]).0, ["y"]);
    // A broker that is not there, or refuses, is nothing to complete from.
    assert_eq!(offered("leveretctl delete_user a", &[(401, "")]).0, Vec::<String>::new());
}

#[test]
fn other_shells_can_read_their_scripts() {
    let directory = tempfile::tempdir().unwrap();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let output = Command::new(PROGRAM).args(["completion", shell]).output().unwrap();
        let file = directory.path().join(shell);
        fs::write(&file, &output.stdout).unwrap();
        // One that is not installed has nothing to say.
        let Ok(output) = Command::new(shell).arg(check).arg(&file).output() else { continue };
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.is_empty(), "{shell}: {told}");
    }
}
