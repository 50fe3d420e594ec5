"""What follows from trouble with a node: try again or give up, trust the node or not, and what its holder is told. Pure."""

from __future__ import annotations

from engine.provisioning import NodeTrouble, Trouble

SETUP_TRIES = 4                 # while a person waits: some ten seconds of pauses, and what the tries themselves take
SETUP_CLAIMS = 8                # after so many, whatever happened to those who tried
UNREACHABLE = frozenset({Trouble.DOWN, Trouble.SILENT, Trouble.DROPPED, Trouble.TIMED_OUT, Trouble.KEY_REFUSED})
PASSING = frozenset({Trouble.DOWN, Trouble.SILENT, Trouble.DROPPED, Trouble.TIMED_OUT, Trouble.BUSY, Trouble.FAILED})
DISTRUSTED = frozenset({Trouble.HOST_KEY, Trouble.KEY_REFUSED, Trouble.OCCUPIED, Trouble.FOREIGN, Trouble.UNMARKED, Trouble.LEFT_OVER,
                        Trouble.UNREADABLE, Trouble.NOT_PREPARED, Trouble.FULL})
AWAY, STRANGE, TAKEN, BROKEN, FULL, UNDONE = (
    "The node did not answer.", "The node is not as we know it and was taken out.", "Something else was found on the node.",
    "The node could not do it.", "The node's disk is full.", "It could not be set up in time.")
_WORDS = {Trouble.HOST_KEY: STRANGE, Trouble.KEY_REFUSED: STRANGE, Trouble.UNREADABLE: STRANGE, Trouble.OCCUPIED: TAKEN,
          Trouble.FOREIGN: TAKEN, Trouble.UNMARKED: TAKEN, Trouble.FULL: FULL, Trouble.DOWN: AWAY, Trouble.SILENT: AWAY,
          Trouble.DROPPED: AWAY, Trouble.TIMED_OUT: AWAY}


def worth_another_try(trouble: NodeTrouble, attempt: int) -> bool:
    """Whether to try again to set up a node, after `attempt` tries (from 1)."""
    return trouble.trouble in PASSING and attempt < SETUP_TRIES


def distrusted(trouble: NodeTrouble) -> bool:
    """Whether nobody gets the node until somebody looked."""
    return trouble.trouble in DISTRUSTED


def unreachable(trouble: NodeTrouble) -> bool:
    """Whether the node could not be reached, so that its holder may not reach it either."""
    return trouble.trouble in UNREACHABLE


def words_for_holder(trouble: NodeTrouble) -> str:
    """Why they do not get the node, in a sentence without the site's particulars."""
    return _WORDS.get(trouble.trouble, BROKEN)


def cleanup_cause(allocation: str) -> str:
    """What the reason begins with when a node is quarantined because an allocation could not be cleaned from it."""
    return f"Clean-up of {allocation}:"
