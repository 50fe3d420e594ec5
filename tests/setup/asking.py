"""`python -m tests.setup.asking HOME [and stay]`: a user of the server there, that asks it one question, and stays for a minute."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psycopg

from data.postgres.server import Server


def main(home: Path, stay: bool) -> None:
    """Ask, and say the answer."""
    server = Server(home, durable=False)
    with server.used():
        with psycopg.connect(server.url) as connection:
            print(*connection.execute("select 7").fetchone() or (), flush=True)
        if stay:
            time.sleep(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), len(sys.argv) > 2)
