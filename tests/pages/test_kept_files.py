"""A file that a click made, while scripts of other people end."""

from __future__ import annotations

import pytest
from streamlit.runtime import media_file_manager
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from dashboard import kept_files


def made() -> tuple[MediaFileManager, str]:
    """A download that was asked for, and the name its address has."""
    files = MediaFileManager(MemoryMediaFileStorage("/media"))
    url = files.execute_deferred(files.add_deferred(lambda: b"%PDF", "application/pdf", "0.1", "receipt.pdf"))
    return files, url.removeprefix("/media/")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass when a test says so, for files that are kept."""
    now = [1000.0]
    monkeypatch.setattr(kept_files, "monotonic", lambda: now[0])
    monkeypatch.setattr(media_file_manager, "MediaFileMetadata", media_file_manager.MediaFileMetadata)     # put back afterwards
    kept_files.keep()
    return now


def test_it_waits_for_its_browser(clock: list[float]) -> None:
    files, name = made()
    for _ in range(5):
        files.remove_orphaned_files()
        clock[0] += 11
    found = files.read_file(name)
    assert found is not None and found.content == b"%PDF"


def test_after_a_minute_it_goes(clock: list[float]) -> None:
    files, name = made()
    clock[0] += kept_files.SECONDS
    files.remove_orphaned_files()
    files.remove_orphaned_files()
    assert files.read_file(name) is None


def test_streamlit_alone_forgets_it_when_two_scripts_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why any of this: when it does no more, `kept_files` may go."""
    monkeypatch.setattr(media_file_manager, "MediaFileMetadata", kept_files.KeptFile.__base__)
    files, name = made()
    files.remove_orphaned_files()
    files.remove_orphaned_files()
    assert files.read_file(name) is None
