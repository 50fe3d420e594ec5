"""A peer for rating a file: DuckDB's read_csv and one SQL statement, into Parquet."""


from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb

from bench.measure import Measured
from bench.rows import KEPT, digest, stored

_SECONDS = ("(case when length({0}) > 8 then left({0}, -9)::bigint else 0 end * 86400 + {0}[-8:-7]::bigint * 3600"
            " + {0}[-5:-4]::bigint * 60 + {0}[-2:]::bigint)")
_EPOCH = "epoch({0}::timestamp)::bigint"
SQL = f"""
with read as (
  select "JobID" as job_id, "JobIDRaw"::bigint as job_id_raw, "JobName" as job_name, "User" as user_name, "Account" as account_name,
    "Partition" as partition_name, "QOS" as qos, "Cluster" as cluster, split_part("State", ' ', 1) as state, "NodeList" as node_list,
    {_EPOCH.format('"Submit"')} as submit_at, {_EPOCH.format('"Start"')} as start_at, {_EPOCH.format('"End"')} as end_at,
    {_SECONDS.format('"Elapsed"')} as elapsed_seconds, {_SECONDS.format('"TotalCPU"')} as cpu_used_core_seconds,
    "AllocTRES" as told, regexp_extract("AllocTRES", 'cpu=(\\d+)', 1)::bigint as alloc_cpus,
    coalesce(nullif(regexp_extract("AllocTRES", 'gres/gpu=(\\d+)', 1), '')::bigint, 0) as alloc_gpus,
    (regexp_extract("AllocTRES", 'mem=([\\d.]+)', 1)::double
     * case when regexp_matches("AllocTRES", 'mem=[\\d.]+G') then 1024 else 1 end)::bigint as alloc_mem_mib
  from read_csv($path, delim = '|', quote = '', escape = '', all_varchar = true, header = true)
), used as (
  select *, user_name as payer, cpu_used_core_seconds as cpu_core_seconds, alloc_gpus * elapsed_seconds as gpu_seconds,
    alloc_mem_mib * elapsed_seconds as mem_mib_seconds, alloc_mem_mib * elapsed_seconds as mem_used_mib_seconds,
    cluster || '/' || job_id_raw || '/' || submit_at as run_key,
    regexp_replace(told, 'mem=[^,]*', 'mem=' || case when alloc_mem_mib % 1048576 = 0 then (alloc_mem_mib // 1048576) || 'T'
      when alloc_mem_mib % 1024 = 0 then (alloc_mem_mib // 1024) || 'G' else alloc_mem_mib || 'M' end) as alloc_tres
  from read
), exact as (
  select *, cpu_core_seconds::hugeint * 1024000000 as c, gpu_seconds::hugeint * 5120000000 as g, mem_mib_seconds::hugeint * 500000 as m
  from used
), charged as (
  select *, (c // 3686400)::bigint as cpu_micro, (g // 3686400)::bigint as gpu_micro, (m // 3686400)::bigint as mem_micro,
    ((((c + g + m) * 2 + 36864000000) // 73728000000) * 10000)::bigint as cost_micro, 0::bigint as extra_seconds, 0::bigint as extra_micro
  from exact
)
select {", ".join(KEPT)} from (select *, cost_micro - cpu_micro - gpu_micro - mem_micro as rounding_micro from charged)
"""


def main(path: Path, out: Path) -> str:
    """Figures of one run, and what it made."""
    with Measured() as measured:
        connection = duckdb.connect(config={"threads": "2", "memory_limit": "384MB"})
        connection.execute(f"copy ({SQL.replace('$path', repr(str(path)))}) to '{out}' (format parquet, compression lz4)")
        connection.close()
    return json.dumps({**measured.figures, **digest(stored(out))})


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))
