"""A third host on the segment watches what two others say to each other: sockets, readers, transports."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any

import pytest

import uinet
from tests.sim.programs import pattern, sha
from tests.unit.passive_sockets.lab import Silent, Talk
from uinet import ANY, Hole, InvalidArgument, NotSupported, PassiveSocket, Verdict
from uinet.aio import PassiveTransport, WatchedReader
from uinet.sim.network import Network


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_a_mirror_of_a_transfer(v6: bool, loss: float) -> None:
    """Two hosts exchange data over a segment that loses and reorders frames on its way into it: what they lose is sent
    again, and the watcher's streams are whole. It says nothing itself.
    """
    addresses = ["fd00::1/64", "fd00::2/64"] if v6 else ["10.0.0.1/24", "10.0.0.2/24"]
    upload, download = pattern(300_000), pattern(500_001)[::-1]
    with Network(seed=3) as net:
        a, b = (net.host(address) for address in addresses)
        watcher = net.host(promiscuous=True)
        net.switch(a, b, watcher, delay=0.002, loss=loss, reorder=loss)
        watching = watcher.stack.listen((ANY, 80), vlans=ANY, cdom=1, passive=True)
        listener = b.stack.listen((addresses[1].split("/")[0], 80))
        talks = [Talker(a.stack.connect(listener.getsockname()), upload) for _ in range(3)]
        net.run(until=lambda: len(listener.listener.accepted) == 3)  # type: ignore[union-attr]
        talks += [Talker(listener.accept(), download) for _ in range(3)]
        net.run(until=lambda: all(talk.done for talk in talks), timeout=200)
        net.run(timeout=20)
        assert watcher.stack.stats["link_tx_frames"] == 0
        seen = []
        while watching.readable:
            primary = watching.accept()
            seen += [read_all(primary), read_all(primary.get_passive_peer())]
            assert primary.get_passive_peer().info().close == "fin"
    assert [sha(data) for data in seen] == [sha(upload), sha(download)] * 3
    assert [sha(talk.received) for talk in talks] == [sha(download)] * 3 + [sha(upload)] * 3


class Talker:
    """Sends `data` and FIN on a socket, and reads all that comes."""

    def __init__(self, sock: Any, data: bytes) -> None:
        self.sock = sock
        self.rest = data
        self.received = b""
        self.ended = self.done = False
        sock.on_event = self
        self(sock, 0)

    def __call__(self, sock: Any, events: int) -> None:
        while self.rest and sock.writable and sock.state in ("ESTABLISHED", "CLOSE-WAIT"):
            self.rest = self.rest[sock.send(self.rest) :]
            if not self.rest:
                sock.shutdown(uinet.SHUT_WR)
        while sock.readable and not self.ended:
            data = sock.recv(1 << 20)
            self.received += data
            self.ended = not data
            if self.ended:
                break
        if self.ended and not self.rest and not self.done:
            self.done = True
            sock.close()


def read_all(sock: PassiveSocket) -> bytes:
    data = b""
    while sock.readable and (chunk := sock.recv(1 << 20)):
        data += chunk
    return data


class World:
    """A server and a client that talk, and a host that watches them."""

    def __init__(self, net: Network, loss: float) -> None:
        self.net = net
        self.client, self.server = net.aio_host("10.0.0.1/24"), net.aio_host("10.0.0.2/24")
        self.watcher = net.aio_host(promiscuous=True)
        self.tap = net.tap()
        net.switch(self.client, self.server, self.watcher, self.tap, delay=0.002, loss=loss)

    async def talk(self, question: bytes, answer: bytes, port: int = 80) -> None:
        """One connection: a question and its answer."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.write(answer)
            writer.close()

        server = await self.server.start_server(handle, "10.0.0.2", port)
        reader, writer = await self.client.open_connection("10.0.0.2", port)
        writer.write(question)
        writer.write_eof()
        assert sha(await reader.read()) == sha(answer)
        writer.close()
        server.close()


def run(program: Any, loss: float = 0.0) -> Any:
    with Network(seed=11) as net, asyncio.Runner(loop_factory=net.asyncio) as runner:
        world = World(net, loss)

        async def main() -> Any:
            async with world.client, world.server, world.watcher:
                return await program(world)

        return runner.run(main())


@pytest.mark.parametrize("loss", [0.0, 0.03])
def test_a_handler_gets_a_reader_of_each_direction(loss: float) -> None:
    async def program(world: World) -> None:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def handle(reader: WatchedReader, peer: WatchedReader) -> None:
            question, answer = await asyncio.gather(reader.read(), peer.read())
            assert (reader.peer, peer.peer) == (peer, reader)
            assert (reader.error, list(reader.holes), peer.hole_bytes) == (None, [], 0)
            names = [reader.get_extra_info(name) for name in ("sockname", "cdom", "serialno", "passive")]
            assert names == [("10.0.0.2", 80), 1, 1, True]
            assert peer.get_extra_info("peername") == ("10.0.0.2", 80)
            assert reader.get_extra_info("l2info") == peer.get_extra_info("l2info").reversed()
            assert reader.get_extra_info("socket").get_passive_peer() is peer.get_extra_info("socket")
            done.set_result((sha(question), sha(answer)))

        await world.watcher.start_server(handle, ANY, ANY, vlans=ANY, cdom=1, passive=True)
        question, answer = pattern(200_000), pattern(150_001)
        await world.talk(question, answer)
        assert await asyncio.wait_for(done, 60) == (sha(question), sha(answer))
        await asyncio.sleep(30)
        stats = world.watcher.stats()
        assert (stats["connections"], stats["stack"].get("link_tx_frames", 0)) == (0, 0)
        assert len(world.watcher.stack.tcp.table) == 0

    run(program, loss)


def test_a_handler_that_raises_costs_its_own_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def program(world: World) -> None:
        def handle(reader: WatchedReader, peer: WatchedReader) -> None:
            raise ValueError("a handler's bug")

        await world.watcher.start_server(handle, ANY, ANY, cdom=1, passive=True)
        with caplog.at_level(logging.ERROR, "uinet"):
            await world.talk(b"question", b"answer")
            await asyncio.sleep(30)
        assert "a handler's bug" in caplog.text
        assert len(world.watcher.stack.tcp.table) == 0

    run(program)


class Recorder(asyncio.Protocol):
    """Writes down what its transport tells it; with holes, unless they are to be zeros."""

    def __init__(self, log: list[Recorder]) -> None:
        self.said: list[Any] = []
        log.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, PassiveTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.said.append(data)

    def eof_received(self) -> None:
        self.said.append("eof")

    def connection_lost(self, error: Exception | None) -> None:
        self.said.append(error)


class Breaker(Recorder):
    """Wants to hear of holes."""

    def hole_received(self, hole: Hole) -> None:
        self.said.append(hole)


@pytest.mark.parametrize("kind", [Recorder, Breaker])
def test_protocols_of_both_directions_and_holes(kind: type[Recorder]) -> None:
    async def program(world: World) -> None:
        made: list[Recorder] = []
        await world.watcher.create_server(lambda: kind(made), ANY, 80, cdom=1, passive=True)
        lab = Silent()  # only its segments are wanted
        talk = Talk(lab)
        end, other = talk.client, talk.server
        frames = [end.frame("S"), other.frame("S."), end.frame("."), end.frame("P.", b"abc")]
        end.lose("P.", b"1234")
        frames += [end.frame("P.", b"def"), other.frame("P.", b"answer"), other.frame("R.")]
        world.tap.send_all(frames)
        await asyncio.sleep(20)
        one, two = made
        hole = [Hole(3, 4, "lost")] if kind is Breaker else []
        text = [b"abc", *hole, b"def"] if kind is Breaker else [b"abc", b"\0\0\0\0def"]
        assert one.said[:-1] == [*text, "eof"]
        assert isinstance(one.said[-1], ConnectionResetError)
        assert two.said[:-1] == [b"answer", "eof"]
        assert one.transport.get_extra_info("passive_peer") is two.transport
        assert two.transport.get_extra_info("passive_peer") is one.transport

    run(program)


def test_a_transport_that_can_only_be_read() -> None:
    async def program(world: World) -> None:
        made: list[Recorder] = []
        server = await world.watcher.create_server(lambda: Recorder(made), ANY, 80, cdom=1, passive=True)
        await world.talk(b"question", b"answer")
        await asyncio.sleep(1)
        transport = made[0].transport
        for call in (lambda: transport.write(b"x"), lambda: transport.writelines([b"x"]), transport.write_eof):
            with pytest.raises(NotSupported):
                call()
        assert not transport.can_write_eof()
        assert [recorder.said for recorder in made] == [[b"question", "eof", None], [b"answer", "eof", None]]
        server.close()
        await server.wait_closed()
        with pytest.raises(InvalidArgument):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            await world.watcher.create_server(asyncio.Protocol, ANY, 80, cdom=1, passive=True, ssl=context)

    run(program)


def test_a_paused_reader_gets_holes_not_memory() -> None:
    async def program(world: World) -> None:
        readers: list[WatchedReader] = []
        release = asyncio.Event()

        async def handle(reader: WatchedReader, peer: WatchedReader) -> None:
            readers.append(reader)
            await release.wait()
            data = await reader.read()
            assert len(data) == 3_000_000
            assert reader.hole_bytes > 1_000_000
            assert {hole.reason for hole in reader.holes} == {"overrun"}
            for hole in reader.holes:
                assert data[hole.offset : hole.offset + hole.length] == bytes(hole.length)
            readers.append(peer)

        await world.watcher.start_server(handle, ANY, 80, cdom=1, passive=True)
        await world.talk(pattern(3_000_000), b"answer")
        assert world.watcher.stack.tcp.received_bytes <= 2 << 20
        release.set()
        await asyncio.sleep(20)
        assert len(readers) == 2

    run(program)


def test_an_async_filter_watches_some_and_takes_part_in_others() -> None:
    """A protocol for each direction of what is watched, as any server's."""

    async def program(world: World) -> None:
        made: list[Recorder] = []

        async def decide(syn: Any) -> Verdict:
            await asyncio.sleep(0.05)
            return Verdict.ACCEPT_PASSIVE

        await world.watcher.create_server(lambda: Recorder(made), ANY, ANY, cdom=1, syn_filter=decide)
        await world.talk(b"question", b"answer", port=81)
        await asyncio.sleep(20)
        assert [recorder.said for recorder in made] == [[b"question", "eof", None], [b"answer", "eof", None]]
        assert world.watcher.stack.stats["link_tx_frames"] == 0

    run(program)


def test_streams_of_an_ordinary_server_can_be_watched_ones() -> None:
    async def program(world: World) -> None:
        seen: list[Any] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append((writer.get_extra_info("sockname")[1], await reader.read()))
            writer.close()

        await world.watcher.start_server(handle, ANY, 80, cdom=1, syn_filter=lambda syn: Verdict.ACCEPT_PASSIVE)
        await world.talk(b"question", b"answer")
        await asyncio.sleep(20)
        assert seen[0] == (80, b"question")
        assert seen[1][1] == b"answer"

    run(program)
