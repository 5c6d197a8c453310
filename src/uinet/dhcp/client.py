"""A DHCP client (RFC 2131, section 4.4): the states of figure 5, and a test for duplicates (RFC 5227) before BOUND.

Messages that are no answer to what was asked, or that give nothing usable, are counted and dropped. All waiting is on
the wheel, all chance from the stack's seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.dhcp.lease import Lease, lease_of
from uinet.errors import InvalidArgument
from uinet.ip.address import LIMITED_BROADCAST
from uinet.ip.interface import DHCP, InterfaceAddress
from uinet.ip.names import DHCP as NAMES_DHCP
from uinet.ip.notice import ADDRESS_REMOVED, DHCP_BOUND, DHCP_LOST
from uinet.ip.routes import DHCP as ROUTE_DHCP
from uinet.ip.routes import RouteEntry
from uinet.units import MILLISECOND, SECOND
from uinet.wheel import Timer
from uinet.wire import dhcp

if TYPE_CHECKING:
    from uinet.dhcp.manager import Dhcp
    from uinet.ip.interface import Interface

INIT = "INIT"
SELECTING = "SELECTING"
REQUESTING = "REQUESTING"
REBOOTING = "REBOOTING"
TESTING = "TESTING"  # the server has said yes; the link is asked whether another host has the address
BOUND = "BOUND"
RENEWING = "RENEWING"
REBINDING = "REBINDING"
STOPPED = "STOPPED"

# RFC 2131, section 4.1
FIRST_WAIT = 4 * SECOND
LONGEST_WAIT = 64 * SECOND
JITTER = 1 * SECOND
REQUESTS = 4  # sent to one server before another is looked for
START_DELAY = 1 * SECOND  # at most; RFC 2131 (4.4.1) says 1 to 10 s, which nobody waits
DECLINE_WAIT = 10 * SECOND  # section 3.1 (5): before it all begins anew
RATE_LIMIT = 60 * SECOND  # RFC 5227, section 2.1.1: after MAX_CONFLICTS
MAX_CONFLICTS = 10
SHORTEST_RENEWAL = 60 * SECOND  # section 4.4.5: between requests in RENEWING and REBINDING
MIN_MTU = 576
METRIC = 100  # of its routes: configured ones come first

WANTED = bytes((
    dhcp.SUBNET_MASK, dhcp.CLASSLESS_ROUTES, dhcp.ROUTER, dhcp.DNS_SERVERS, dhcp.DOMAIN_NAME, dhcp.DOMAIN_SEARCH,
    dhcp.INTERFACE_MTU, dhcp.BROADCAST_ADDRESS, dhcp.LEASE_TIME, dhcp.RENEWAL_TIME, dhcp.REBINDING_TIME,
))


class DhcpClient(Timer):
    """The client of one interface. `state`: one of the words above; `lease`: what it holds, from TESTING on.

    `probe`: test an address before it is used. `error`: why there is no lease, for people.
    """

    def __init__(
        self, manager: Dhcp, interface: Interface, *, host_name: str = "", client_id: bytes = b"",
        requested: bytes = b"", probe: bool = True,
    ) -> None:
        super().__init__()
        if len(host_name) > 253 or (host_name and not dhcp.host_name(host_name.encode())):
            raise InvalidArgument(f"{host_name!r} is no host name")
        if client_id and not 2 <= len(client_id) <= 255:
            raise InvalidArgument("a DHCP client identifier has 2 to 255 bytes")
        self.manager = manager
        self.network = manager.network
        self.interface = interface
        self.host_name = host_name
        self.client_id = client_id or b"\x01" + interface.mac
        self.requested = requested
        self.probe = probe
        self.state = INIT
        self.lease: Lease | None = None
        self.offer: Lease | None = None
        self.entry: InterfaceAddress | None = None
        self.routes: list[RouteEntry] = []
        self.error = "no DHCP server has answered"
        self.xid = 0
        self.began = 0  # ns, of this attempt: the secs field
        self.asked = 0  # ns, when the last request was sent: leases count from there
        self.leased = 0  # ns, when the request was sent that got the lease
        self.tries = 0
        self.conflicts = 0

    def __repr__(self) -> str:
        held = f" {self.lease.ip}/{self.lease.prefix_length}" if self.lease is not None else ""
        return f"<DhcpClient {self.interface.name} {self.state}{held}>"

    # from outside

    def start(self) -> None:
        """Looks for a server, or asks for the address that was held before (INIT-REBOOT)."""
        self._init(self.network.random.below(START_DELAY // MILLISECOND) * MILLISECOND)

    def release(self) -> None:
        """Gives the lease back (section 4.4.6), and stops."""
        if self.lease is not None and self.state in (BOUND, RENEWING, REBINDING):
            self.xid = self.network.random.u32()
            self._send(dhcp.RELEASE, {dhcp.SERVER_ID: self.lease.server}, ciaddr=self.lease.address, unicast=True)
        self.stop()

    def stop(self) -> None:
        """Ends the client, silently; the address is taken away."""
        if self.state != STOPPED:
            self._drop()
            self.state = STOPPED
            self.network.wheel.disarm(self)
            self.manager.stopped(self)

    # the states

    def _init(self, wait: int) -> None:
        self.state = INIT
        self.offer = None
        self.tries = 0
        self.network.wheel.arm(self, self.network.now + wait + 1)

    def expire(self, now: int) -> None:
        """The wait is over: send again, or go on to the next state."""
        if self.state == INIT:
            self._begin(now)
        elif self.state == SELECTING:
            self._discover(now)
        elif self.state in (REQUESTING, REBOOTING):
            if self.tries < REQUESTS:
                self._request(now)
            else:
                self.error = "the DHCP server does not answer requests"
                self.requested = b""
                self._init(0)
        elif self.lease is not None and self.state in (BOUND, RENEWING, REBINDING):
            self._renew(now, self.lease)

    def _begin(self, now: int) -> None:
        self.xid = self.network.random.u32()
        self.began = now
        if self.requested:
            self.state = REBOOTING
            self._request(now)
        else:
            self.state = SELECTING
            self._discover(now)

    def _discover(self, now: int) -> None:
        self._send(dhcp.DISCOVER, self._options())
        self._back_off(now)

    def _request(self, now: int) -> None:
        options = self._options()
        if self.offer is not None:
            options[dhcp.REQUESTED_ADDRESS] = self.offer.address
            options[dhcp.SERVER_ID] = self.offer.server
        else:
            options[dhcp.REQUESTED_ADDRESS] = self.requested  # INIT-REBOOT: of no server in particular
        if self.tries == 0:
            self.asked = now
        self._send(dhcp.REQUEST, options)
        self._back_off(now)

    def _back_off(self, now: int) -> None:
        """Section 4.1: 4, 8, 16, 32, 64 s, each more or less by up to a second."""
        wait = min(FIRST_WAIT << min(self.tries, 8), LONGEST_WAIT)
        self.tries += 1
        jitter = self.network.random.below(2 * JITTER // MILLISECOND + 1) * MILLISECOND - JITTER
        self.network.wheel.arm(self, now + wait + jitter)

    def _renew(self, now: int, lease: Lease) -> None:
        """Section 4.4.5: T1 has come, or T2, or the end."""
        ends = lease.ends(self.leased)
        rebind = self.leased + lease.rebind * SECOND
        if now >= ends:
            self.network.stats.count("dhcp_expired")
            self.error = "the DHCP lease is over"
            self._lost("the lease is over")
            return
        if self.state == BOUND:
            self.xid = self.network.random.u32()
            self.began = now
        self.state = RENEWING if now < rebind else REBINDING
        self.asked = now
        self._send(dhcp.REQUEST, self._options(), ciaddr=lease.address, unicast=self.state == RENEWING)
        until = rebind if self.state == RENEWING else ends
        self.network.wheel.arm(self, min(until, now + max((until - now) // 2, SHORTEST_RENEWAL)))

    # answers

    def input(self, message: dhcp.DhcpMessage) -> None:
        """Takes a message that came by the interface's link from a server's port."""
        stats = self.network.stats
        if message.op != dhcp.BOOTREPLY or message.xid != self.xid or message.chaddr != self.interface.mac:
            stats.count("dhcp_ignored")
            return
        kind, server = message.type, message.address(dhcp.SERVER_ID)
        if kind == dhcp.OFFER and self.state == SELECTING:
            self._offered(message)
        elif kind == dhcp.ACK and self._expects(server):
            self._acknowledged(message)
        elif kind == dhcp.NAK and self._expects(server):
            stats.count("dhcp_nak")
            self.error = "the DHCP server refuses the address"
            self.requested = b""
            self._lost("refused by the server")
        else:
            stats.count("dhcp_ignored")

    def _expects(self, server: bytes) -> bool:
        """Whether a request of ours may be answered by that server now."""
        if self.state == REQUESTING:
            return self.offer is not None and server == self.offer.server
        if self.state == RENEWING:
            return self.lease is not None and server == self.lease.server
        return self.state in (REBOOTING, REBINDING) and server != b""

    def _offered(self, message: dhcp.DhcpMessage) -> None:
        offer = lease_of(message)
        if offer is None or self.network.is_local(offer.address):
            self.network.stats.count("dhcp_bad_offer")
            return
        self.offer = offer
        self.state = REQUESTING
        self.tries = 0
        self._request(self.network.now)

    def _acknowledged(self, message: dhcp.DhcpMessage) -> None:
        lease = lease_of(message)
        wanted = self.lease or self.offer
        address = wanted.address if wanted is not None else self.requested
        if lease is None or lease.address != address:
            self.network.stats.count("dhcp_bad_offer")
            return
        self.leased = self.asked
        if self.lease is not None:
            self._bind(lease)  # extended
            return
        self.lease = lease
        self.state = TESTING
        self.network.wheel.disarm(self)
        entry = InterfaceAddress(lease.address, lease.prefix_length, origin=DHCP, owner=self)
        if self.probe:
            self.network.detector.start(self.interface, entry, self._tested)
        else:
            self.interface.take(entry)
            self.network.announce(self.interface, entry.address)
            self._tested(entry, True)

    def _tested(self, entry: InterfaceAddress, free: bool) -> None:
        if self.lease is None or self.state != TESTING:
            return
        if free:
            self.entry = entry
            self.conflicts = 0
            self._bind(self.lease)
        else:
            self._decline(self.lease)

    def conflict(self, entry: InterfaceAddress) -> bool:
        """Another host insists on the address (RFC 5227, section 2.4 (b)): it is given up."""
        if self.lease is not None:
            lease = self.lease
            self._drop("another host has the address")
            self._decline(lease)
        return False

    def _decline(self, lease: Lease) -> None:
        """Section 3.1 (5): tells the server that the address is taken, and begins anew after a while."""
        self.network.stats.count("dhcp_declined")
        self.conflicts += 1
        self.error = f"another host has the address {lease.ip} that the DHCP server gave"
        self.xid = self.network.random.u32()
        options = {dhcp.REQUESTED_ADDRESS: lease.address, dhcp.SERVER_ID: lease.server}
        self._send(dhcp.DECLINE, options)
        self.lease = None
        self.requested = b""
        self._init(DECLINE_WAIT if self.conflicts < MAX_CONFLICTS else RATE_LIMIT)

    # what a lease changes

    def _bind(self, lease: Lease) -> None:
        news = self.state == TESTING
        self.state = BOUND
        self.tries = 0
        self.requested = lease.address
        old, self.lease = self.lease, lease
        if news or old is None or (old.routes, old.prefix_length) != (lease.routes, lease.prefix_length):
            self._route(lease)
        self._learn(lease)
        if lease.seconds:
            spread = max(1, min(lease.seconds // 64, 30))  # section 4.4.5: some fuzz, not to renew together
            fuzz = self.network.random.below(spread * 1000) * MILLISECOND
            self.network.wheel.arm(self, max(self.network.now + 1, self.leased + lease.renew * SECOND - fuzz))
        else:
            self.network.wheel.disarm(self)
        if news:
            self.network.tell(self.interface, DHCP_BOUND, lease.address)

    def _route(self, lease: Lease) -> None:
        routes = self.network.routes
        for entry in self.routes:
            routes.forget(entry)
        self.routes = [
            routes.learn(
                prefix, length, gateway if any(gateway) else None, self.interface, METRIC + order, ROUTE_DHCP
            )
            for order, (prefix, length, gateway) in enumerate(lease.routes)
        ]

    def _learn(self, lease: Lease) -> None:
        names = self.network.name_servers
        names.forget(self.interface, NAMES_DHCP)
        ends = lease.ends(self.leased)
        for server in lease.name_servers:
            names.learn(self.interface, NAMES_DHCP, server, ends)
        for domain in lease.domains:
            names.learn(self.interface, NAMES_DHCP, domain, ends)
        mtu = lease.mtu if MIN_MTU <= lease.mtu <= self.interface.mtu else 0
        if mtu != self.interface.mtu_v4:
            self.interface.mtu_v4 = mtu
            self.network.changed()

    def _lost(self, why: str) -> None:
        self._drop(why)
        self._init(1 * SECOND)

    def _drop(self, why: str = "") -> None:
        """Takes back all that the lease has changed."""
        lease, entry = self.lease, self.entry
        self.lease = self.offer = self.entry = None
        for route in self.routes:
            self.network.routes.forget(route)
        self.routes = []
        self.network.name_servers.forget(self.interface, NAMES_DHCP)
        self.interface.mtu_v4 = 0
        if lease is None:
            return
        if entry is not None and self.interface.owned.get(entry.address) is entry:
            self.interface.drop(entry)
            self.network.tell(self.interface, ADDRESS_REMOVED, entry.address)
            self.network.tell(self.interface, DHCP_LOST, entry.address, why)
        else:
            self.network.detector.cancel(self.interface, lease.address)

    # out

    def _options(self) -> dict[int, bytes]:
        options = {
            dhcp.PARAMETER_LIST: WANTED,
            dhcp.MAX_SIZE: max(576, min(self.interface.mtu, 65535)).to_bytes(2, "big"),
        }
        if self.host_name:
            options[dhcp.HOST_NAME] = self.host_name.encode()
        return options

    def _send(
        self, kind: int, options: dict[int, bytes], *, ciaddr: bytes = bytes(4), unicast: bool = False
    ) -> None:
        options = {dhcp.MESSAGE_TYPE: bytes([kind]), dhcp.CLIENT_ID: self.client_id, **options}
        secs = min(0xFFFF, (self.network.now - self.began) // SECOND)
        if kind in (dhcp.RELEASE, dhcp.DECLINE):
            secs = 0  # table 5
        flags = 0 if any(ciaddr) or kind == dhcp.DECLINE else dhcp.BROADCAST
        message = dhcp.DhcpMessage(
            dhcp.BOOTREQUEST, self.xid, options, secs, flags, ciaddr=ciaddr, chaddr=self.interface.mac
        )
        server = self.lease.server if unicast and self.lease is not None else LIMITED_BROADCAST
        self.manager.send(self.interface, dhcp.emit(message), ciaddr, server)
