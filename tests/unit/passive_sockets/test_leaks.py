"""Nothing is left of a watched connection that is over, without any help of the cyclic collector."""

from __future__ import annotations

import gc
import sys
import weakref
from collections import Counter
from typing import Any

import pytest

import uinet
from tests.unit.passive_sockets.lab import Silent, Talk, both
from tests.unit.promiscuous.lab import SECOND, Filter
from uinet import PassiveSocket, Verdict
from uinet.passive.connection import Connection
from uinet.passive.half import Half
from uinet.tcp.reception import Reception
from uinet.tcp.syn import Syn

KINDS = (PassiveSocket, Reception, Connection, Half, Syn)


def alive() -> Counter[str]:
    """The objects of watched connections that the collector knows, by class; compiled, only some of them are."""
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, KINDS))


@pytest.fixture
def no_collector() -> Any:
    gc.collect()
    gc.disable()
    yield None
    gc.enable()


ENDS = ["fin", "reset", "silent", "closed", "one", "dropped", "unaccepted", "listener", "embryo", "reused", "stack"]


@pytest.mark.parametrize("end", ENDS)
def test_a_watched_connection_leaves_nothing_however_it_ends(no_collector: None, end: str) -> None:
    lab = Silent()
    before = alive()
    decide = Filter(Verdict.ACCEPT_PASSIVE)
    decide.syns = Forgetful()
    listener = lab.listen(syn_filter=decide)
    talk = Talk(lab)
    if end == "embryo":
        talk.client.send("S")
        lab.pause(100 * SECOND)
    else:
        talk.shake()
        talk.client.send("P.", b"unread")
        talk.server.send("P.", b"held", seq=talk.server.seq + 9)
        scenario(lab, listener, talk, end)
    assert alive() - before == Counter()
    watch: Any = lab.stack.tcp.watch
    assert (len(lab.stack.tcp.table), watch.count, watch.embryos, watch.held) == (0, 0, 0, 0)
    assert lab.stack.tcp.received_bytes == 0
    assert lab.stack.tcp.wheel.count == 0


class Forgetful(list[Any]):
    """Keeps no SYNs."""

    def append(self, item: Any) -> None:
        """Forgets it."""


def scenario(lab: Silent, listener: Any, talk: Talk, end: str) -> None:
    if end == "listener":
        listener.close()
        return
    if end == "unaccepted":
        talk.finish()
        lab.pause(1000 * SECOND)
        listener.accept()
        lab.stack.poll(lab.now)
        lab.stack.events()
        return
    primary, peer = both(listener)
    if end == "one":
        peer.close()
    if end == "dropped":
        del primary, peer
        talk.finish()
        lab.pause(100 * SECOND)
        lab.stack.events()
        gc.collect()  # the two sockets know each other
        return
    if end in ("fin", "one"):
        talk.finish()
        lab.pause(100 * SECOND)
    elif end == "reset":
        talk.client.send("R")
        lab.pause(100 * SECOND)
    elif end == "silent":
        lab.pause(1000 * SECOND)
    elif end == "reused":
        again = Talk(lab, seq=0x3000_0000)
        again.shake()
        other, beside = both(listener)
        other.close()
        beside.close()
    elif end == "stack":
        lab.stack.close()
    lab.stack.events()
    primary.close()
    peer.close()
    if end != "stack":
        lab.pause(20 * SECOND)
    lab.stack.events()


def test_idle_ones_are_out_of_the_collectors_sight() -> None:
    lab = Silent()
    listener = lab.watch()
    Talk(lab).shake()
    primary, _ = both(listener)
    conn: Any = primary.reception.conn
    for thing in (primary.reception, primary.reception.other, conn, conn.client, conn.server):
        assert uinet.compiled() is not gc.is_tracked(thing)


def test_a_stack_that_is_dropped_takes_its_watch_along() -> None:
    lab = Silent()
    lab.watch()
    gc.collect()
    assert sys.getrefcount(lab.stack) < 10
    seen = weakref.ref(lab.stack)
    lab.stack.close()
    del lab
    gc.collect()
    assert seen() is None
