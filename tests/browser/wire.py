"""Streamlit's websocket spoken by hand: what somebody gets who is no browser and sends what they like."""

from __future__ import annotations

from dataclasses import dataclass

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Subprotocol


@dataclass(frozen=True, slots=True)
class Answer:
    """One script run: the id of its Streamlit session and every message as text."""

    session_id: str
    words: str


def run_script(url: str, path: str = "", headers: dict[str, str] | None = None, session_id: str = "") -> Answer:
    """Open the websocket of the site at `url` with these headers, resuming `session_id`, and run the page at `path`."""
    protocols = [Subprotocol(word) for word in ("streamlit", "no-token", session_id) if word]
    address = url.replace("http", "ws", 1) + "/_stcore/stream"
    with connect(address, subprotocols=protocols, additional_headers=headers or {}, origin=url,        # type: ignore[arg-type]
                 max_size=None) as socket:
        socket.send(_run(path).SerializeToString())
        return _answer(socket)


def _run(path: str) -> BackMsg:
    message = BackMsg()
    message.rerun_script.query_string = ""
    message.rerun_script.page_name = path
    return message


def _answer(socket: object) -> Answer:
    session_id, words = "", []
    while True:
        message = ForwardMsg.FromString(socket.recv(timeout=20))        # type: ignore[attr-defined]
        words.append(str(message))
        if message.WhichOneof("type") == "new_session":
            session_id = message.new_session.initialize.session_id
        if message.WhichOneof("type") == "script_finished":
            return Answer(session_id, "\n".join(words))
