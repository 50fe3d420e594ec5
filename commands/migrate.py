"""Brings the tables up to date and lays the default rate card; every start does it too."""

from __future__ import annotations

import argparse

from commands.installation import installation
from data.postgres.schema import current

HELP = "bring the database up to date and leave (every start does it too)"


def configure(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(args: argparse.Namespace) -> int:
    """Open the installation once: that is all it takes."""
    with installation() as store:
        print(f"The database is at {current(store.engine)}.")
    return 0
