"""The filtered jobs as files to take away."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard import exports, reads, tables, words
from dashboard.usage_filters import Shown


def export(shown: Shown, count: int) -> None:
    """The filtered jobs as files, made when they are asked for."""
    with st.popover("Export", icon=":material/download:", disabled=not count, key="export"):
        st.markdown(tables.small(f"{words.count(count, 'job')}, exactly as filtered"))
        name = f"usage-{shown.period.first}-{shown.period.last}"
        st.download_button("CSV", _file(shown, exports.csv), f"{name}.csv", "text/csv", on_click="ignore", key="csv",
                           width="stretch")
        st.download_button("Parquet", _file(shown, exports.parquet), f"{name}.parquet", "application/vnd.apache.parquet",
                           on_click="ignore", key="parquet", width="stretch")


def _file(shown: Shown, make: Callable[..., bytes]) -> Callable[[], bytes]:
    def made() -> bytes:
        found = reads.runs(shown.scope, shown.filters)[1]
        return make(found.with_columns(exports.exact("cost_micro").alias("cost")))
    return made
