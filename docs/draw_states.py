"""Writes docs/tcp-states.md from the table of transitions in ``uinet.tcp.state``: ``python docs/draw_states.py``."""

from __future__ import annotations

from pathlib import Path

from uinet.tcp.state import CLOSED, NAMES, TRANSITIONS

HEAD = """\
# States of a TCP connection

Drawn from the table `TRANSITIONS` in `tcp/state.py` by `docs/draw_states.py`; a test sees to it that this page is what
the table says. `change`, in that file, is the only place where a state is assigned, and an arrow that is not in the
table is an error there. In `tcp/arrive.py` one function stands for each step of RFC 9293, section 3.10.7.

What is after the slash is sent.

"""
TAIL = """
Not drawn: from every state a reset, an abort or a timeout leads to CLOSED.

Three things differ from figure 5 of RFC 9293:

- **LISTEN is not a state of a connection.** A listener is an object of its own, and stays what it is. A SYN for it
  makes an entry in the SYN cache (`tcp/syn_cache.py`), which is SYN-RECEIVED in all but name; the handshake's last ACK
  makes the connection, which begins in ESTABLISHED. SYN-RECEIVED below is that of a simultaneous open, and of
  [Fast Open](rfc/rfc7413.md), where a SYN with a good cookie makes the connection.
- **TIME-WAIT is not a connection either.** What has to be remembered of it moves to a small object
  (`tcp/time_wait.py`); the connection itself is closed, and the user told so, when TIME-WAIT begins.
- **FIN-WAIT-1 and LAST-ACK begin with the user's close**, when the FIN is queued, not when it is sent: it follows the
  data that is still to go.

| from | to | when |
|---|---|---|
"""


def node(state: int) -> str:
    """The state's name as a mermaid identifier."""
    return NAMES[state].replace("-", "_")


def page() -> str:
    """The page's text."""
    arrows = [(old, new, why) for old, ways in TRANSITIONS.items() for new, why in ways.items()]
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {node(CLOSED)}"]
    lines += [f"    {node(old)} --> {node(new)} : {why}" for old, new, why in arrows]
    lines += ["```", ""]
    rows = [f"| {NAMES[old]} | {NAMES[new]} | {why} |" for old, new, why in arrows]
    return HEAD + "\n".join(lines) + TAIL + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("tcp-states.md").write_text(page())
