"""Runs a honeypot on a device: frames, time, and the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from uinet.driver import Driver
from uinet.errors import InvalidArgument
from uinet.honeypot.engine import DOMAIN, Honeypot, Options
from uinet.honeypot.journal import Journal
from uinet.honeypot.watch import Watch
from uinet.link.device import Device
from uinet.link.wrapper import Wrapper
from uinet.stack import Stack
from uinet.wire.addresses import network_of, parse_prefix, unpack_address
from uinet.wire.frame import Frame

ROUNDS = 8  # of reading in one turn, where everything that is read is for others
FLUSH = 0.5
RECEIVE_MEMORY = 64 << 20
SYN_CACHE = 4096


class Gate(Wrapper):
    """A device of which only those frames come that a watch lets pass."""

    def __init__(self, inner: Device, watch: Watch, clock: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(inner)
        self.watch = watch
        self.clock = clock

    def recv(self, limit: int = 64) -> list[Frame]:
        found: list[Frame] = []
        for _ in range(ROUNDS):
            frames = self.inner.recv(limit - len(found))
            full = len(frames) == limit - len(found)
            found += self.watch.sift(frames, self.clock())
            if not full or len(found) == limit:
                return found
        self._inner_readable()  # there may be more, and a device without descriptor says so once
        return found


def check_prefixes(prefixes: Sequence[str]) -> list[tuple[bytes, int]]:
    """The prefixes as (packed, length); InvalidArgument for what is none, or has bits behind its length."""
    found = []
    for text in prefixes:
        packed, length = parse_prefix(text)
        if network_of(packed, length) != packed:
            good = network_of(packed, length)
            raise InvalidArgument(f"{text} has bits behind its prefix: want {unpack_address(good)}/{length}")
        if packed[0] >= (224 if len(packed) == 4 else 255):
            raise InvalidArgument(f"{text} is multicast: want addresses of hosts")
        found.append((packed, length))
    if not found:
        raise InvalidArgument("no prefix: want the addresses to answer for, such as 10.66.0.0/16")
    return found


class Running:
    """A honeypot at work on `device`. `stop` ends `run`."""

    def __init__(
        self, device: Device, prefixes: Sequence[str], options: Options, journal: Journal, *,
        seed: bytes | None = None, remember: int = 65536, sources: int = 8192,
    ) -> None:
        wanted = check_prefixes(prefixes)
        self.journal = journal
        now = time.monotonic_ns()
        self.stack = Stack(seed or os.urandom(32), now)
        self.stack.tcp.settings.syn_cache_limit = max(SYN_CACHE, options.backlog)
        self.stack.tcp.settings.receive_memory = RECEIVE_MEMORY
        self.interface = self.stack.add_interface(
            "listen", mac=device.mac, mtu=device.mtu, layer=device.layer, checksums=device.checksums, cdom=DOMAIN,
            promiscuous=True, answer_any=True,
        )
        self.interface.answer_prefixes = wanted
        self.watch = Watch(
            list(prefixes), mac=self.interface.mac, layer=device.layer, remember=remember, sources=sources
        )
        self.driver = Driver(self.stack)
        self.driver.add_device(Gate(device, self.watch), self.interface)
        self.honeypot = Honeypot(
            self.stack, self.watch, options, journal.write, time.time_ns() - time.monotonic_ns()
        )
        self.stopping = False
        self.reopening = False

    def stop(self) -> None:
        """Ends `run` soon."""
        self.stopping = True

    def run(self, on_turn: Callable[[], None] | None = None) -> None:
        """Answers until told to stop. `on_turn`: called about twice a second. DeviceGone if the device vanishes,
        BrokenPipeError if nobody reads the log any more."""
        flushed = time.monotonic()
        while not self.stopping:
            if not self.driver.run_once(FLUSH):
                return
            now = time.monotonic()
            if self.reopening:
                self.reopening = False
                self.journal.reopen()
            if now - flushed >= FLUSH:
                flushed = now
                self.journal.flush()
                if on_turn is not None:
                    on_turn()

    def close(self) -> None:
        """Logs what is left and closes everything."""
        try:
            self.honeypot.close()
            self.journal.flush()
        finally:
            self.driver.close()
            self.stack.close()
