#!/usr/bin/env python3
"""Makes man pages and shell completions of the programs out of what they say of themselves.

Usage: scripts/manpages.py PROGRAMS OUT

PROGRAMS  the directory of the built programs
OUT       gets man/*.1, man/*.8 and completions/{bash,zsh,fish}/*
"""

import os
import re
import subprocess
import sys

SECTIONS = {"leveret": 8, "leveretctl": 1, "leveret-bench": 1}
SEE_ALSO = ", ".join(f"\\fB{name.replace('-', chr(92) + '-')}\\fP({n})" for name, n in SECTIONS.items())
OPTION = re.compile(r"^\s+(?:(-\w), )?(--[\w-]+)(?:[ =](<?[A-Za-z]+>?))?(?:\s{2,}(.*))?$")


def said(program, *arguments):
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0 or not done.stdout.strip():
        sys.exit(f"manpages.py: {program} {' '.join(arguments)}: exit code {done.returncode}")
    return done.stdout.strip("\n").split("\n")


def roff(text):
    """A line as it stands: no dash becomes another character, no dot a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\\&" + text if text.startswith((".", "\\(aq")) else text


def literally(lines):
    return [".nf", *(roff(line) for line in lines), ".fi"]


def page(name, summary, version, body):
    section = SECTIONS[name]
    head = [f'.TH {name.upper()} {section} "" "{version}" "Leveret"', ".SH NAME"]
    return "\n".join([*head, f"{roff(name)} \\- {roff(summary)}", *body, ".SH SEE ALSO", SEE_ALSO, ""])


def of_help(name, lines):
    """The page of a program whose help is a sentence and parts with a heading."""
    summary, body, heading = [], [], None
    part = []

    def end():
        if heading is None:
            summary.extend(part)
        elif any(line.strip() for line in part):
            body.extend([f".SH {roff(heading.upper())}", *options_or_text(part)])
        part.clear()

    for line in lines:
        found = re.match(r"^(Usage|[A-Z][\w ,]*?)(?:, with [^:]*)?:( .*)?$", line)
        if found:
            end()
            heading = "synopsis" if found[1] == "Usage" else found[1]
            if found[2]:
                part.append(found[2].strip())
        else:
            part.append(line)
    end()
    text = " ".join(" ".join(summary).split())
    short = re.sub(rf"^{name},? (?:is )?", "", text).split(". ")[0].rstrip(".")
    about = [".SH DESCRIPTION", roff(text)]
    return short, body[: first_part(body)] + about + body[first_part(body) :]


def first_part(body):
    """Where the second heading stands: behind the synopsis."""
    headings = [n for n, line in enumerate(body) if line.startswith(".SH")]
    return headings[1] if len(headings) > 1 else len(body)


def options_or_text(lines):
    out, plain = [], []
    for line in lines:
        if OPTION.match(line):
            out += literally(plain) if any(p.strip() for p in plain) else []
            plain.clear()
            left, _, right = line.strip().partition("  ")
            out += [".TP", f"\\fB{roff(left)}\\fP", roff(right.strip())]
        elif out and not plain and line.startswith(" " * 8) and out[-1] != ".fi":
            out.append(roff(line.strip()))
        else:
            plain.append(line)
    if any(p.strip() for p in plain):
        out += [".PP", *literally(plain)] if out else literally(plain)
    return out


def of_verbs(program, lines):
    """The page of leveretctl: what its help lists, and the help of every command."""
    verbs = [line.split()[0] for line in lines if re.match(r"^   \w+ ", line)]
    synopsis = next(line for line in lines if line.startswith("leveretctl "))
    body = [".SH SYNOPSIS", roff(synopsis), ".SH DESCRIPTION"]
    body += [roff("rabbitmqctl's verbs for the broker leveret."), ".SH COMMANDS"]
    for verb in verbs:
        own = said(program, "help", verb)
        own = own[: own.index("General Options")] if "General Options" in own else own
        own = [line.replace("\t", "    ") for line in own if line != "Usage"]
        while own and not own[0].strip():
            own.pop(0)
        body += [f".SS {roff(verb)}", *literally(own)]
    general = said(program, "help", verbs[0])
    at = general.index("General Options")
    body += [".SH GENERAL OPTIONS", *options_or_text(general[at + 1 :])]
    return "operate a leveret broker, with rabbitmqctl's verbs", body


def completions(name, lines):
    options = [found.groups() for found in map(OPTION.match, lines) if found]
    words = " ".join(option for _, option, _, _ in options)
    function = "_" + name.replace("-", "_")
    bash = (
        f'{function}() {{\n    case $3 in\n        --config | --data-dir | --self-test) '
        f'COMPREPLY=($(compgen -f -- "$2")); return ;;\n    esac\n'
        f'    COMPREPLY=($(compgen -W "{words}" -- "$2"))\n}}\n'
        f"complete -o filenames -F {function} {name}\n"
    )
    zsh, fish = [f"#compdef {name}", "_arguments \\"], []
    for short, option, value, text in options:
        text = re.sub(r"[\[\]:'\"`\\]", "", text or "")
        files = option in ("--config", "--data-dir", "--self-test")
        takes = f":{value.strip('<>')}:{'_files' if files else ''}" if value else ""
        zsh.append(f"    '{option}[{text}]{takes}' \\")
        line = f"complete -c {name} -l {option[2:]}"
        line += f" -s {short[1:]}" if short else ""
        line += (" -r" if files else " -x") if value else ""
        fish.append(f"{line} -d '{text}'")
    zsh[-1] = zsh[-1].rstrip(" \\")
    return {"bash": bash, "zsh": "\n".join(zsh) + "\n", "fish": "\n".join(fish) + "\n"}


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def main():
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    programs, out = sys.argv[1:]
    version = said(os.path.join(programs, "leveret"), "--version")[0]
    for name, section in SECTIONS.items():
        program = os.path.join(programs, name)
        if name == "leveretctl":
            summary, body = of_verbs(program, said(program, "help"))
            shells = {
                shell: "\n".join(said(program, "completion", shell)) + "\n"
                for shell in ("bash", "zsh", "fish")
            }
        else:
            lines = said(program, "--help")
            summary, body = of_help(name, lines)
            shells = completions(name, lines)
        write(os.path.join(out, "man", f"{name}.{section}"), page(name, summary, version, body))
        files = {"bash": name, "zsh": f"_{name}", "fish": f"{name}.fish"}
        for shell, text in shells.items():
            write(os.path.join(out, "completions", shell, files[shell]), text)


main()
