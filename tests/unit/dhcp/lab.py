"""A stack with one Ethernet interface, and the other end of its cable: a DHCP server made of our wire code."""

from __future__ import annotations

from typing import Any

from uinet.dhcp.client import DhcpClient
from uinet.ip.notice import LinkEvent
from uinet.stack import Stack
from uinet.units import SECOND
from uinet.wire import arp, build, dhcp, udp
from uinet.wire.addresses import BROADCAST_MAC, L2Info, Mac, pack_address
from uinet.wire.dissection import Dissected

OURS = Mac("02:00:00:00:00:02")
SERVER_MAC = Mac("02:00:00:00:00:01")
OTHER_MAC = Mac("02:00:00:00:00:09")
SERVER = "10.0.0.1"
ADDRESS = "10.0.0.50"
STEP = SECOND // 20


def p(address: str) -> bytes:
    return pack_address(address)


def seconds(value: int) -> bytes:
    return value.to_bytes(4, "big")


def lease_options(**changes: bytes | None) -> dict[int, bytes]:
    """The options of a usual lease of 3600 s; `changes` by the names of `uinet.wire.dhcp`, None leaves one out."""
    options = {
        dhcp.SERVER_ID: p(SERVER), dhcp.LEASE_TIME: seconds(3600), dhcp.SUBNET_MASK: p("255.255.255.0"),
        dhcp.ROUTER: p(SERVER),
    }
    for name, value in changes.items():
        code = getattr(dhcp, name)
        options.pop(code, None)
        if value is not None:
            options[code] = value
    return options


class Lab:
    """`client` on `eth0`; `sent` is what came out, oldest first."""

    def __init__(self, seed: bytes = b"dhcp", **options: Any) -> None:
        self.stack = Stack(seed=seed, now=1000 * SECOND)
        self.stats = self.stack.stats
        self.eth0 = self.stack.add_interface("eth0", mac=str(OURS))
        self.events: list[LinkEvent] = []
        self.stack.on_link_event = self.events.append
        self.out: list[Dissected] = []
        self.stack.neighbors.add(SERVER, SERVER_MAC, self.eth0)
        options.setdefault("probe", False)
        self.client: DhcpClient = self.stack.start_dhcp(self.eth0, **options)

    @property
    def now(self) -> float:
        return self.stack.now / SECOND

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def _collect(self) -> None:
        for frame in self.stack.output(self.eth0):
            self.out.append(build.dissect(frame.data))

    def advance(self, wait: float) -> None:
        end = self.stack.now + round(wait * SECOND)
        while self.stack.now < end:
            self.stack.poll(min(end, self.stack.now + STEP))
            self._collect()

    def receive(self, frame: bytes) -> None:
        self.stack.input(self.eth0, [frame], self.stack.now)
        self._collect()

    def messages(self) -> list[dhcp.DhcpMessage]:
        """The DHCP messages sent since the last call."""
        frames, self.out = self.out, []
        self.last = [frame for frame in frames if udp.UdpHeader in frame and frame.udp.destination_port == 67]
        return [dhcp.parse(frame.payload) for frame in self.last]

    def arps(self) -> list[arp.ArpPacket]:
        frames, self.out = self.out, []
        return [frame.arp for frame in frames if arp.ArpPacket in frame]

    def one(self, kind: int, within: float = 1.5) -> dhcp.DhcpMessage:
        """The next message, which has to be of that type and the only one, within some seconds."""
        found: list[dhcp.DhcpMessage] = []
        end = self.now + within
        while not found and self.now < end:
            self.advance(0.05)
            found = self.messages()
        assert [dhcp.NAMES[message.type] for message in found] == [dhcp.NAMES[kind]]
        return found[0]

    def answer(
        self, kind: int, *, options: dict[int, bytes] | None = None, source: str = SERVER, to: str = "255.255.255.255",
        port: int = 67, yiaddr: str = ADDRESS, **fields: Any,
    ) -> None:
        """A reply of the server; `fields`: of the message, instead of the right ones."""
        values: dict[str, Any] = {
            "op": dhcp.BOOTREPLY, "xid": self.client.xid, "chaddr": bytes(OURS), "yiaddr": p(yiaddr), **fields,
        }
        chosen = lease_options() if options is None else options
        message = dhcp.DhcpMessage(options={dhcp.MESSAGE_TYPE: bytes([kind]), **chosen}, **values)
        self.receive_udp(dhcp.emit(message), source=source, to=to, port=port)

    def receive_udp(self, payload: bytes, *, source: str = SERVER, to: str = "255.255.255.255", port: int = 67) -> None:
        mac = BROADCAST_MAC if to == "255.255.255.255" else OURS
        self.receive(build.udp(source, to, port, 68, payload, l2=L2Info(SERVER_MAC, mac)))

    def nak(self, **fields: Any) -> None:
        self.answer(dhcp.NAK, options={dhcp.SERVER_ID: p(SERVER)}, yiaddr="0.0.0.0", **fields)

    def bound(self, **changes: bytes | None) -> Lab:
        """Past the first exchange."""
        options = lease_options(**changes)
        self.one(dhcp.DISCOVER)
        self.answer(dhcp.OFFER, options=options)
        self.one(dhcp.REQUEST)
        self.answer(dhcp.ACK, options=options)
        assert self.client.state == "BOUND"
        return self
