"""Runs a proxy over two devices on the running event loop, until it is stopped or a device vanishes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from uinet.aio.devices import memory_of
from uinet.aio.host import Host
from uinet.link import Capture, Device, FlowFiles, open_device
from uinet.proxy.coded import CodedJoint
from uinet.proxy.coding import Coding
from uinet.proxy.connection import Connection, Joint
from uinet.proxy.engine import CONNECT_TIMEOUT, Joiner, Proxy, splice_sockets
from uinet.proxy.match import EVERYTHING, Match
from uinet.proxy.policy import Policy
from uinet.proxy.stopping import Stoppable
from uinet.proxy.streams import StreamJoint
from uinet.sockopt import IP_COPY_MODE_MAYBE, IP_COPY_MODE_ON

if TYPE_CHECKING:
    from uinet.ip.interface import Interface
    from uinet.socket import Socket

logger = logging.getLogger("uinet")
SIDES = ("client-side", "server-side")
IDLE_CHECK = 0.05
FLUSH = 1.0


def open_side(url: str) -> Device:
    """A device that hands over every frame of its link."""
    return open_device(url, registry=memory_of(asyncio.get_running_loop()))


@dataclass
class Options:
    """What a proxy is to do. `drain`: seconds that open connections get at the end; `capture`: a folder; `per_flow`:
    each side of each connection has a capture of its own there, of at most `flow_limit` bytes (0: no limit), `maybe`:
    once the policy has decided that. `coding`: the codecs towards another proxy; it is closed in the end.
    """

    policy: Policy | None = None
    match: Match = EVERYTHING
    bridge: bool = True
    one_way: bool = False
    connect_timeout: int = CONNECT_TIMEOUT
    capture: Path | None = None
    per_flow: bool = False
    maybe: bool = False
    flow_limit: int = 0
    drain: float = 0.0
    seed: bytes | None = None
    on_event: Callable[[str, Connection], None] | None = None
    coding: Coding | None = None


class Runner(Stoppable):
    """A proxy at work. Use as ``async with Runner(...) as runner: await runner.run()``.

    `client_side`, `server_side`: devices, or their URLs. `epoch`: what to add to the stack's times, in ns, to
    get the time of day.
    """

    def __init__(self, client_side: str | Device, server_side: str | Device, options: Options) -> None:
        self.wanted = (client_side, server_side)
        self.options = options
        self.proxy: Proxy
        self.host: Host
        self.devices: list[Device] = []
        self.epoch = time.time_ns() - time.monotonic_ns()
        super().__init__()
        self.gone: Exception | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.files: FlowFiles | None = None

    async def __aenter__(self) -> Runner:
        options = self.options
        if options.capture is not None:
            options.capture.mkdir(parents=True, exist_ok=True)
        self._open_devices()
        self.host = await Host(seed=options.seed).__aenter__()
        try:
            sides = [
                await self.host.add_device(device, name=name, cdom=number, promiscuous=True)
                for number, (name, device) in enumerate(zip(SIDES, self.devices, strict=True), 1)
            ]
            self.host.on_device_gone = self._device_gone
            if options.capture is not None and options.per_flow:
                self._copy_flows(options.capture)
            self.proxy = self._make_proxy(*sides)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.proxy.abort()
        for task in self.tasks:
            task.cancel()
        await self._close()

    async def _close(self) -> None:
        self.host.abort()
        await self.host.wait_closed()
        self._close_devices()
        if self.files is not None:
            self.files.close()
        if self.options.coding is not None:
            self.options.coding.close()

    def _open_devices(self) -> None:
        try:
            for name, wanted in zip(SIDES, self.wanted, strict=True):
                device = open_side(wanted) if isinstance(wanted, str) else wanted
                self.devices.append(device)
                if self.options.capture is not None and not self.options.per_flow:
                    path = self.options.capture / f"{name}.pcapng"
                    self.devices[-1] = Capture(device, str(path))
        except BaseException:
            self._close_devices()
            raise

    def _close_devices(self) -> None:
        for device in self.devices:
            device.close()

    def _copy_flows(self, directory: Path) -> None:
        """Has each connection's packets written to a file of its own."""
        self.files = FlowFiles(directory)
        mode = IP_COPY_MODE_MAYBE if self.options.maybe else IP_COPY_MODE_ON
        self.host.stack.copy_flows(self.files, mode=mode, limit=self.options.flow_limit)
        task = asyncio.create_task(self._flush(self.files), name="uinet proxy captures")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _flush(self, files: FlowFiles) -> None:
        """Who reads the captures while they grow waits for a second at most."""
        while True:
            await asyncio.sleep(FLUSH)
            files.flush()

    def _make_proxy(self, client_side: Interface, server_side: Interface) -> Proxy:
        options = self.options
        return Proxy(
            self.host.stack,
            client_side,
            server_side,
            policy=options.policy,
            match=options.match,
            connect_timeout=options.connect_timeout,
            bridge=options.bridge,
            one_way=options.one_way,
            join=self._joiner(),
            run=self._run_later,
            on_event=options.on_event,
            on_error=logger.error,
        )

    def _joiner(self) -> Joiner:
        """What joins two sockets: a codec, a policy's functions, or the engine."""
        policy, coding = self.options.policy, self.options.coding
        if coding is not None:
            return partial(CodedJoint, asyncio.get_running_loop(), policy, coding)
        return splice_sockets if policy is None or not policy.rewrites else partial(self._join, policy)

    def _join(self, policy: Policy, connection: Connection, client: Socket, server: Socket) -> Joint:
        return StreamJoint(asyncio.get_running_loop(), policy, connection, client, server)

    def _run_later(self, work: Awaitable[object], later: Callable[[object], None]) -> None:
        """Runs an ``async def decide``; `later` gets its result, or its exception."""

        async def run() -> None:
            result: object
            try:
                result = await work
            except (Exception, SystemExit, asyncio.CancelledError) as error:
                result = error  # cancelled: if it was us, nobody waits for the answer any more
            later(result)

        # not create_task: an eager task factory would deliver the verdict before DEFER is returned
        task = asyncio.Task(run(), loop=asyncio.get_running_loop(), name="uinet proxy policy")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _device_gone(self, interface: Interface, error: Exception) -> None:
        self.gone = self.gone or error
        self.stopping.set()
        self.hurry.set()

    async def run(self) -> None:
        """Proxies until stopped, and drains. DeviceGone if a device vanishes."""
        await self.stopping.wait()
        self.proxy.drain()
        if self.gone is None and self.options.drain > 0:
            await self._drained()
        self.proxy.abort()
        if self.gone is not None:
            raise self.gone

    async def _drained(self) -> None:
        """Returns when no connection is open any more, when the time is up, or when told to hurry."""
        try:
            async with asyncio.timeout(self.options.drain):
                while self.proxy.active and not self.hurry.is_set():
                    await asyncio.sleep(IDLE_CHECK)
        except TimeoutError:
            logger.info("%d connections were still open after draining", len(self.proxy.active))
