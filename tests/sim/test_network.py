"""Topologies, taps, and running: what a simulated network is made of."""

from __future__ import annotations

import pytest

from tests.sim.programs import Conversation, pattern, run_conversation
from uinet.errors import InvalidArgument, TimedOut
from uinet.sim.clock import START
from uinet.sim.network import Network
from uinet.wire.frame import Frame


def test_a_host_on_two_links_has_two_interfaces() -> None:
    net = Network()
    left, middle, right = net.host("10.0.1.1/24"), net.host("10.0.1.2/24"), net.host("10.0.2.1/24")
    net.link(left, middle, delay=0.001)
    net.link(middle, right, delay=0.001, addresses=("10.0.2.2/24", ()))
    assert [interface.name for interface in middle.interfaces] == ["eth0", "eth1"]
    one = Conversation(left, middle, "10.0.1.2", pattern(1000), pattern(2000))
    run_conversation(net, one)
    two = Conversation(middle, right, "10.0.2.1", pattern(3000), pattern(4000))
    run_conversation(net, two)


def test_hosts_have_macs_of_their_own_or_the_given_one() -> None:
    net = Network()
    a, b = net.host(), net.host(mac="02:aa:bb:cc:dd:ee")
    assert a.interface.mac.hex(":") == "02:00:00:00:01:00"
    assert b.interface.mac.hex(":") == "02:aa:bb:cc:dd:ee"


def test_a_segment_joins_many_hosts() -> None:
    net = Network()
    hosts = [net.host(f"10.0.0.{i}/24") for i in range(1, 5)]
    net.switch(*hosts, delay=0.001)
    talks = [
        Conversation(hosts[0], hosts[1], "10.0.0.2", pattern(5000, 1), pattern(6000, 2)),
        Conversation(hosts[2], hosts[3], "10.0.0.4", pattern(7000, 3), pattern(8000, 4)),
    ]
    net.run(lambda: all(talk.done for talk in talks), 60)
    for talk in talks:
        talk.check()
    assert hosts[2].stack.stats["eth_other_host"] > 0


def test_layer_3_hosts_need_no_macs() -> None:
    net = Network()
    a, b = net.host("10.0.0.1/24", layer=3), net.host("10.0.0.2/24", layer=3)
    net.link(a, b, delay=0.001)
    run_conversation(net, Conversation(a, b, "10.0.0.2", pattern(5000, 1), pattern(6000, 2)))
    with pytest.raises(InvalidArgument, match="layers"):
        net.link(net.host(), net.host(layer=3))


def test_the_mtu_of_a_link_is_that_of_its_interfaces() -> None:
    net = Network()
    a, b, tap = net.host("10.0.0.1/24"), net.host("10.0.0.2/24"), net.tap()
    net.link(a, tap, mtu=600)
    net.link(tap, b, mtu=600)
    run_conversation(net, Conversation(a, b, "10.0.0.2", pattern(20_000, 1), pattern(20_000, 2)))
    assert max(len(frame) for frame in tap.frames) == 614


def test_a_gateway_is_the_next_hop_of_what_is_elsewhere() -> None:
    net = Network()
    a, router = net.host("10.0.0.1/24", gateway="10.0.0.254"), net.tap()
    net.link(a, router)
    a.stack.connect(("192.0.2.1", 80))
    net.run(timeout=0.1)
    request = router.frames[0].data
    assert request[12:14] == b"\x08\x06"
    assert request[38:42] == bytes([10, 0, 0, 254])


def test_a_tap_between_two_hosts_passes_everything_and_sees_it() -> None:
    net = Network()
    a, b, tap = net.host("10.0.0.1/24"), net.host("10.0.0.2/24"), net.tap()
    net.link(a, tap, delay=0.001)
    net.link(tap, b, delay=0.001)
    run_conversation(net, Conversation(a, b, "10.0.0.2", pattern(5000, 1), pattern(6000, 2)))
    assert len(tap.frames) > 10
    assert tap.take()
    assert tap.frames == []


def test_a_tap_can_lose_change_and_add_frames() -> None:
    net = Network()
    a, b, tap = net.host("10.0.0.1/24"), net.host("10.0.0.2/24"), net.tap()
    net.link(a, tap)
    net.link(tap, b)
    seen = [0, 0]

    def handler(frame: Frame, port: int) -> list[Frame | bytes]:
        seen[port] += 1
        if seen[port] % 7 == 0:
            return []
        if seen[port] % 5 == 0:
            return [frame, frame.data[:30]]
        return [frame]

    tap.handler = handler
    run_conversation(net, Conversation(a, b, "10.0.0.2", pattern(50_000, 1), pattern(50_000, 2)))
    assert a.stack.stats["tcp_retransmit"] + b.stack.stats["tcp_retransmit"] > 5


def test_a_tap_with_one_link_answers_for_itself() -> None:
    net = Network()
    a, tap = net.host("10.0.0.1/24"), net.tap()
    net.link(a, tap, delay=0.001)
    who_has = (
        b"\xff" * 6 + bytes.fromhex("020000000009") + bytes.fromhex("0806" "0001080006040001" "020000000009")
        + bytes([10, 0, 0, 9]) + bytes(6) + bytes([10, 0, 0, 1])
    )
    tap.send(who_has)
    net.run(lambda: tap.frames, 1.0)
    assert tap.frames[0].data[20:22] == b"\x00\x02"  # a reply
    assert tap.frames[0].time == net.now == START + 2_000_000
    with pytest.raises(InvalidArgument, match="no link 1"):
        tap.send(who_has, 1)


def test_exactly_one_chosen_frame_is_lost() -> None:
    net = Network()
    a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
    link = net.link(a, b, delay=0.001)
    full_sized = 0

    def third_full_one(frame: Frame) -> bool:
        nonlocal full_sized
        full_sized += len(frame.data) > 1000
        return full_sized == 3 and len(frame.data) > 1000

    link.ab.drop = third_full_one
    run_conversation(net, Conversation(a, b, "10.0.0.2", pattern(50_000, 1), b""))
    assert link.ab.statistics()["dropped"] == 1
    assert a.stack.stats["tcp_retransmit"] == 1


def test_a_link_can_be_cut_and_mended() -> None:
    net = Network()
    a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
    link = net.link(a, b, rate=10e6, delay=0.01)
    talk = Conversation(a, b, "10.0.0.2", pattern(300_000, 1), pattern(300_000, 2))
    net.run(timeout=0.1)
    link.set(loss=1.0)
    net.run(timeout=5.0)
    assert not talk.done
    link.set(loss=(0.0, 0.0))
    run_conversation(net, talk)


def test_run_ends_when_nothing_is_left_to_happen() -> None:
    net = Network()
    a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
    net.link(a, b, delay=0.001)
    talk = Conversation(a, b, "10.0.0.2", b"there", b"back")
    net.run()
    talk.check()
    assert net.now < START + 10_000 * 10**9
    for host in net.hosts:
        assert host.stack.next_deadline() is None


def test_run_for_a_time_takes_exactly_that_time() -> None:
    net = Network()
    net.host("10.0.0.1/24")
    net.run(timeout=12.5)
    assert net.now == START + 12_500_000_000


def test_a_condition_that_never_holds_is_an_error_that_says_so() -> None:
    net = Network(limit=100.0)
    with pytest.raises(TimedOut, match=r"does not hold after 2.5 s of virtual time, at 3\.500000 s"):
        net.run(lambda: False, 2.5)
    with pytest.raises(TimedOut, match=r"nothing is left to happen at 3\.500000 s"):
        net.run(lambda: False)

    def again() -> None:
        net.clock.after(1_000_000, again)

    again()
    with pytest.raises(TimedOut, match="things still happen after 100 s"):
        net.run()


def test_a_closed_stack_is_silent_and_the_others_go_on() -> None:
    net = Network()
    a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
    net.link(a, b, delay=0.010)
    talk = Conversation(a, b, "10.0.0.2", pattern(100_000, 1), pattern(100_000, 2))
    net.run(timeout=0.055)
    b.stack.close()
    net.run(lambda: talk.client.error, 3600)
    assert isinstance(talk.client.error, OSError)


def test_a_call_long_after_the_last_frame_is_made_at_its_own_time() -> None:
    net = Network()
    a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
    net.link(a, b, delay=0.010)
    talk = Conversation(a, b, "10.0.0.2", b"", pattern(1000))
    net.run(lambda: talk.client.received, 10)
    net.run(timeout=3600.0)
    second = Conversation(b, a, "10.0.0.1", pattern(1000), b"")
    run_conversation(net, second, 10)
    # a SYN whose timer had begun an hour ago would go out twice
    assert a.stack.stats["tcp_retransmit"] + b.stack.stats["tcp_retransmit"] == 0


def test_closing_long_after_the_last_frame_is_a_fin_and_no_reset() -> None:
    net = Network()
    a, b = net.host("10.0.0.1/24"), net.host("10.0.0.2/24")
    net.link(a, b, delay=0.010)
    accepted = []
    listener = b.stack.listen(("10.0.0.2", 80))
    listener.on_event = lambda sock, events: accepted.append(sock.accept())
    sock = a.stack.connect(("10.0.0.2", 80))
    net.run(lambda: accepted, 10)
    net.run(timeout=3600.0)
    sock.send(b"goodbye")
    sock.close()
    net.run(timeout=1.0)
    assert accepted[0].recv(100) == b"goodbye"
    assert accepted[0].recv(100) == b""
    assert a.stack.stats["tcp_rst_out"] == 0
