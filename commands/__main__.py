"""Finds the command and runs it: one file here is one command. A refusal is one sentence on stderr and an exit code.

The list of commands is read from the files themselves, without importing them, so that it is quick and true.
Exit codes: 0 done, 1 refused, 2 asked wrongly, 3 a whole batch set aside, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent


def main(words: list[str]) -> int:
    """Run the command named by the first of `words`; its exit code."""
    known = listed()
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview(known))
        return 0
    name = words[0]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        print(f"There is no command {name}.{f' Did you mean {near[0]}?' if near else ''} "
              "./corehours --help lists them all.", file=sys.stderr)
        return 2
    return run(name, words[1:])


def listed() -> dict[str, str]:
    """Every command and its one line: the files here that say HELP."""
    found = {}
    for path in sorted(HERE.glob("*.py")):
        for node in ast.parse(path.read_bytes()).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and target.id == "HELP" and isinstance(value, ast.Constant):
                found[path.stem.replace("_", "-")] = str(value.value)
    return found


def overview(known: dict[str, str]) -> str:
    """What `--help` prints."""
    wide = max(map(len, known), default=0)
    lines = [f"  {name:<{wide}}  {text}" for name, text in known.items()]
    return "\n".join(["Corehours: one bill for every way a lab computes.", "",
                      "usage: ./corehours COMMAND [options]      ./corehours COMMAND --help", "", *lines,
                      "", "  --prepare only makes the Python environment, for images."])


def run(name: str, words: list[str]) -> int:
    """Import the command, read its options, do it."""
    module = importlib.import_module(f"commands.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"corehours {name}", description=module.HELP)
    module.configure(parser)
    if getattr(module, "TAKES_REST", False):        # words it hands on to another program
        args, rest = parser.parse_known_args(words)
        args.rest = rest
    else:
        args = parser.parse_args(words)
    from commands.refusals import told
    with told():
        return int(module.run(args) or 0)


def stopped(*_: object) -> NoReturn:
    """SIGTERM ends a command as Ctrl-C does: what it holds is given back."""
    raise SystemExit(143)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGINT, signal.default_int_handler)    # also where a shell started us with it ignored
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:                   # a library was interrupted and wrapped it
        if isinstance(error.__cause__, SystemExit | KeyboardInterrupt):
            sys.exit(143 if isinstance(error.__cause__, SystemExit) else 130)
        raise
    except BrokenPipeError:                         # `| head` had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
