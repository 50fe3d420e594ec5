"""Files that a click made stay for a minute, for the browser that was told where they are to fetch them.

Streamlit itself forgets such a file when the second script has ended since, anybody's: with a few dozen pages open, each of which
looks for notices, that is sooner than a browser far away asks for it, and the download fails.
"""

from __future__ import annotations

from time import monotonic

from streamlit.runtime import media_file_manager

SECONDS = 60


class KeptFile(media_file_manager.MediaFileMetadata):
    """What Streamlit notes of a file; not to be deleted before its time."""

    def __init__(self, kind: media_file_manager.MediaFileKind = media_file_manager.MediaFileKind.MEDIA) -> None:
        super().__init__(kind)
        self.until = monotonic() + SECONDS

    def mark_for_delete(self) -> None:
        """It goes when the next script ends, but not within its minute."""
        if monotonic() >= self.until:
            super().mark_for_delete()


def keep() -> None:
    """Let Streamlit's keeper of files note this of each."""
    media_file_manager.MediaFileMetadata = KeptFile  # type: ignore[misc]
