"""Many short connections at once on tuples that are used again and again, in copies that lose, double and reorder."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from tests.unit.passive.copy import Connected, Copy, pattern, seconds

PORTS, ROUNDS, ROUND = 12, 8, 0.4  # ports, connections of each, seconds from one to the next
Packet = tuple[int, bytes, int]
Piece = tuple[int, int]  # offset and length of what a data packet carries


class Talk:
    """One connection: its packets, and what each carries of which direction."""

    def __init__(self, number: int, chance: random.Random, wire: Copy) -> None:
        port, turn = number % PORTS, number // PORTS
        copy = Copy(
            wire=wire.wire, cport=50_000 + port, cisn=chance.getrandbits(32), sisn=chance.getrandbits(32),
            stamps=chance.random() < 0.5,
        )
        packets = copy.collect()
        start = seconds(turn * ROUND + port * 0.007 + chance.random() * 0.005)
        copy.wire.now, copy.wire.step = start, seconds(0.0007)
        copy.handshake()
        self.request = pattern(chance.choice((0, 20, 400, 3000)), 2 * number)
        self.answer = pattern(chance.choice((0, 20, 3000, 20_000)), 2 * number + 1)
        for at in range(0, len(self.request), 1400):
            copy.client(self.request[at : at + 1400])
        copy.server_ack()
        for at in range(0, len(self.answer), 1400):
            copy.server(self.answer[at : at + 1400])
            if at % 2800:
                copy.ack()
        copy.ack()
        copy.server_fin()
        copy.fin()
        copy.server_ack()
        copy.wire.collected = None
        self.packets = [(time, data, length, number) for time, data, length in packets]
        self.client, self.isns = copy.c.port, (copy.c.isn, copy.s.isn)

    def end(self, of_client: bool) -> int:
        return len(self.request if of_client else self.answer)

    def carries(self, data: bytes) -> tuple[bool, int, int, int]:
        """(of the client, flags, offset, length)."""
        of_client = int.from_bytes(data[34:36], "big") == self.client
        seq = int.from_bytes(data[38:42], "big")
        offset = ((seq - self.isns[not of_client] - 1 + 10) & 0xFFFFFFFF) - 10
        head = 34 + (data[46] >> 4) * 4
        return of_client, data[47], offset, 14 + int.from_bytes(data[16:18], "big") - head


def capture(seed: int) -> tuple[dict[int, Talk], list[tuple[int, bytes, int, int]]]:
    chance = random.Random(seed)
    wire = Copy()
    talks = {number: Talk(number, chance, wire) for number in range(PORTS * ROUNDS)}
    packets = sorted((packet for talk in talks.values() for packet in talk.packets), key=lambda packet: packet[0])
    return talks, packets


def follow(packets: list[tuple[int, bytes, int, int]]) -> list[Connected]:
    copy = Copy()
    copy.play([(time, data, length) for time, data, length, _ in packets])
    copy.wait(1)
    return copy.finish().all


def by_request(talks: dict[int, Talk], records: list[Connected]) -> dict[int, Connected]:
    """Connections by number: those of one port come in order."""
    of_port: dict[int, list[Connected]] = defaultdict(list)
    for record in records:
        of_port[record.ports[0]].append(record)
    return {
        port - 50_000 + PORTS * turn: record for port, group in of_port.items() for turn, record in enumerate(group)
    }


@pytest.mark.parametrize("seed", range(4))
def test_reordered_and_doubled_every_connection_is_whole_and_found_once(seed: int) -> None:
    """2% of the packets are held back 1 to 8 places, 1% come twice: nothing is missing."""
    talks, packets = capture(seed)
    chance = random.Random(~seed)
    keyed = []
    for number, packet in enumerate(packets):
        # not over the pause between two rounds: that would be longer than any skew
        near = number + 9 < len(packets) and packets[number + 9][0] - packet[0] < 20_000_000
        keyed.append((number + (chance.randint(1, 8) + 0.5 if near and chance.random() < 0.02 else 0), packet))
        if near and chance.random() < 0.01:
            keyed.append((number + chance.randint(1, 8) + 0.6, packet))
    keyed.sort(key=lambda item: item[0])
    times = sorted(item[1][0] for item in keyed)
    records = follow([(time, *packet[1:]) for time, (_, packet) in zip(times, keyed, strict=True)])
    assert len(records) == len(talks)
    for number, record in by_request(talks, records).items():
        assert record.client.data == talks[number].request
        assert record.server.data == talks[number].answer
        assert (record.client.holes, record.server.holes, record.close) == ([], [], "fin")
        assert record.notes == []


@pytest.mark.parametrize("share", [0.005, 0.05])
@pytest.mark.parametrize("seed", range(4))
def test_of_what_is_missing_every_hole_is_exact(seed: int, share: float) -> None:
    """Any packet may be missing, a SYN or a FIN as well as another; a connection is lost only with both its SYNs.

    Where both FINs are missing, nothing shows that the last number of either side is a FIN's: a byte more is no error.
    """
    talks, packets = capture(seed)
    chance = random.Random(~seed)
    kept, gone = [], defaultdict(set)
    for packet in packets:
        of_client, flags, offset, length = talks[packet[3]].carries(packet[1])
        if chance.random() >= share:
            kept.append(packet)
            continue
        if length:
            gone[packet[3], of_client].add((offset, length))
        if flags & 2:
            gone[packet[3], of_client].add((-1, 0))
        if flags & 1:
            gone[packet[3], of_client].add((talks[packet[3]].end(of_client), 0))
    unseen = {number for number in talks if (-1, 0) in gone[number, True] and (-1, 0) in gone[number, False]}
    records = follow(kept)
    assert len(records) == len(talks) - len(unseen)
    left: dict[int, list[int]] = defaultdict(list)
    for number in sorted(talks):
        if number not in unseen:
            left[50_000 + number % PORTS].append(number)
    for record in records:
        number = left[record.ports[0]].pop(0)
        for of_client, stream, sent in (
            (True, record.client, talks[number].request), (False, record.server, talks[number].answer),
        ):
            missing = gone[number, of_client]
            holes = sorted(piece for piece in missing if piece[1])
            if (len(sent), 0) in missing and holes and sum(holes[-1]) == len(sent):
                continue  # the last data and the FIN: what is known of the end depends on the ACKs
            unsure = all((talks[number].end(way), 0) in gone[number, way] for way in (True, False))
            if unsure and stream.length == len(sent) + 1:
                holes.append((len(sent), 1))
            assert merged(holes) == stream.missing
            true = bytearray(sent.ljust(stream.length, b"\0"))
            for at, length in holes:
                true[at : at + length] = bytes(length)
            assert stream.data == true
        if not any((talks[number].end(of_client), 0) in gone[number, of_client] for of_client in (True, False)):
            assert (record.close, record.notes) == ("fin", [])


def merged(holes: list[Piece]) -> list[Piece]:
    out: list[Piece] = []
    for at, length in holes:
        if out and sum(out[-1]) == at:
            out[-1] = (out[-1][0], out[-1][1] + length)
        else:
            out.append((at, length))
    return out
