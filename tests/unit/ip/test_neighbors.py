"""The state machine of RFC 4861, section 7.3, over ARP and over ND."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from uinet.errors import AddressNotAvailable, InvalidArgument, NetworkUnreachable
from uinet.ip import icmp, neighbors
from uinet.ip.neighbors import DELAY, INCOMPLETE, PROBE, REACHABLE, STALE, STATIC, NextHop
from uinet.units import SECOND
from uinet.wire import arp, nd
from uinet.wire.addresses import Mac, pack_address
from uinet.wire.build import arp_reply, arp_request, nd_message
from uinet.wire.frame import CHECKSUM_NEEDED

if TYPE_CHECKING:
    from tests.unit.ip.conftest import Bench

PEER = "02:00:00:00:00:01"
OTHER = "02:00:00:00:00:55"
PACKETS = {4: b"\x45" + bytes(30), 16: b"\x60" + bytes(50)}


def p(address: str) -> bytes:
    return pack_address(address)


class Peer:
    """A neighbour of either family, and the ways in which it is asked and answers."""

    def __init__(self, bench: Bench, address: str, own: str) -> None:
        self.bench = bench
        self.address = address
        self.own = own
        self.size = len(p(address))
        self.hop: NextHop = bench.network.neighbors.lookup(bench.eth0, p(address))

    def send(self, mark: int = 0) -> None:
        self.bench.network.neighbors.send(self.hop, PACKETS[self.size] + bytes([mark]), CHECKSUM_NEEDED, 1400)

    def answer(self, mac: str = PEER) -> None:
        if self.size == 4:
            self.bench.receive(arp_reply(self.address, self.own, mac))
        else:
            self.advertise(nd.FLAG_SOLICITED | nd.FLAG_OVERRIDE, mac)

    def advertise(self, flags: int, mac: str | None = PEER) -> None:
        options = (nd.link_layer_option(nd.TARGET_LINK_LAYER, Mac(mac)),) if mac else ()
        message = nd.NeighborAdvertisement(p(self.address), flags, options)
        self.bench.receive(nd_message(self.address, self.own, message))

    def ask(self, mac: str = PEER) -> None:
        if self.size == 4:
            self.bench.receive(arp_request(self.address, self.own, mac))
        else:
            options = (nd.link_layer_option(nd.SOURCE_LINK_LAYER, Mac(mac)),)
            message = nd.NeighborSolicitation(p(self.own), options)
            self.bench.receive(nd_message(self.address, self.own, message))

    def questions(self) -> list[str]:
        """The MACs that questions have gone to since the last call."""
        asked = []
        for frame in self.bench.sent():
            about = frame.get(arp.ArpPacket)
            if about is not None and about.op == arp.REQUEST:
                assert about.tpa == p(self.address) and about.spa == p(self.own)
                asked.append(str(frame.ethernet.destination))
            elif nd.NeighborSolicitation in frame:
                assert frame.nd.target == p(self.address)
                asked.append(str(frame.ethernet.destination))
        return asked

    @property
    def everybody(self) -> str:
        return "ff:ff:ff:ff:ff:ff" if self.size == 4 else "33:33:ff:00:00:01"


@pytest.fixture(params=["10.0.0.1", "2001:db8::1"])
def peer(request: pytest.FixtureRequest, bench: Bench) -> Peer:
    return Peer(bench, request.param, "10.0.0.2" if "." in request.param else "2001:db8::2")


@pytest.fixture
def reachable(peer: Peer) -> Peer:
    peer.send()
    peer.answer()
    peer.bench.sent()
    assert peer.hop.state == REACHABLE
    return peer


@pytest.mark.rfc("1122", "2.3.2.2", "SHOULD keep at least the latest packet while an address is resolved")
@pytest.mark.rfc("4861", "7.2.2", "MUST keep packets while an address is resolved, at least one")
def test_incomplete_first_packet_asks_everybody_and_waits(peer: Peer) -> None:
    peer.send()
    assert peer.hop.state == INCOMPLETE and peer.hop.link_header is None
    assert peer.questions() == [peer.everybody]
    peer.send()
    assert peer.questions() == []  # asked already


def test_incomplete_answer_sends_what_waits_as_it_was_given(peer: Peer) -> None:
    peer.send(1)
    peer.send(2)
    peer.bench.sent()
    peer.answer()
    frames = peer.bench.eth0.take_output()
    kind = "0800" if peer.size == 4 else "86dd"
    assert peer.hop.link_header == bytes.fromhex("020000000001020000000002" + kind)
    assert [frame.data for frame in frames] == [
        peer.hop.link_header + PACKETS[peer.size] + bytes([mark]) for mark in (1, 2)
    ]
    assert [(frame.checksum, frame.gso_size) for frame in frames] == [(CHECKSUM_NEEDED, 1400)] * 2


@pytest.mark.rfc("4861", "7.2.2", "where the queue overflows the new packet SHOULD replace the oldest")
def test_incomplete_queue_overflow_drops_the_oldest(peer: Peer) -> None:
    for mark in range(5):
        peer.send(mark)
    peer.bench.sent()
    peer.answer()
    assert [frame.data[-1] for frame in peer.bench.eth0.take_output()] == [2, 3, 4]
    assert peer.bench.stats["neighbor_queue_full"] == 2


@pytest.mark.rfc(
    "4861", "7.2.2",
    "after MAX_MULTICAST_SOLICIT without answer: destination unreachable, code 3, for what waits",
)
@pytest.mark.rfc("1122", "2.3.2.1", "MUST NOT ask for one address more often than once a second")
def test_incomplete_without_answer_asks_three_times_and_gives_up(peer: Peer) -> None:
    transport = peer.bench.handler(17)
    network = peer.bench.network
    network.send_ip(None, p(peer.address), 17, b"\0\1\0\2\0\x08\0\0")
    asked = peer.questions()
    for _ in range(5):
        peer.bench.advance(1)
        asked += peer.questions()
    assert asked == [peer.everybody] * 3
    assert peer.hop.state == INCOMPLETE and peer.hop.deadline == 0 and peer.hop.queue == []
    assert peer.bench.stats["neighbor_unreachable"] == 1
    ((kind, _, _, source, destination, quoted),) = transport.errors
    assert (kind, source, destination) == (icmp.HOST_UNREACHABLE, p(peer.own), p(peer.address))
    assert quoted[:4] == b"\0\1\0\2"


def test_incomplete_that_gave_up_asks_anew_with_the_next_packet(peer: Peer) -> None:
    peer.send()
    peer.bench.advance(5)
    peer.bench.sent()
    peer.send()
    assert peer.questions() == [peer.everybody]
    peer.answer()
    assert peer.hop.state == REACHABLE


@pytest.mark.rfc("4861", "6.3.2", "ReachableTime is between MIN_ and MAX_RANDOM_FACTOR times the base")
def test_reachable_time_is_15_to_45_seconds(peer: Peer) -> None:
    lengths = set()
    for _ in range(50):
        peer.send()
        peer.answer()
        lengths.add(peer.hop.reachable_until - peer.bench.network.now)
        peer.bench.network.neighbors.remove(peer.address)
    assert 15 * SECOND <= min(lengths) < 20 * SECOND and 40 * SECOND < max(lengths) <= 45 * SECOND


@pytest.mark.rfc("1122", "2.3.2.1", "MUST have a way to flush entries that are out of date")
@pytest.mark.rfc("4861", "7.3.3", "the first packet to a stale neighbour is sent, and starts DELAY")
def test_reachable_too_old_turns_delay_and_still_sends(reachable: Peer) -> None:
    reachable.bench.advance(46)
    assert reachable.hop.state == REACHABLE  # nothing happens before it is used
    reachable.send(7)
    assert reachable.hop.state == DELAY
    assert [frame.data[-1] for frame in reachable.bench.eth0.take_output()] == [7]


@pytest.mark.rfc("4861", "7.3.1", "hints of forward progress confirm reachability")
def test_delay_forward_progress_makes_it_reachable_without_a_probe(reachable: Peer) -> None:
    reachable.bench.advance(46)
    reachable.send()
    reachable.bench.advance(2)
    reachable.bench.network.neighbors.confirm(reachable.hop, reachable.bench.network.now)
    reachable.bench.sent()
    reachable.bench.advance(10)
    assert reachable.hop.state == REACHABLE and reachable.questions() == []


@pytest.mark.rfc("4861", "7.3.3", "after DELAY_FIRST_PROBE_TIME a unicast probe is sent, every RetransTimer")
def test_delay_of_5_seconds_turns_probe_and_asks_the_neighbour_itself(reachable: Peer) -> None:
    reachable.bench.advance(46)
    reachable.send()
    reachable.bench.sent()
    reachable.bench.advance(5.1)
    assert reachable.hop.state == PROBE
    assert reachable.questions() == [PEER]
    reachable.send(9)
    assert [frame.data[-1] for frame in reachable.bench.eth0.take_output()] == [9]


def test_probe_answer_makes_it_reachable(reachable: Peer) -> None:
    reachable.bench.advance(46)
    reachable.send()
    reachable.bench.advance(6)
    assert reachable.hop.state == PROBE
    reachable.answer()
    assert reachable.hop.state == REACHABLE and reachable.hop.deadline == 0


@pytest.mark.rfc("4861", "7.3.3", "after MAX_UNICAST_SOLICIT probes address resolution begins anew")
def test_probe_without_answer_forgets_the_mac_and_asks_everybody_next(reachable: Peer) -> None:
    reachable.bench.advance(46)
    reachable.send()
    reachable.bench.advance(5.2)
    asked = reachable.questions()
    reachable.bench.advance(4)
    assert asked + reachable.questions() == [PEER] * 3
    assert reachable.hop.state == INCOMPLETE and reachable.hop.link_header is None
    reachable.send()
    assert reachable.questions() == [reachable.everybody]


def test_stale_first_use_turns_delay(reachable: Peer) -> None:
    reachable.ask(OTHER)  # it has another MAC now, and nobody has confirmed that
    assert reachable.hop.state == STALE and reachable.hop.mac == Mac(OTHER)
    reachable.bench.sent()
    reachable.send()
    assert reachable.hop.state == DELAY


def test_incomplete_question_of_the_neighbour_tells_its_mac(peer: Peer) -> None:
    peer.send(3)
    peer.bench.sent()
    peer.ask()
    assert peer.hop.state == STALE and peer.hop.mac == bytes.fromhex("020000000001")
    assert peer.bench.eth0.take_output()[0].data[-1] == 3


def test_reachable_question_with_the_same_mac_changes_nothing(reachable: Peer) -> None:
    reachable.ask()
    assert reachable.hop.state == REACHABLE


def test_reachable_neighbour_is_used_without_asking_anybody(reachable: Peer) -> None:
    assert reachable.bench.network.now < reachable.hop.reachable_until and reachable.hop.link_header
    reachable.send()
    assert len(reachable.bench.eth0.take_output()) == 1 and reachable.hop.state == REACHABLE


# advertisements: RFC 4861, section 7.2.5 (ND only; ARP replies always override)


@pytest.fixture
def nd_peer(bench: Bench) -> Peer:
    return Peer(bench, "2001:db8::1", "2001:db8::2")


@pytest.mark.rfc("4861", "7.2.5", "INCOMPLETE, solicited flag clear: the address is kept, STALE")
def test_incomplete_unsolicited_advertisement_makes_it_stale(nd_peer: Peer) -> None:
    nd_peer.send()
    nd_peer.advertise(0)
    assert nd_peer.hop.state == STALE and nd_peer.hop.link_header


@pytest.mark.rfc("4861", "7.2.5", "INCOMPLETE, without a link-layer address: SHOULD be silently discarded")
def test_incomplete_advertisement_without_a_mac_is_ignored(nd_peer: Peer) -> None:
    nd_peer.send()
    nd_peer.advertise(nd.FLAG_SOLICITED, None)
    assert nd_peer.hop.state == INCOMPLETE and nd_peer.bench.stats["nd_ignored"] == 1


@pytest.fixture
def nd_reachable(nd_peer: Peer) -> Peer:
    nd_peer.send()
    nd_peer.answer()
    nd_peer.bench.sent()
    return nd_peer


@pytest.mark.rfc("4861", "7.2.5", "override clear, another address, REACHABLE: STALE, and nothing else")
def test_reachable_other_mac_without_override_makes_it_stale_and_keeps_the_mac(nd_reachable: Peer) -> None:
    nd_reachable.advertise(0, OTHER)
    assert nd_reachable.hop.state == STALE and nd_reachable.hop.mac == bytes.fromhex("020000000001")


@pytest.mark.rfc("4861", "7.2.5", "override clear, another address, not REACHABLE: ignored")
def test_stale_other_mac_without_override_is_ignored(nd_reachable: Peer) -> None:
    nd_reachable.advertise(0, OTHER)
    nd_reachable.advertise(0, OTHER)
    assert nd_reachable.hop.state == STALE and nd_reachable.hop.mac == bytes.fromhex("020000000001")
    assert nd_reachable.bench.stats["nd_ignored"] == 1


@pytest.mark.rfc("4861", "7.2.5", "override set, another address, not solicited: taken, STALE")
def test_reachable_other_mac_with_override_is_taken_but_not_trusted(nd_reachable: Peer) -> None:
    nd_reachable.advertise(nd.FLAG_OVERRIDE, OTHER)
    assert nd_reachable.hop.state == STALE and nd_reachable.hop.mac == bytes.fromhex("020000000055")


def test_reachable_solicited_flag_without_a_question_proves_nothing(nd_reachable: Peer) -> None:
    until = nd_reachable.hop.reachable_until
    nd_reachable.bench.advance(1)
    nd_reachable.advertise(nd.FLAG_SOLICITED)
    assert nd_reachable.hop.reachable_until == until


@pytest.mark.rfc("4861", "7.2.5", "solicited: REACHABLE")
def test_probe_solicited_advertisement_without_a_mac_confirms(nd_reachable: Peer) -> None:
    nd_reachable.bench.advance(46)
    nd_reachable.send()
    nd_reachable.bench.advance(5.2)
    assert nd_reachable.hop.state == PROBE
    nd_reachable.advertise(nd.FLAG_SOLICITED, None)
    assert nd_reachable.hop.state == REACHABLE


# configured neighbours, bounds


def test_static_neighbour_is_never_asked_and_never_changed(bench: Bench) -> None:
    bench.network.neighbors.add("10.0.0.1", OTHER)
    peer = Peer(bench, "10.0.0.1", "10.0.0.2")
    assert peer.hop.state == STATIC
    peer.send()
    peer.ask()
    peer.answer()
    bench.network.neighbors.confirm(peer.hop, bench.network.now)
    bench.advance(100)
    assert peer.hop.state == STATIC and peer.hop.mac == bytes.fromhex("020000000055")
    assert peer.questions() == []


def test_static_neighbour_added_while_packets_wait_sends_them(peer: Peer) -> None:
    peer.send(5)
    peer.bench.sent()
    peer.bench.network.neighbors.add(peer.address, OTHER)
    assert peer.bench.eth0.take_output()[0].data[-1] == 5
    peer.bench.advance(5)
    assert peer.questions() == []


def test_removed_neighbour_is_asked_for_anew(bench: Bench) -> None:
    bench.network.neighbors.add("10.0.0.1", OTHER)
    peer = Peer(bench, "10.0.0.1", "10.0.0.2")
    bench.network.neighbors.remove("10.0.0.1")
    assert list(bench.network.neighbors) == []
    peer.send()
    assert peer.questions() == [peer.everybody]
    with pytest.raises(AddressNotAvailable):
        bench.network.neighbors.remove("10.0.0.9")


def test_static_neighbour_off_every_link_is_refused(bench: Bench) -> None:
    with pytest.raises(NetworkUnreachable):
        bench.network.neighbors.add("172.16.0.1", OTHER)
    with pytest.raises(InvalidArgument):
        bench.network.neighbors.add("172.16.0.1", OTHER, bench.network.add_interface("tun", layer=3))
    with pytest.raises(InvalidArgument):
        bench.network.neighbors.add("172.16.0.1", OTHER, bench.network.add_interface("wire", cdom=1))


@pytest.mark.rfc("6583", "4", "the neighbour table is bounded")
@pytest.mark.threat(15)
def test_threat_15_table_is_bounded_and_keeps_who_answers(bench: Bench) -> None:
    table = bench.network.neighbors
    bench.eth0.add_address("10.1.0.1/16")
    table.add("10.0.0.9", OTHER)
    good = Peer(bench, "10.0.0.1", "10.0.0.2")
    good.send()
    good.answer()
    for number in range(3 * neighbors.TABLE_LIMIT):
        table.send(table.lookup(bench.eth0, (0x0A010100 + number).to_bytes(4, "big")), PACKETS[4], 0, 0)
    assert len(table.table) == neighbors.TABLE_LIMIT + 1
    assert bench.stats["neighbor_evicted"] == 2 * neighbors.TABLE_LIMIT + 1
    assert table.get(bench.eth0, p("10.0.0.1")) is good.hop and good.hop.state == REACHABLE
    assert table.get(bench.eth0, p("10.0.0.9")).state == STATIC
    assert bench.network.wheel.count <= neighbors.TABLE_LIMIT + 1


def test_evicted_neighbour_that_is_sent_to_takes_its_place_again(bench: Bench) -> None:
    table = bench.network.neighbors
    table.limit = 1
    first = Peer(bench, "10.0.0.1", "10.0.0.2")
    table.lookup(bench.eth0, p("10.0.0.3"))
    assert table.get(bench.eth0, p("10.0.0.1")) is None
    first.send()
    assert table.get(bench.eth0, p("10.0.0.1")) is first.hop


def test_evicted_neighbour_whose_place_is_taken_sends_through_the_new_one(bench: Bench) -> None:
    table = bench.network.neighbors
    first = Peer(bench, "10.0.0.1", "10.0.0.2")
    table.remove("10.0.0.1")
    second = Peer(bench, "10.0.0.1", "10.0.0.2")
    second.send()
    second.answer()
    bench.sent()
    generation = bench.network.generation
    first.send(4)
    assert bench.eth0.take_output()[0].data[-1] == 4
    assert bench.network.generation > generation  # so that its holder asks for its route anew
