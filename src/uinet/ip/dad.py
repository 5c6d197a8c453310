"""Whether an address is free on its link, asked before it is used: RFC 4862 section 5.4 for IPv6, RFC 5227 for IPv4.

An address under test is in `Interface.tentative` and nowhere else: nothing is received at it or sent from it. Probes of
IPv6 carry a nonce (RFC 7527), so that one that the link hands back is not taken for another host's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from uinet.errors import AddressError
from uinet.ip.notice import ADDRESS_ADDED, ADDRESS_DUPLICATE
from uinet.wheel import Timer
from uinet.wire.addresses import unpack_address
from uinet.wire.nd import is_link_local, solicited_node

if TYPE_CHECKING:
    from uinet.ip.interface import Interface, InterfaceAddress
    from uinet.ip.network import Network

Done = Callable[["InterfaceAddress", bool], None]  # told whether the address is free, and then ours

WAITING = 0  # the first probe is to be sent
PROBING = 1
ANNOUNCING = 2  # ours (IPv4): announcements are left to be sent

NONCE_LENGTH = 6
LOOPED_BACK_PROBES = 3  # RFC 7527, section 4.2: probes more if one of ours came back
MICROSECOND = 1000


class Detection(Timer):
    """One address under test."""

    def __init__(self, detector: Detector, interface: Interface, entry: InterfaceAddress, done: Done | None) -> None:
        super().__init__()
        self.detector = detector
        self.interface = interface
        self.entry = entry
        self.done = done
        self.phase = WAITING
        self.left = 0  # probes, then announcements, to be sent
        self.nonce = b""
        self.looped_back = False

    def expire(self, now: int) -> None:
        self.detector.expired(self, now)


class Detector:
    """Duplicate address detection of one stack."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.announcing: dict[tuple[int, bytes], Detection] = {}

    def start(
        self, interface: Interface, entry: InterfaceAddress, done: Done | None = None, *, delay: bool = True
    ) -> None:
        """Tests `entry`, and makes it an address of `interface` if no host of the link has it; then calls `done`.

        `delay`: a random time passes first, so that hosts that start together do not speak together. Where there is
        nobody to ask, on layer 3 or with `dad_transmits` 0, the address is taken at once. AddressError if it is there.
        """
        if entry.address in interface.owned or entry.address in interface.tentative:
            raise AddressError(f"{interface.name} already has {unpack_address(entry.address)}")
        settings = self.network.settings
        detection = Detection(self, interface, entry, done)
        version6 = len(entry.address) == 16
        detection.left = settings.dad_transmits if version6 else settings.probe_num
        interface.tentative[entry.address] = detection
        if interface.layer != 2 or detection.left == 0 or interface.quiet:
            self._free(detection)
            return
        if version6:
            interface.join(solicited_node(entry.address))  # RFC 4862, section 5.4.2
        longest = settings.solicitation_delay if version6 else settings.probe_wait
        wait = self._spread(0, longest) if delay else 0
        self.network.wheel.arm(detection, self.network.now + wait)

    def cancel(self, interface: Interface, address: bytes) -> bool:
        """Ends a test without a verdict; whether there was one."""
        detection = interface.tentative.get(address)
        if detection is not None:
            self._end(detection)
            return True
        announcing = self.announcing.pop((interface.index, address), None)
        if announcing is not None:
            self.network.wheel.disarm(announcing)
        return False

    def conflict(self, interface: Interface, address: bytes) -> bool:
        """Another host has or tests `address`; whether it is under test here: then it is not used."""
        detection = interface.tentative.get(address)
        if detection is None:
            return False
        self.network.stats.count("dad_duplicate")
        self._end(detection)
        self.network.tell(interface, ADDRESS_DUPLICATE, address)
        if detection.done is not None:
            detection.done(detection.entry, False)
        return True

    def solicited(self, interface: Interface, address: bytes, nonce: bytes) -> bool:
        """A host tests `address` itself (RFC 4862, section 5.4.3); whether it is under test here too."""
        detection = interface.tentative.get(address)
        if detection is None:
            return False
        if nonce and nonce == detection.nonce:
            self.network.stats.count("dad_looped_back")
            if not detection.looped_back:
                detection.looped_back = True
                detection.left += LOOPED_BACK_PROBES
            return True
        return self.conflict(interface, address)

    # inside

    def expired(self, detection: Detection, now: int) -> None:
        """The timer of `detection` has run out: the next probe or announcement, or the verdict."""
        settings = self.network.settings
        interface, address = detection.interface, detection.entry.address
        if detection.phase == ANNOUNCING:
            self._announce(detection)
            return
        detection.phase = PROBING
        if detection.left == 0:
            self._free(detection)
            return
        detection.left -= 1
        if len(address) == 16:
            detection.nonce = self.network.random.bytes(NONCE_LENGTH)
            self.network.nd.probe(interface, address, detection.nonce)
            wait = interface.retrans_time
        else:
            self.network.arp.probe(interface, address)
            wait = self._spread(settings.probe_min, settings.probe_max)
            if detection.left == 0:
                wait = settings.announce_wait
        self.network.wheel.arm(detection, now + wait)

    def _free(self, detection: Detection) -> None:
        """Nobody has the address: it is ours now."""
        interface, entry = detection.interface, detection.entry
        self._end(detection)
        interface.take(entry)
        self.network.tell(interface, ADDRESS_ADDED, entry.address)
        if is_link_local(entry.address):
            self.network.groups.repeat(interface)  # reports from :: may have been ignored (RFC 3590, section 4)
        if len(entry.address) == 4 and interface.layer == 2:
            detection.phase = ANNOUNCING
            detection.left = self.network.settings.announce_num
            self.announcing[(interface.index, entry.address)] = detection
            self._announce(detection)
        if detection.done is not None:
            detection.done(entry, True)

    def _announce(self, detection: Detection) -> None:
        """RFC 5227, section 2.3."""
        interface, address = detection.interface, detection.entry.address
        if detection.left > 0 and interface.owns(address):
            detection.left -= 1
            self.network.arp.announce(interface, address)
        if detection.left > 0 and interface.owns(address):
            self.network.wheel.arm(detection, self.network.now + self.network.settings.announce_interval)
        else:
            self.announcing.pop((interface.index, address), None)

    def _end(self, detection: Detection) -> None:
        interface, address = detection.interface, detection.entry.address
        self.network.wheel.disarm(detection)
        if interface.tentative.pop(address, None) is not None and len(address) == 16 and interface.layer == 2:
            group = solicited_node(address)
            if group in interface.groups:
                interface.leave(group)

    def _spread(self, least: int, most: int) -> int:
        """A random time between the two, ns."""
        return least + self.network.random.below((most - least) // MICROSECOND + 1) * MICROSECOND
