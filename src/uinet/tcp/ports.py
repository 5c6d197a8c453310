"""Ephemeral ports (RFC 6056, algorithm 3: simple hash-based selection, with a counter for each stack)."""

from __future__ import annotations

from uinet.tcp.context import Context
from uinet.tcp.table import Entry
from uinet.wire.kernels import join

TRIES = 4096  # a full range is reported, not searched for ever


class Ports:
    """Chooses the local port of connections that did not ask for one."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.counter = context.network.random.u16()

    def choose(self, entry: Entry) -> bool:
        """Gives `entry`, whose other key fields are set, a port with which its tuple is free; False if none was found.

        All 28,000 ports can be in use with each peer at once: only the whole tuple has to be unique. Of several workers
        that share an interface each uses those whose answers come to it.
        """
        context = self.context
        settings = context.settings
        low = settings.port_low
        count = settings.port_high - low + 1
        entry.lport = 0
        offset = context.secrets.tuple_hash(entry, 4, 0)
        table = context.table
        owns = context.network.owns
        local = remote = b""
        if owns is not None:
            local = join(entry.laddr_hi, entry.laddr_lo)
            remote = join(entry.raddr_hi, entry.raddr_lo)
        for _ in range(min(count, TRIES)):
            self.counter = (self.counter + 1) & 0xFFFFFFFF
            port = low + (offset + self.counter) % count
            if owns is not None and not owns(local, port, remote, entry.rport):
                continue
            if table.find(
                entry.cdom, entry.vids, entry.laddr_hi, entry.laddr_lo, port, entry.raddr_hi, entry.raddr_lo,
                entry.rport,
            ) is None:
                table.set_key(
                    entry, entry.cdom, entry.vids, entry.laddr_hi, entry.laddr_lo, port, entry.raddr_hi,
                    entry.raddr_lo, entry.rport,
                )
                return True
        context.stats.count("tcp_port_exhausted")
        return False
