"""All checks of this house: lint, types, then every test, on a server of their own."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

HELP = "run the tests (words after it go to pytest; -m long for the longest)"
TAKES_REST = True
ROOT = Path(__file__).resolve().parents[1]
CHECKS = {"ruff": ["-m", "ruff", "check", "."], "mypy": ["-m", "mypy"]}


def configure(parser: argparse.ArgumentParser) -> None:
    """All other words are pytest's."""
    parser.add_argument("--no-lint", action="store_true", help="leave out ruff and mypy")
    parser.add_argument("--spark", action="store_true", help="also what rates on Apache Spark (450 MB the first time, and Java)")


def run(args: argparse.Namespace) -> int:
    """Lint and types first, they are quick; then pytest, whose exit code is ours unless lint or types failed."""
    broken = [] if args.no_lint else [name for name, words in CHECKS.items() if _python(words)]
    _find("chromium", "chromium", "the browser tests")
    if args.spark:
        _find("java", "openjdk-17-jre-headless", "the tests on Spark")
    workers = str((os.cpu_count() or 1) + 1)        # one of them always waits for another program
    parallel = [] if any(word.startswith("-n") for word in args.rest) else ["-n", workers, "--dist", "loadfile", "--no-loadscope-reorder"]
    code = _python(["-m", "pytest", *parallel, *args.rest])
    if broken:
        print(f"{' and '.join(broken)} found something (see above).", file=sys.stderr)
    return code or (1 if broken else 0)


def _python(words: list[str]) -> int:
    print("·", " ".join(words[1:]), flush=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, check=False).returncode


def _find(program: str, package: str, what: str) -> None:
    """Debian's package for `what`; where it cannot be had these tests say why they are skipped."""
    if shutil.which(program) or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print(f"· installing {package} for {what}", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
        done = subprocess.run(["apt-get", *words], env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"  not possible: {(done.stderr.strip().splitlines() or ['apt-get failed'])[-1]}", flush=True)
