#!/usr/bin/env python3
"""Makes the manual page and the bash completion from what the binary prints for --help.

Usage: scripts/make_manual.py BINARY man|completion
Reads the help of BINARY and of all its verbs; writes the page (man(7) macros) or the completion
to standard output. The help texts are the only source: an option is documented there, once.
"""
import re
import subprocess
import sys
import typing

OPTION = re.compile(r"  (?:-(?P<short>\w) \[ )?--(?P<name>[\w-]+)(?: \])?"
                    r"(?: (?P<value>[^\s(]\S*)(?: \(=(?P<default>[^)]*)\))?)?"
                    r"(?:\s+(?P<text>\S.*))?")
# Completed as directories and as files; other values are not completed.
FOLDERS = re.compile(r"DIR$")
FILES = re.compile(r"FILE|STORE|\.")


class Option(typing.NamedTuple):
    name: str
    short: str  # empty: none
    value: str  # what the help calls it; empty: takes none
    default: str
    text: str


class Help(typing.NamedTuple):
    """The help of one verb, in parts."""
    usage: list  # of lines, without 'usage:'
    text: list  # lines between usage and options
    options: list
    sections: list  # of (heading, lines) behind the options


def help_of(binary, *verb):
    return subprocess.run([binary, *verb, "--help"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.replace(" \n", "\n").splitlines()


def read_verbs(lines):
    """Returns {verb: what it does} from the general help."""
    begin = next(i for i, line in enumerate(lines) if line.startswith("usage:")) + 2
    verbs = {}
    for line in lines[begin:]:
        if not (match := re.fullmatch(r"  (\w+)  +(\S.*)", line)):
            break
        verbs[match[1]] = match[2]
    return verbs


def read_options(lines):
    options = []
    for line in lines:
        if match := OPTION.fullmatch(line):
            options.append(Option(match["name"], *(match[key] or "" for key in
                                                   ("short", "value", "default", "text"))))
        elif line.startswith(" " * 10) and options:
            text = f"{options[-1].text} {line.strip()}".strip()
            options[-1] = options[-1]._replace(text=text)
        else:
            sys.exit(f"make_manual: not an option and no continuation: '{line}'")
    return options


def read_help(lines):
    first_blank = lines.index("")
    at = lines.index("options:")
    behind = lines.index("", at) if "" in lines[at:] else len(lines)
    sections = []
    for line in lines[behind:]:
        if line and not line.startswith(" ") and not (sections and sections[-1][1]):
            sections.append((line, []))
        elif line and not line.startswith(" ") and sections[-1][1][-1] == "":
            sections.append((line, []))
        elif sections:
            sections[-1][1].append(line)
    usage = [line.removeprefix("usage:").strip() for line in lines[:first_blank]]
    return Help(usage, lines[first_blank + 1:at], read_options(lines[at + 1:behind]), sections)


def words_of(verb, text):
    """Returns the bare words that the usage lines allow behind a verb, e.g. info and convert."""
    words = []
    for line in text.usage:
        match = re.match(rf"sparseserve {verb} ([a-z]\w*)\b", line)
        if match and match[1] not in words:
            words.append(match[1])
    return words


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def verbatim(lines):
    while lines and not lines[-1]:
        lines = lines[:-1]
    return [".nf", *map(escape, lines), ".fi"]


def man_option(option):
    names = ([f"-{option.short}"] if option.short else []) + [f"--{option.name}"]
    head = ", ".join(f"\\fB{escape(name)}\\fR" for name in names)
    if option.value:
        head += f" \\fI{escape(option.value)}\\fR"
    default = f" (default: {option.default})" if option.default else ""
    return [".TP", head, escape(option.text + default)]


def man_verb(verb, what, text):
    page = [f".SH {verb.upper()}", escape(what[0].upper() + what[1:] + ".")]
    page += [".PP", *verbatim(text.usage)]
    page += [".PP", *verbatim(text.text)]
    for option in text.options:
        page += man_option(option)
    for heading, lines in text.sections:
        page += [".PP", f"\\fB{escape(heading)}\\fR", *verbatim(lines)]
    return page


def manual(version, general, verbs, texts):
    number, _, commit = version.partition(" ")
    page = ['.\\" Made by scripts/make_manual.py from the help texts.',
            f'.TH SPARSESERVE 1 "" "sparseserve {number} {commit}" "User Commands"',
            ".SH NAME", "sparseserve \\- " + escape(general[0].removeprefix("sparseserve ")),
            ".SH SYNOPSIS", ".B sparseserve", "\\fIVERB\\fR [\\fIoptions\\fR]",
            ".SH VERBS"]
    for verb, what in verbs.items():
        page += [".TP", f"\\fB{verb}\\fR", escape(what)]
    for verb, what in verbs.items():
        page += man_verb(verb, what, texts[verb])
    begin = next(i for i, line in enumerate(general) if line.startswith("  --help"))
    page += [".SH GENERAL OPTIONS, EXAMPLES, EXIT CODES", *verbatim(general[begin:])]
    page += [".SH FILES", ".TP", "\\fI../share/sparseserve\\fR beside the binary",
             "configs/, models/, calibration/ and traces/: experiments, and what they can name.",
             ".TP", "\\fI../share/doc/sparseserve\\fR beside the binary",
             "What the help texts call README.md, configs/README.md and so on."]
    return "\n".join(page)


def completion(verbs, texts):
    def case(key, words, indent):
        return f'{indent}{key}) words="{" ".join(words)}" ;;'

    options = [case(verb, words_of(verb, texts[verb]) +
                    [f"--{option.name}" for option in texts[verb].options], "    ")
               for verb in verbs]
    values = {"folder": set(), "file": set(), "other": set()}
    for verb in verbs:
        for option in texts[verb].options:
            if option.value:
                kind = ("folder" if FOLDERS.search(option.value) else
                        "file" if FILES.search(option.value) else "other")
                values[kind].add(f"{verb}:--{option.name}")
    patterns = {kind: "|".join(sorted(names)) for kind, names in values.items()}
    return f"""\
# bash completion of sparseserve. Made by scripts/make_manual.py from the help texts.
_sparseserve() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} verb=${{COMP_WORDS[1]}} words
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W "{" ".join(verbs)} --help --version" -- "$current"))
    return
  fi
  case $verb:${{COMP_WORDS[COMP_CWORD-1]}} in
    {patterns["folder"]})
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$current")
      return ;;
    {patterns["file"]})
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return ;;
    {patterns["other"]}) return ;;
  esac
  case $verb in
{chr(10).join(options)}
    *) return ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ $current != -* ]]; then
    compopt -o filenames 2>/dev/null
    local paths
    mapfile -t paths < <(compgen -f -- "$current")
    COMPREPLY+=("${{paths[@]}}")
  fi
}}
complete -F _sparseserve sparseserve"""


def main(arguments):
    if len(arguments) != 2 or arguments[1] not in ("man", "completion"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    binary, kind = arguments
    general = help_of(binary)
    verbs = read_verbs(general)
    texts = {verb: read_help(help_of(binary, verb)) for verb in verbs}
    if kind == "completion":
        print(completion(verbs, texts))
        return 0
    version = subprocess.run([binary, "--version"], check=True, text=True, stdout=subprocess.PIPE)
    print(manual(version.stdout.strip().removeprefix("sparseserve "), general, verbs, texts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
