"""Two held segments overlap: whose bytes would the receiver have read?

Hosts differ, and evasions live on that (Ptacek and Newsham 1998; Novak and Sturges 2007; Shankar and Paxson 2003).
The columns of this table are the policies; it decides pairs, each new segment against each held one, and promises
nothing about what three segments do together (hosts disagree there even with themselves: PYROLYSE, 2025).

    ==============================  =====  ===  =====  =========  =======  ====
    the new segment                 first  bsd  linux  old-linux  solaris  last
    ==============================  =====  ===  =====  =========  =======  ====
    is the same range               old    old  old    new        new      new
    same start, is shorter          old    old  old    old        old      new
    same start, is longer           old    old  new    new        new      new
    starts later, ends within       old    old  old    old        old      new
    starts before, ends within      old    new  new    new        old      new
    starts before, covers           old    new  new    new        new      new
    starts within, ends after       old    old  old    old        new      new
    ==============================  =====  ===  =====  =========  =======  ====

None applies to bytes that have been delivered: those are final, as they are on a host.
"""

from __future__ import annotations

from uinet.passive.constants import BSD, FIRST, LAST, LINUX, OLD_LINUX, SOLARIS

POLICIES = {
    "first": FIRST,
    "last": LAST,
    "bsd": BSD,
    "linux": LINUX,
    "old-linux": OLD_LINUX,
    "solaris": SOLARIS,
    "hpux11": SOLARIS,
    "hpux10": BSD,
    "irix": BSD,
    "macos": BSD,
    "windows": BSD,
    "windows2k3": BSD,
    "vista": FIRST,
}


def new_wins(policy: int, old_start: int, old_end: int, start: int, end: int) -> bool:
    """Whether the bytes that both have are those of the new segment [start, end)."""
    if policy == FIRST:
        return False
    if policy == LAST:
        return True
    if start < old_start:
        return policy != SOLARIS or end >= old_end
    if start > old_start:
        return policy == SOLARIS and end > old_end
    if end > old_end:
        return policy != BSD
    return end == old_end and policy in (OLD_LINUX, SOLARIS)
