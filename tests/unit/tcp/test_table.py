"""The connection table, the queues of bytes and what connections leave behind."""

from __future__ import annotations

import gc
import itertools
import random
import weakref

import pytest

import uinet
from tests.unit.tcp.peer import FULL, PLAIN, Peer, error_of
from uinet.errors import ConnectionReset
from uinet.hashing import MINIMUM, SPLITS
from uinet.seq import seq_add
from uinet.tcp.buffer import ByteQueue
from uinet.tcp.reassembly import Reassembly
from uinet.tcp.table import Entry, Table
from uinet.tcp.tcb import Tcb


def entry(table: Table, number: int) -> Entry:
    made = Entry()
    table.set_key(made, 0, b"", 0, 0xFFFF0A000001, 80, 0, 0xFFFF00000000 + number, number & 0xFFFF)
    return made


def find(table: Table, number: int) -> Entry | None:
    return table.find(0, b"", 0, 0xFFFF0A000001, 80, 0, 0xFFFF00000000 + number, number & 0xFFFF)


def test_table_agrees_with_a_dict_while_it_grows_and_shrinks() -> None:
    table = Table(1, 2)
    model: dict[int, Entry] = {}
    chance = random.Random(4)
    for phase in (0.9, 0.5, 0.1, 0.8, 0.0):
        for _ in range(1500):
            number = chance.randrange(4000)
            if chance.random() < phase:
                if number not in model:
                    model[number] = entry(table, number)
                    table.insert(model[number])
            elif model:
                number = chance.choice(list(model)) if chance.random() < 0.1 else next(iter(model))
                gone = model.pop(number)
                assert table.remove(gone) and not table.remove(gone)
                assert gone.hash_next is None
            assert len(table) == len(model)
        for number in range(0, 4000, 7):
            assert find(table, number) is model.get(number)
        assert {id(found) for found in table} == {id(made) for made in model.values()}
    for gone in model.values():
        table.remove(gone)
    assert len(table.heads) == MINIMUM


def test_table_takes_a_bounded_step_for_each_entry() -> None:
    table = Table(3, 4)
    sizes = []
    for number in range(5000):
        table.insert(entry(table, number))
        sizes.append(len(table.heads))
    assert max(b - a for a, b in itertools.pairwise(sizes)) <= SPLITS
    assert {len(piece) for piece in table.pieces[:-1]} == {1024}  # no list grows beyond that, and is copied then
    assert len(table.heads) == table.size == sum(map(len, table.pieces))
    lengths = []
    for head in table.heads:
        length, at = 0, head
        while at is not None:
            length, at = length + 1, at.hash_next
        lengths.append(length)
    assert max(lengths) < 12


def test_table_keys_tell_domains_and_tags_apart() -> None:
    table = Table(5, 6)
    made = []
    for cdom, tags in ((0, b""), (1, b""), (1, b"\x00\x64"), (1, b"\x00\x64\x00\x65"), (1, b"\x00\x65\x00\x64")):
        item = Entry()
        table.set_key(item, cdom, tags, 1, 2, 3, 4, 5, 6)
        table.insert(item)
        made.append((item, cdom, tags))
    for item, cdom, tags in made:
        assert table.find(cdom, tags, 1, 2, 3, 4, 5, 6) is item
    assert table.find(2, b"", 1, 2, 3, 4, 5, 6) is None


@pytest.mark.parametrize("seed", range(20))
def test_byte_queue_agrees_with_bytes(seed: int) -> None:
    chance = random.Random(seed)
    queues, models = [ByteQueue(), ByteQueue()], [b"", b""]
    for _ in range(400):
        which = chance.randrange(2)
        queue, model = queues[which], models[which]
        action = chance.randrange(6)
        if action <= 1:
            data = chance.randbytes(chance.choice((1, 7, 300, 5000, 40_000)))
            offset = chance.randrange(len(data))
            queue.append(data if chance.random() < 0.7 else bytearray(data), offset, len(data) - offset)
            models[which] = model + data[offset:]
        elif action == 2:
            count = chance.randrange(len(model) + 1)
            queue.drop(count)
            models[which] = model[count:]
        elif action == 3:
            count = chance.choice((1, 100, 20_000))
            assert queue.read(count) == model[:count]
            models[which] = model[count:]
        elif action == 4 and model:
            at = chance.randrange(len(model))
            length = chance.randrange(1, min(len(model) - at, 3000) + 1)
            queue.locate(at, length)
            assert bytes(queue.source[queue.source_offset : queue.source_offset + length]) == model[at : at + length]
        elif action == 5:
            count = chance.randrange(len(model) + 1)
            queue.move(queues[1 - which], count)
            models[1 - which] += model[:count]
            models[which] = model[count:]
        assert [item.length for item in queues] == [len(item) for item in models]
    for queue, model in zip(queues, models, strict=True):
        target = bytearray(len(model))
        assert queue.read_into(memoryview(target)) == len(model) and bytes(target) == model


@pytest.mark.parametrize("seed", range(40))
def test_reassembly_agrees_with_a_dict_of_bytes(seed: int) -> None:
    chance = random.Random(seed)
    base = chance.choice((0, 0xFFFFFFF0, 0x7FFFFFF0))
    made = Reassembly(1000)
    model: dict[int, int] = {}
    for _ in range(40):
        at, length = chance.randrange(1, 300), chance.randrange(1, 40)
        data = chance.randbytes(length + 3)
        taken = made.add(seq_add(base, at), data, 3, length)
        fresh = [n for n in range(length) if at + n not in model]
        for n in fresh:
            model[at + n] = data[3 + n]
        assert taken == len(fresh) and made.length == len(model)
        edges = [(island.start, island.end) for island in made.islands]
        starts = sorted(n for n in model if n - 1 not in model)
        assert [start for start, _ in edges] == [seq_add(base, n) for n in starts]
        blocks = made.blocks(4)
        assert set(blocks) <= set(edges)
    into = ByteQueue()
    first = min(model)
    end = made.deliver(seq_add(base, first), into)
    last = first
    while last in model:
        last += 1
    assert end == seq_add(base, last)
    assert into.read(1000) == bytes(model[n] for n in range(first, last))


def tcbs() -> list[Tcb]:
    return [found for found in gc.get_objects() if isinstance(found, Tcb)]


@pytest.mark.parametrize("end", ["close", "reset", "abort", "timeout", "dropped"])
@pytest.mark.parametrize("options", [PLAIN, FULL])
def test_connection_leaves_no_object_behind(end: str, options: tuple[object, ...]) -> None:
    others = tcbs()  # of tests that are not over, as those that share a world
    peer = Peer()

    def live() -> weakref.ref[object]:
        sock = peer.passive(options)
        assert uinet.compiled() is not gc.is_tracked(sock.tcb)
        peer.data(b"request")
        sock.recv(100)
        sock.send(b"answer")
        peer.flush()
        peer.take()
        peer.send(".", peer.seq + 50, data=b"island")
        if end == "close":
            sock.close()
            peer.flush()
            peer.take()
            peer.data(b"", "F.")
        elif end == "abort":
            sock.abort()
        elif end == "timeout":
            sock.send(b"more")
            peer.advance(1500)
        else:
            peer.send("R")
            assert error_of(sock.recv, 1) is ConnectionReset
            assert error_of(sock.send, b"x") is ConnectionReset
        peer.flush()
        peer.drain()
        peer.stack.events()
        if end in ("reset", "timeout"):
            sock.close()
            peer.flush()
        return weakref.ref(sock)

    gone = live()
    peer.listener.close()
    peer.gone(100)
    peer.drain()
    if not uinet.compiled():
        gc.collect()
    assert gone() is None
    assert not any(all(found is not other for other in others) for found in tcbs())
