"""Our stack as the machine under test, on virtual time."""

from __future__ import annotations

from uinet.link.offload import finish
from uinet.sim.packetdrill.commands import Commands
from uinet.sim.packetdrill.config import Config
from uinet.sim.packetdrill.matcher import Sniffed
from uinet.sim.packetdrill.personas import Persona
from uinet.sim.packetdrill.stack_system import StackSystem
from uinet.stack import Stack
from uinet.tcp.table import Entry
from uinet.units import SECOND
from uinet.wire.addresses import split, unpack_address
from uinet.wire.frame import gathered

BEGIN = 1000 * SECOND  # of the stack's time
SETTLE = 700 * SECOND  # after which nothing of a closed connection may be left


class StackBackend:
    """A stack with one layer-3 link. `seed`: what makes its random numbers."""

    checked = True

    def __init__(self, config: Config, persona: Persona, seed: bytes = b"packetdrill") -> None:
        self.config = config
        self.stack = Stack(seed, BEGIN)
        self.stack.simulated = True
        for name, value in persona.settings.items():
            if not hasattr(self.stack.tcp.settings, name):
                raise AttributeError(name)
            setattr(self.stack.tcp.settings, name, value)
        self.link = self.stack.add_interface("tun0", layer=3, mtu=config.mtu)
        self.link.gathers = config.offload
        length = 48 if config.v6 else 16
        self.link.add_address(f"{unpack_address(config.local)}/{length}")
        self.stack.routes.add("::/0" if config.v6 else "0.0.0.0/0", interface=self.link)
        self.system = StackSystem(self.stack, persona)
        if config.md5_secret is not None:
            self.system.md5_key = config.remote, config.md5_secret
        self.commands = Commands(self.stack, self.system.allow_fast_open)
        self.sent: list[Sniffed] = []

    @property
    def now(self) -> int:
        return self.stack.now - BEGIN

    def start(self) -> None:
        self._collect()
        self.sent.clear()

    def _collect(self) -> None:
        for frame in self.stack.output(self.link):
            for packet in finish(gathered(frame), 3):
                self.sent.append(Sniffed.of(self.now, packet.data))

    def advance(self, limit: int) -> None:
        until = BEGIN + limit
        deadline = self.stack.next_deadline()
        self.stack.poll(until if deadline is None else max(min(deadline, until), self.stack.now))
        self._collect()

    def flush(self) -> None:
        self.stack.poll(self.stack.now)
        self._collect()

    def inject(self, packets: list[bytes]) -> None:
        self.stack.input(self.link, packets, self.stack.now)
        self._collect()

    def fast_open_cookie(self, client: bytes, server: bytes) -> bytes:
        """The Fast Open cookie that this machine gives that client now."""
        entry = Entry()
        self.stack.tcp.table.set_key(entry, 0, b"", *split(server), 0, *split(client), 0)
        cookie: bytes = self.stack.tcp.fast_server.make(entry, self.stack.now, b"")
        return cookie

    def take(self) -> list[Sniffed]:
        sent, self.sent = self.sent, []
        return sent

    def command(self, text: str) -> None:
        self.commands.run(text)

    def finish(self) -> list[str]:
        end = self.now + SETTLE
        for _ in range(100_000):
            if self.now >= end:
                break
            self.advance(end)
        return self._left_over()

    def _left_over(self) -> list[str]:
        """What is left of connections, when all of them are over."""
        tcp = self.stack.tcp
        counts = {
            "connections": tcp.connections, "half-open connections": tcp.syn_count,
            "connections in TIME-WAIT": len(tcp.time_wait), "bytes in receive buffers": tcp.received_bytes,
            "entries in the table": len(list(tcp.table)),
        }
        return [f"{count} {what}" for what, count in counts.items() if count]

    def close(self) -> None:
        self.stack.events()
