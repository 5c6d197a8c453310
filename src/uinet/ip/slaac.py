"""Addresses of prefixes that routers advertise (RFC 4862, section 5.5).

They are stable (RFC 7217) or made of the MAC, and if asked for there are temporary ones beside them (RFC 8981).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uinet.ip import iid
from uinet.ip.interface import SLAAC, InterfaceAddress
from uinet.ip.notice import ADDRESS_DEPRECATED, ADDRESS_REMOVED
from uinet.ip.settings import NEVER
from uinet.units import MILLISECOND, SECOND
from uinet.wire import nd

if TYPE_CHECKING:
    from uinet.ip.autoconf import Autoconf

TWO_HOURS = 7200 * SECOND
LONGEST = 10**9  # seconds; what is longer is for ever


class Slaac:
    """The addresses that one interface has of routers' prefixes."""

    def __init__(self, autoconf: Autoconf) -> None:
        self.autoconf = autoconf
        self.interface = autoconf.interface
        self.network = autoconf.network
        self.duplicates: dict[bytes, int] = {}  # prefix -> duplicates found under it
        self.regenerate: dict[bytes, int] = {}  # prefix -> when its temporary address wants a successor, ns
        self.desync = 0

    def entries(self, prefix: bytes | None = None) -> list[InterfaceAddress]:
        """The addresses, those under test too; under `prefix` (8 bytes) if given."""
        tested = [detection.entry for detection in self.interface.tentative.values()]
        return [
            entry for entry in (*self.interface.addresses, *tested)
            if entry.origin == SLAAC and (prefix is None or entry.address[:8] == prefix)
        ]

    def advertised(self, info: nd.PrefixInformation, router: bytes, now: int) -> None:
        """RFC 4862, section 5.5.3, from (c) on."""
        if info.preferred_lifetime > info.valid_lifetime:
            self.network.stats.count("nd_ra_refused")
            return
        prefix = info.prefix[:8]
        public = [entry for entry in self.entries(prefix) if not entry.temporary]
        if not public:
            if info.prefix_length != 64:  # (d): prefix and interface identifier have to make 128 bits
                self.network.stats.count("nd_ra_refused")
                return
            if info.valid_lifetime and self._room():
                self._form(prefix, info, router, now)
            return
        for entry in public:
            entry.router = router
            self._refresh(entry, info, now)
        self._refresh_temporary(prefix, info, now)

    def _form(self, prefix: bytes, info: nd.PrefixInformation, router: bytes, now: int) -> None:
        counter = self.duplicates.get(prefix, 0)
        settings = self.network.settings
        if counter and (settings.interface_identifier == iid.EUI64 or counter > settings.dad_retries):
            return  # there was no free one
        if settings.interface_identifier == iid.EUI64:
            identifier = iid.eui64(self.interface.mac)
        else:
            identifier = iid.stable(self.interface, prefix, counter)
        entry = InterfaceAddress(prefix + identifier, 64, origin=SLAAC, on_link=False, router=router)
        entry.valid_until = end(info.valid_lifetime, now)
        entry.preferred_until = end(info.preferred_lifetime, now)
        entry.deprecated = info.preferred_lifetime == 0
        if self._test(entry) and settings.temporary_addresses and info.preferred_lifetime:
            self._form_temporary(prefix, entry, now)

    def _test(self, entry: InterfaceAddress) -> bool:
        if not self._room():
            return False
        if entry.address in self.interface.owned or entry.address in self.interface.tentative:
            return False  # configured by hand
        self.network.detector.start(self.interface, entry, self._tested)
        return True

    def _room(self) -> bool:
        """Whether there may be one more address."""
        if len(self.entries()) < self.network.settings.address_limit:
            return True
        self.network.stats.count("nd_address_limit")
        return False

    def _tested(self, entry: InterfaceAddress, free: bool) -> None:
        """The end of duplicate address detection."""
        now = self.network.now
        if self.autoconf.stopped:
            return
        if not free:
            prefix = entry.address[:8]
            self.duplicates[prefix] = self.duplicates.get(prefix, 0) + 1
            self._again(entry, now)
        self.autoconf.rearm()

    def _again(self, entry: InterfaceAddress, now: int) -> None:
        """Tries another identifier in the place of one that was taken."""
        prefix = entry.address[:8]
        settings = self.network.settings
        if self.duplicates[prefix] > settings.dad_retries:
            return
        if entry.temporary:
            identifier = iid.random(self.interface)
        elif settings.interface_identifier == iid.EUI64:
            return
        else:
            identifier = iid.stable(self.interface, prefix, self.duplicates[prefix])
        other = InterfaceAddress(
            prefix + identifier, 64, origin=SLAAC, on_link=False, router=entry.router, temporary=entry.temporary
        )
        other.valid_until, other.preferred_until = entry.valid_until, entry.preferred_until
        other.deprecated = entry.deprecated
        self._test(other)

    def _refresh(self, entry: InterfaceAddress, info: nd.PrefixInformation, now: int) -> None:
        """(e): the preferred lifetime is what the router says; the valid one is never cut below two hours."""
        entry.preferred_until = end(info.preferred_lifetime, now)
        if entry.deprecated != (info.preferred_lifetime == 0):
            entry.deprecated = not entry.deprecated
            self.network.changed()
        said = end(info.valid_lifetime, now)
        left = entry.valid_until - now if entry.valid_until else NEVER
        if said == 0 or said - now > TWO_HOURS or said - now > left:
            entry.valid_until = said
        elif left > TWO_HOURS:
            entry.valid_until = now + TWO_HOURS

    # temporary addresses

    def _form_temporary(self, prefix: bytes, public: InterfaceAddress, now: int) -> None:
        """RFC 8981, section 3.4."""
        settings = self.network.settings
        if self.desync == 0:
            most = settings.temporary_preferred * 2 // 5
            self.desync = 1 + self.network.random.below(most // MILLISECOND + 1) * MILLISECOND
        preferred = min(settings.temporary_preferred - self.desync, left_of(public.preferred_until, now))
        advance = 2 * SECOND + settings.dad_retries * settings.dad_transmits * self.interface.retrans_time
        if preferred <= advance:
            return  # (5): it would be deprecated at once
        entry = InterfaceAddress(
            prefix + iid.random(self.interface), 64, origin=SLAAC, on_link=False, router=public.router, temporary=True
        )
        entry.created = now
        entry.preferred_until = now + preferred
        entry.valid_until = now + min(settings.temporary_valid, left_of(public.valid_until, now))
        if self._test(entry):
            self.regenerate[prefix] = entry.preferred_until - advance

    def _refresh_temporary(self, prefix: bytes, info: nd.PrefixInformation, now: int) -> None:
        """RFC 8981, section 3.4 (1) to (3): never longer than the prefix, nor than they were meant to live."""
        settings = self.network.settings
        for entry in self.entries(prefix):
            if entry.temporary:
                born = entry.created or now
                entry.valid_until = min(born + settings.temporary_valid, end(info.valid_lifetime, now) or NEVER)
                longest = born + settings.temporary_preferred - self.desync
                entry.preferred_until = min(longest, end(info.preferred_lifetime, now) or NEVER)

    # time

    def expire(self, now: int) -> None:
        """Deprecates and removes addresses whose time is over, and makes successors of temporary ones."""
        for prefix, at in list(self.regenerate.items()):
            if at <= now:
                del self.regenerate[prefix]
                for entry in self.entries(prefix):
                    if not entry.temporary and not entry.deprecated:
                        self._form_temporary(prefix, entry, now)
                        break
        for entry in self.entries():
            if entry.valid_until and entry.valid_until <= now:
                self._remove(entry)
            elif entry.preferred_until and entry.preferred_until <= now and not entry.deprecated:
                entry.deprecated = True
                self.network.changed()
                self.network.tell(self.interface, ADDRESS_DEPRECATED, entry.address)

    def _remove(self, entry: InterfaceAddress) -> None:
        if entry.address in self.interface.owned:
            self.interface.drop(entry)
            self.network.tell(self.interface, ADDRESS_REMOVED, entry.address)
        else:
            self.network.detector.cancel(self.interface, entry.address)

    def next_end(self) -> int:
        """When `expire` has something to do, ns; NEVER if never."""
        soonest = min(self.regenerate.values(), default=NEVER)
        for entry in self.entries():
            soonest = min(soonest, entry.valid_until or NEVER)
            if not entry.deprecated:
                soonest = min(soonest, entry.preferred_until or NEVER)
        return soonest

    def stop(self) -> None:
        """Removes all addresses."""
        for entry in self.entries():
            self._remove(entry)
        self.regenerate.clear()


def end(lifetime: int, now: int) -> int:
    """When a lifetime in seconds is over, ns; 0 if never. One of 0 seconds is over now."""
    return 0 if lifetime > LONGEST else now + lifetime * SECOND


def left_of(until: int, now: int) -> int:
    """How long it is until then, ns; NEVER for 0."""
    return until - now if until else NEVER
