"""netmap, with a played kernel at the other side of its rings (netmap_kernel.py)."""

from __future__ import annotations

import errno
import os
import random
import select
import struct

import pytest

from tests.unit.link.netmap_kernel import BUFFER, FakePort, Kernel, Region, Slot
from tests.unit.link.packets import Seen, packet, tcp_header
from tests.unit.link.twins import compiled, interpreted
from uinet.errors import DeviceError, DeviceGone, DeviceURLError, PermissionDenied
from uinet.link import slots
from uinet.link.netmap import NetmapDevice
from uinet.link.netmap_api import ALL_RINGS, HOST_RINGS, ONE_HOST_RING, ONE_RING, parse_port
from uinet.link.sharing import Share
from uinet.wire.frame import CHECKSUM_NEEDED, Frame

FRAME = packet(tcp_header(), b"hello")


def card(name: str = "em0", rings: int = 1, slots: int = 16, *, region: Region | None = None) -> FakePort:
    return FakePort(name, region or Region(1), rings=rings, slots=slots)


def payload(n: int, size: int = 60) -> bytes:
    return bytes([n % 256]) * size


@pytest.mark.parametrize(("text", "expected"), [
    ("eth0", ("eth0", "eth0", ALL_RINGS, 0)),
    ("eth0-3", ("eth0", "eth0", ONE_RING, 3)),
    ("eth0^", ("eth0", "eth0", HOST_RINGS, 0)),
    ("eth0^1", ("eth0", "eth0", ONE_HOST_RING, 1)),
    ("br-lan", ("br-lan", "br-lan", ALL_RINGS, 0)),
    ("br-lan-0", ("br-lan", "br-lan", ONE_RING, 0)),
    ("vale0:1", ("vale0:1", "", ALL_RINGS, 0)),
    ("vale:one", ("vale:one", "", ALL_RINGS, 0)),
    ("eth0{2", ("eth0{2", "", ALL_RINGS, 0)),
    ("vale0:1}x", ("vale0:1}x", "", ALL_RINGS, 0)),
])  # fmt: skip
def test_names_of_ports(text: str, expected: tuple[object, ...]) -> None:
    assert tuple(parse_port(text)) == expected


@pytest.mark.parametrize("text", [
    "", "eth0*", "eth0+", "eth0@1", "eth0{", "vale0", "vale0:", "vale0:1^", "vale0:1-0", "eth0{1-2", "x" * 64, "eth0/x",
])  # fmt: skip
def test_names_that_mean_no_port(text: str) -> None:
    with pytest.raises(DeviceURLError):
        parse_port(text)


def test_frames_come_in_and_go_out_and_slots_are_used_again() -> None:
    port = card()
    with NetmapDevice("em0", system=Kernel(port)) as device:
        for turn in range(10):  # many times around the ring
            sent = [payload(turn * 10 + n, 60 + n) for n in range(10)]
            for data in sent:
                port.deliver(data)
            got = device.recv(4) + device.recv(64)
            assert [frame.data for frame in got] == sent
            assert device.recv() == []
            assert device.send([Frame(data) for data in sent]) == 10
            assert port.sent == sent
            port.sent.clear()
        counters = device.statistics()
        assert (counters["rx_frames"], counters["tx_frames"]) == (100, 100)
        assert counters["rx_bytes"] == counters["tx_bytes"] == 10 * sum(range(60, 70))


def test_descriptor_tells_when_something_waits() -> None:
    port = card()
    kernel = Kernel(port)
    with NetmapDevice("em0", system=kernel) as device:
        assert not select.select([device.fileno()], [], [], 0)[0]
        port.deliver(FRAME)
        port.deliver(FRAME)
        kernel.signal()
        assert select.select([device.fileno()], [], [], 0)[0]
        assert len(device.recv(1)) == 1
        device.recv(64)
        assert not select.select([device.fileno()], [], [], 0)[0]


def test_full_ring_takes_fewer_and_what_is_left_goes_later() -> None:
    port = card(slots=8)
    with NetmapDevice("em0", system=Kernel(port)) as device:
        port.transmit_sync = lambda: None  # type: ignore[method-assign]  # the card is slow
        frames = [Frame(payload(n)) for n in range(10)]
        assert device.send(frames) == 7
        assert device.send(frames[7:]) == 0
        del port.transmit_sync
        assert device.send(frames[7:]) == 3
        assert port.sent == [frame.data for frame in frames]


def test_large_frames_are_cut_and_go_on_where_they_stopped() -> None:
    port = card(slots=4)
    with NetmapDevice("em0", system=Kernel(port)) as device:
        large = Frame(packet(tcp_header(), bytes(10 * 1460), state="partial"), CHECKSUM_NEEDED, 1460)
        frames = [Frame(FRAME), large, Frame(payload(1))]
        taken = 0
        for _ in range(20):
            taken += device.send(frames[taken:])
        assert taken == 3
        assert port.sent[0] == FRAME
        assert [len(Seen(data).payload) for data in port.sent[1:-1]] == [1460] * 10
        assert port.sent[-1] == payload(1)


def test_frames_that_fit_no_buffer_are_dropped_and_counted() -> None:
    port = card()
    with NetmapDevice("em0", mtu=BUFFER - 14, system=Kernel(port)) as device:
        assert device.send([Frame(bytes(BUFFER)), Frame(bytes(BUFFER + 1)), Frame(b"short"), Frame(FRAME)]) == 4
        counters = device.statistics()
        assert (counters["tx_oversize"], counters["tx_refused"]) == (1, 1)
        assert port.sent == [bytes(BUFFER), FRAME]
    with pytest.raises(DeviceError, match="at most 2034 bytes, not 2035"):
        NetmapDevice("em0", mtu=BUFFER - 13, system=Kernel(card()))


def test_ports_of_a_switch_take_packets_of_several_buffers() -> None:
    a, b = FakePort("vale0:a", Region(2), host=0), FakePort("vale0:b", Region(3), host=0)
    kernel = Kernel(a, b)
    kernel.join(a, b)
    one, two = (NetmapDevice(name, mtu=9000, system=kernel) for name in ("vale0:a", "vale0:b"))
    with one, two:
        for size in (60, BUFFER, BUFFER + 1, 9014):
            assert one.send([Frame(payload(size, size))]) == 1
            assert [frame.data for frame in two.recv()] == [payload(size, size)]
            assert two.send([Frame(payload(size, size))]) == 1
            assert [frame.data for frame in one.recv()] == [payload(size, size)]


def test_host_rings_are_the_kernels_end_of_the_cable() -> None:
    port = card(rings=2)
    kernel = Kernel(port)
    with NetmapDevice("em0", system=kernel) as wire, NetmapDevice("em0^", system=kernel) as host:
        port.deliver(payload(1), ring=0)
        port.deliver(payload(2), ring=2)  # the host's
        host.send([Frame(frame.data) for frame in wire.recv()])
        wire.send([Frame(frame.data) for frame in host.recv()])
        assert (port.to_host, port.sent) == ([payload(1)], [payload(2)])
    assert [(body.nr_mode, body.nr_ringid) for body in kernel.registered] == [(ALL_RINGS, 0), (HOST_RINGS, 0)]


def test_every_ring_has_its_turn() -> None:
    port = card(rings=3)
    with NetmapDevice("em0", system=Kernel(port)) as device:
        for n in range(12):
            port.deliver(payload(n), ring=n % 3)
        first = {frame.data[0] % 3 for _ in range(3) for frame in device.recv(4)}
        assert first == {0, 1, 2}


def test_one_ring_of_several() -> None:
    port = card(rings=3)
    kernel = Kernel(port)
    with NetmapDevice("em0-2", system=kernel) as device:
        port.deliver(payload(1), ring=1)
        port.deliver(payload(2), ring=2)
        assert [frame.data for frame in device.recv()] == [payload(2)]
    with pytest.raises(DeviceError, match="has no such ring: 3 to send, 3 to receive, 1 of the host"):
        NetmapDevice("em0-3", system=kernel)


def test_workers_have_a_ring_each() -> None:
    port = card(rings=2)
    kernel = Kernel(port)
    share = Share(2)
    devices = []
    for index in range(2):
        share.index = index
        devices.append(NetmapDevice("em0", share=share, system=kernel))
    port.deliver(payload(1), ring=1)
    assert [len(device.recv()) for device in devices] == [0, 1]
    for device in devices:
        device.forget()
    share.count = 3
    with pytest.raises(DeviceError, match="has 2 rings: want as many workers"):
        NetmapDevice("em0", share=share, system=kernel)


# lent buffers


def test_lent_packets_stay_where_they_are_and_others_stand_in_for_them() -> None:
    port = card()
    with NetmapDevice("em0", lend=4, system=Kernel(port)) as device:
        assert device.lendable == 4
        for n in range(6):
            port.deliver(payload(n))
        loans = device.lend(64)
        assert [bytes(loan.data) for loan in loans] == [payload(n) for n in range(6)]
        assert [loan.copied for loan in loans] == [False] * 4 + [True] * 2  # the share is bounded
        for n in range(20):  # the ring goes round, over other buffers
            port.deliver(payload(100 + n))
        assert len(device.recv(64)) + len(device.recv(64)) == 20
        assert [bytes(loan.data) for loan in loans] == [payload(n) for n in range(6)]
        assert loans[0].frame().data == payload(0)
        assert port.replaced == 4  # the kernel was told which slots have other buffers
        for loan in loans:
            loan.release()
            loan.release()
        with pytest.raises(ValueError, match="released"):
            bytes(loans[0].data)
        port.deliver(FRAME)
        with device.lend(1)[0] as loan:
            assert not loan.copied


def test_buffers_are_given_back_when_the_device_is_closed() -> None:
    port = card()
    kernel = Kernel(port)
    device = NetmapDevice("em0", lend=8, system=kernel)
    before = set()
    index = port.interface.ni_bufs_head
    while index:
        before.add(index)
        index = port.memory.word(index)
    for n in range(3):
        port.deliver(payload(n))
    loans = device.lend()
    loans[0].release()
    in_rings = {slot.buf_idx for _, _, slots, _ in (*port.transmit, *port.receive) for slot in slots}
    device.close()
    device.close()
    assert port.returned is not None and len(port.returned) == len(set(port.returned)) == 8
    assert not set(port.returned) & in_rings
    assert len(in_rings | set(port.returned)) == 4 * 16 + 8
    with pytest.raises(ValueError, match="released"):
        bytes(loans[1].data)
    loans[1].release()


def test_forwarding_swaps_buffers_within_one_memory() -> None:
    region = Region(1, 400)
    left, right = card("em0", region=region), card("em1", region=region)
    kernel = Kernel(left, right)
    with NetmapDevice("em0", lend=8, system=kernel) as a, NetmapDevice("em1", lend=8, system=kernel) as b:
        for turn in range(30):
            for n in range(5):
                left.deliver(payload(turn + n))
            loans = a.lend()
            assert not any(loan.copied for loan in loans)
            assert b.forward(loans) == 5
            assert right.sent == [payload(turn + n) for n in range(5)]
            right.sent.clear()
        assert right.changed == 150
        assert b.statistics()["tx_frames"] == 150
        every = [slot.buf_idx for port in (left, right) for _, _, slots, _ in (*port.transmit, *port.receive)
                 for slot in slots]
        with pytest.raises(ValueError, match="a loan that has ended"):
            b.forward(loans)
    assert left.returned is not None and right.returned is not None
    assert len({*every, *left.returned, *right.returned}) == len(every) + 16  # none is lost, none is there twice


def test_forwarding_to_another_memory_copies() -> None:
    left, right = card("em0"), FakePort("vale0:1", Region(7), host=0)
    kernel = Kernel(left, right)
    with NetmapDevice("em0", lend=2, system=kernel) as a, NetmapDevice("vale0:1", system=kernel) as b:
        for n in range(4):
            left.deliver(payload(n))
        assert b.forward(a.lend()) == 4
        assert right.sent == [payload(n) for n in range(4)]
        assert right.changed == 0
        left.deliver(FRAME)
        assert not a.lend()[0].copied


def test_forwarding_into_a_full_ring_leaves_the_rest_lent() -> None:
    region = Region(1)
    left, right = card("em0", region=region), card("em1", slots=4, region=region)
    kernel = Kernel(left, right)
    with NetmapDevice("em0", lend=8, system=kernel) as a, NetmapDevice("em1", system=kernel) as b:
        right.transmit_sync = lambda: None  # type: ignore[method-assign]
        for n in range(5):
            left.deliver(payload(n))
        loans = a.lend()
        assert b.forward(loans) == 3
        assert [bytes(loan.data) for loan in loans[3:]] == [payload(3), payload(4)]
        del right.transmit_sync
        assert b.forward(loans[3:]) == 2
        assert right.sent == [payload(n) for n in range(5)]


def test_packets_of_several_buffers_are_lent_as_copies() -> None:
    port = FakePort("vale0:1", Region(1), host=0)
    with NetmapDevice("vale0:1", mtu=9000, lend=4, system=Kernel(port)) as device:
        port.deliver(payload(1, 5000))
        port.deliver(payload(2))
        first, second = device.lend()
        assert (bytes(first.data), first.copied) == (payload(1, 5000), True)
        assert (bytes(second.data), second.copied) == (payload(2), False)


# what the kernel may say


def test_errors_are_one_clear_line() -> None:
    for code, kind, text in (
        (errno.ENOENT, DeviceError, r"netmap:em0: there is no netmap here \(/dev/netmap\): load its kernel module"),
        (errno.EACCES, PermissionDenied, "netmap:em0 needs /dev/netmap to be open for reading and writing"),
    ):
        kernel = Kernel(card())
        kernel.open_error = code
        with pytest.raises(kind, match=text):
            NetmapDevice("em0", system=kernel)
    for code, text in (
        (errno.EBUSY, "in use by another program"), (errno.EINVAL, "a netmap before API 14"), (errno.ENOMEM, "buf_num"),
        (errno.ENOTTY, "no netmap here"),
    ):
        kernel = Kernel(card())
        kernel.bind_error = code
        with pytest.raises(DeviceError, match=text):
            NetmapDevice("em0", system=kernel)
    with pytest.raises(DeviceError, match="there is no such port"):
        NetmapDevice("em7", system=Kernel(card()))
    kernel = Kernel(card(rings=2))
    with NetmapDevice("em0-1", system=kernel):
        with pytest.raises(DeviceError, match="netmap:em0: its rings are in use by another program"):
            NetmapDevice("em0", system=kernel)
        NetmapDevice("em0-0", system=kernel).close()
        NetmapDevice("em0^", system=kernel).close()
    with pytest.raises(DeviceError, match="lend=-1"):
        NetmapDevice("em0", lend=-1, system=Kernel(card()))


def test_interface_that_goes_away_is_reported() -> None:
    port = card()
    device = NetmapDevice("em0", system=Kernel(port))
    port.broken = True
    with pytest.raises(DeviceGone, match=r"netmap:em0: No such device or address"):
        device.recv()
    with pytest.raises(DeviceGone):
        device.send([Frame(FRAME)])
    device.close()
    with pytest.raises(DeviceGone, match="is closed"):
        device.recv()


def test_no_descriptor_is_left_after_an_error() -> None:
    before = set(os.listdir("/proc/self/fd"))
    port = card()
    port.receive[0][1].num_slots = 1 << 30
    kernel = Kernel(port)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(DeviceError, match="no ring of 1073741824 slots"):
        NetmapDevice("em0", system=kernel)
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("damage", [
    ("tail", 16), ("tail", 2**32 - 1), ("index", 2**32 - 1), ("index", 0xFFFF), ("length", 65535), ("flags", 0xFFFF),
])  # fmt: skip
def test_slots_that_no_kernel_writes_are_counted_and_left_out(damage: tuple[str, int]) -> None:
    what, value = damage
    port = card()
    with NetmapDevice("em0", lend=2, system=Kernel(port)) as device:
        for n in range(3):
            port.deliver(payload(n))
        port.receive_sync()
        _, ring, slots, _ = port.receive[0]
        if what == "tail":
            ring.tail = value
            assert device._slots.receive(64) == []
        elif what == "flags":
            slots[0].flags = value  # one packet with the next
            assert [frame.data for frame in device.recv()] == [payload(0) + payload(1), payload(2)]
        else:
            setattr(slots[0], "buf_idx" if what == "index" else "len", value)
            kept = [bytes(loan.data) for loan in device.lend()]
            assert kept == [payload(1), payload(2)]
            assert device.statistics()["rx_damaged"] == 1


def test_packet_without_an_end_does_not_stop_the_ring() -> None:
    port = card(slots=8)
    with NetmapDevice("em0", system=Kernel(port)) as device:
        for n in range(7):
            port.deliver(payload(n))
        port.receive_sync()
        for slot in port.receive[0][2]:
            slot.flags |= 0x0020
        assert device._slots.receive(64) == []
        port.deliver(FRAME)
        assert [frame.data for frame in device.recv()] == [FRAME]
        assert device.statistics()["rx_damaged"] == 1


def test_transmit_ring_that_names_no_buffer_ends_the_device() -> None:
    port = card()
    with NetmapDevice("em0", system=Kernel(port)) as device:
        port.transmit[0][2][0].buf_idx = 1 << 20
        with pytest.raises(DeviceGone, match="names buffers that are not there"):
            device.send([Frame(FRAME)])


@pytest.mark.parametrize("field", ["num_slots", "nr_buf_size", "buf_ofs"])
@pytest.mark.parametrize("value", [0, 1, 1 << 20, (1 << 31) - 1])
@pytest.mark.parametrize("which", ["transmit", "receive"])
def test_rings_that_do_not_fit_their_memory_are_refused(which: str, field: str, value: int) -> None:
    port = card()
    setattr(getattr(port, which)[0][1], field, value)
    with pytest.raises(DeviceError, match=r"netmap:em0: (no ring of|no buffers of|the rings have different buffers)"):
        NetmapDevice("em0", system=Kernel(port))


def test_interface_that_lies_outside_is_refused() -> None:
    for attribute, value in (("offset", 1 << 40), ("rings", 1 << 15)):
        port = card()
        if attribute == "offset":
            port.offset = value
        else:
            port.interface.ni_tx_rings = value
        with pytest.raises(DeviceError):
            NetmapDevice("em0", system=Kernel(port))
    port = card()
    port.offsets[0] = -(1 << 40)
    with pytest.raises(DeviceError, match="no ring at"):
        NetmapDevice("em0", system=Kernel(port))


def test_chain_of_extra_buffers_that_runs_in_a_circle_ends() -> None:
    port = card()
    kernel = Kernel(port)
    control = kernel.control

    def damaged(fd: int, header: object) -> None:
        control(fd, header)
        head = port.interface.ni_bufs_head
        port.memory.set_word(port.memory.word(head), head)

    kernel.control = damaged  # type: ignore[method-assign]
    with NetmapDevice("em0", lend=10, system=kernel) as device:
        assert device.lendable == 2


@pytest.mark.skipif(not compiled(slots), reason="there is one only")
def test_twins_agree_whatever_the_rings_hold() -> None:
    rng = random.Random(7)
    for _ in range(200):
        ports = [card(rings=2, slots=8), card(rings=2, slots=8)]
        both = []
        for port, twin in zip(ports, (slots, interpreted(slots)), strict=True):
            at = [[each for each, *_ in rings] for rings in (port.receive[:2], port.transmit[:1])]
            both.append(twin.Slots(port.memory.map, tuple(at[0]), tuple(at[1]), 3))
            spare = port.memory.buffer()
            assert both[-1].take_spares(spare, 4) == 1
        for _ in range(40):
            what, n, seed = rng.randrange(8), rng.randrange(10), rng.getrandbits(32)
            results = []
            for port, made in zip(ports, both, strict=True):
                own = random.Random(seed)
                result: object = None
                if what == 0:
                    port.deliver(own.randbytes(own.choice((40, 60, 3000))), n % 2)
                    if made.damaged == 0:
                        port.receive_sync()
                elif what == 1:
                    result = [frame.data for frame in made.receive(n)], made.octets
                elif what == 2:
                    result = made.send([own.randbytes(own.choice((60, 5000)))] * n, 0), made.octets
                elif what == 3:
                    result = made.lend(n), made.octets
                elif what == 4:
                    made.give_back(n + 1)
                elif what == 5:
                    result = made.swap(n + 1, 60)
                elif what == 6:
                    result = made.chain([3, 1 << 20]) if n == 0 else made.room()
                elif made.damaged or n < 2:  # damage: the end of a ring, or a slot
                    _, ring, slots_, _ = (*port.receive[:2], port.transmit[0])[own.randrange(3)]
                    if n < 4:
                        ring.tail = own.choice((0, 7, 8, own.getrandbits(32)))
                    else:
                        slots_[own.randrange(8)] = Slot.from_buffer_copy(own.randbytes(16))
                results.append((result, made.damaged, made.spare))
            assert results[0] == results[1]
        assert ports[0].memory.map[:] == ports[1].memory.map[:]


def test_nothing_that_the_memory_holds_leads_out_of_it() -> None:
    rng = random.Random(5)
    for _ in range(150):
        port = card(slots=8)
        kernel = Kernel(port)
        device = NetmapDevice("em0", lend=3, system=kernel)
        loans = []
        try:
            for _ in range(40):
                what = rng.randrange(6)
                if what == 0:
                    _, ring, slots, _ = rng.choice((port.transmit[0], port.receive[0]))
                    if rng.random() < 0.3:
                        ring.tail = rng.choice((0, 7, 8, rng.getrandbits(32)))
                    else:
                        at = rng.randrange(8)
                        first = rng.getrandbits(64) >> rng.randrange(64)
                        slots[at] = Slot.from_buffer_copy(struct.pack("=QQ", first, 0))
                elif what == 1:
                    device._slots.receive(rng.randrange(10))
                elif what == 2:
                    device._slots.send([rng.randbytes(rng.randrange(1, 200))] * rng.randrange(10), 0)
                elif what == 3:
                    loans += [device._loan(each) for each in device._slots.lend(rng.randrange(5))]
                elif loans:
                    loan = loans.pop()
                    if not loan.copied and what == 4:
                        index = device._slots.swap(loan.index, max(1, len(loan)))
                        if index >= 0:
                            loan.owner = None
                            device.take_back(loan, index)
                            continue
                    loan.release()
        finally:
            port.broken = True
            device.close()
