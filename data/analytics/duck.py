"""DuckDB with the lake attached: one connection a process, a cursor a call. Extensions come from their pinned wheels by
path; nothing is fetched by itself, and the configuration is locked before any question is asked.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb
from pydantic import SecretStr

from data.settings import Settings

SCHEMA = "lake"                 # where the catalog lies in Postgres
EXTENSIONS = ("ducklake", "postgres_scanner")
_S3_SMALL = ("set global s3_uploader_max_filesize = '50GB'",        # its ten-thousandth is the buffer of each file that is written
             "set global s3_uploader_thread_limit = 4")


def opened(url: str, settings: Settings) -> duckdb.DuckDBPyConnection:
    """A connection with the lake attached as `lake` and Postgres, read-only, as `books`. Raises duckdb.Error."""
    remote = settings.lake_path.startswith("s3://")
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false",
                                        "allow_community_extensions": "false", "memory_limit": "384MB", "threads": "2",
                                        "preserve_insertion_order": "false",
                                        "partitioned_write_flush_threshold": "65536",
                                        "temp_directory": str(Path(settings.home) / "spool" / "duckdb")})
    connection.execute("set global TimeZone = 'UTC'")
    connection.execute("set global parquet_metadata_cache = true")      # files are never written twice
    for name in (*EXTENSIONS, *(["httpfs"] if remote else [])):
        connection.execute(f"load {quoted(_extension(name))}")
    if remote:
        for statement in (_s3_secret(settings), *_S3_SMALL):
            connection.execute(statement)
    else:
        Path(settings.lake_path).mkdir(parents=True, exist_ok=True)
    connection.execute(f"attach {quoted('ducklake:postgres:' + url)} as lake (data_path {quoted(settings.lake_path)},"
                       f" metadata_schema '{SCHEMA}', override_data_path true, data_inlining_row_limit 0)")
    connection.execute(f"attach {quoted(url)} as books (type postgres, read_only)")
    connection.execute("set lock_configuration = true")
    return connection


def _extension(name: str) -> str:
    """Path of the extension in its wheel; where there is no wheel, its name: what the operator installed once."""
    found = importlib.util.find_spec(f"duckdb_extension_{name}")
    if found is None or not found.origin:
        return name
    paths = sorted(Path(found.origin).parent.glob(f"extensions/v{duckdb.__version__}/*.duckdb_extension"))
    return str(paths[0]) if paths else name


def _s3_secret(settings: Settings) -> str:
    """Access to S3 as the settings say; an endpoint names another service than Amazon's, whose buckets stand in the path."""
    told = {"key_id": settings.s3_key_id, "secret": _told(settings.s3_secret), "session_token": _told(settings.s3_session_token),
            "region": settings.s3_region}
    words = [f"{word} {quoted(value)}" for word, value in told.items() if value]
    if settings.s3_endpoint:
        scheme, _, host = settings.s3_endpoint.partition("://")
        words += [f"endpoint {quoted(host)}", "url_style 'path'", f"use_ssl {scheme == 'https'}"]
    return f"create secret (type s3, {', '.join(words)})"


def _told(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def quoted(text: str) -> str:
    """`text` as a literal. Where one can be bound instead, bind it, but on the way of a batch: the first value that is bound
    makes DuckDB import pandas, which takes longer than all else there."""
    return "'" + text.replace("'", "''") + "'"
