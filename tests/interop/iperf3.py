"""An iperf3 server's half of the protocol over asyncio streams, so that the real iperf3 can drive the stack.

The control connection carries one-byte states and JSON behind a 4-byte length; data connections begin with the
37-byte cookie of the control connection and then carry bytes one way.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

TEST_START, TEST_RUNNING, TEST_END = 1, 2, 4
PARAM_EXCHANGE, CREATE_STREAMS, EXCHANGE_RESULTS, DISPLAY_RESULTS, IPERF_DONE = 9, 10, 13, 14, 16
COOKIE = 37
BLOCK = bytes(131072)


BEAT = 0.01  # seconds


class IperfServer:
    """Serves one test; `bytes` counts the payload that it has received or sent.

    `longest_gap`: seconds in which none was, as far as this process could do anything: they are counted in beats of its
    event loop, of which there are few while others have the processor.
    """

    def __init__(self) -> None:
        self.cookie = b""
        self.streams: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.bytes = 0
        self.beats = 0
        self.longest_gap = 0.0
        self.finished = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Any connection: the first is the control connection."""
        cookie = await reader.readexactly(COOKIE)
        if not self.cookie:
            self.cookie = cookie
            await self.control(reader, writer)
            return
        assert cookie == self.cookie
        await self.streams.put((reader, writer))
        await self.finished.wait()

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes([PARAM_EXCHANGE]))
        parameters = await self.read_json(reader)
        writer.write(bytes([CREATE_STREAMS]))
        streams = [await self.streams.get() for _ in range(parameters.get("parallel", 1))]
        writer.write(bytes([TEST_START]))
        writer.write(bytes([TEST_RUNNING]))
        work = self.fill if parameters.get("reverse") else self.drain
        tasks = [asyncio.create_task(work(*stream)) for stream in streams]
        tasks.append(asyncio.create_task(self.beat()))
        assert await reader.readexactly(1) == bytes([TEST_END])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, data in streams:  # as iperf3 does: its other half may be waiting for the rest of a block
            data.close()
        writer.write(bytes([EXCHANGE_RESULTS]))
        await self.read_json(reader)
        self.write_json(writer, self.results(len(streams)))
        writer.write(bytes([DISPLAY_RESULTS]))
        await reader.readexactly(1)
        writer.close()
        self.finished.set()

    async def drain(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        last = self.beats
        while data := await reader.read(1 << 18):
            self.bytes += len(data)
            last = self.passed(last)

    async def fill(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        last = self.beats
        while True:
            writer.write(BLOCK)
            await writer.drain()
            self.bytes += len(BLOCK)
            last = self.passed(last)

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            self.beats += 1

    def passed(self, last: int) -> int:
        """Notes how long nothing has moved since the beat `last`; which one it is now."""
        self.longest_gap = max(self.longest_gap, (self.beats - last) * BEAT)
        return self.beats

    def results(self, count: int) -> dict[str, Any]:
        stream = {"retransmits": -1, "jitter": 0, "errors": 0, "packets": 0, "start_time": 0, "end_time": 1}
        return {
            "cpu_util_total": 0, "cpu_util_user": 0, "cpu_util_system": 0, "sender_has_retransmits": 0,
            "streams": [{"id": 1 if i == 0 else i + 2, "bytes": self.bytes // count, **stream} for i in range(count)],
        }

    async def read_json(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        length = int.from_bytes(await reader.readexactly(4), "big")
        found: dict[str, Any] = json.loads(await reader.readexactly(length))
        return found

    def write_json(self, writer: asyncio.StreamWriter, value: dict[str, Any]) -> None:
        text = json.dumps(value).encode()
        writer.write(len(text).to_bytes(4, "big") + text)
