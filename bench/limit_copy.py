"""The limit for storing: a bare COPY of the rows the product has kept, into a table like theirs without indexes or checks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psycopg

from bench.measure import Measured

BLOCK = 1 << 20


def main(url: str, postmaster: int, rows: Path) -> str:
    """Figures of one COPY from the file `rows`, which is written (not measured) from what the product kept."""
    with psycopg.connect(url) as connection:
        with rows.open("wb") as file, connection.cursor().copy("copy usage_record to stdout (format binary)") as told:
            file.writelines(told)
        connection.execute("create table bare as select * from usage_record limit 0")
        connection.commit()
        with Measured(postmaster) as measured:
            with rows.open("rb") as file, connection.cursor().copy("copy bare from stdin (format binary)") as copy:
                while block := file.read(BLOCK):
                    copy.write(block)
            connection.commit()
        found = connection.execute("select count(*), sum(cost_micro)::bigint from bare").fetchone()
    assert found is not None
    return json.dumps({**measured.figures, "rows": found[0], "cost_micro": found[1]})


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
