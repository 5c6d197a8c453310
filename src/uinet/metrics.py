"""Totals of a stack as Prometheus reads them, under the names that ``uinet stat`` has: `uinet_` before, `_total` behind
what only grows.

They come over a control socket, so that the thread that serves them touches no stack.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from uinet.errors import ControlError, Error
from uinet.stats import COUNTERS

if TYPE_CHECKING:
    from uinet.control.client import Client

NEEDS = "metrics need prometheus_client: pip install uinet[metrics]"
GAUGES = {
    "listeners": "listening sockets", "udp": "datagram sockets", "interfaces": "interfaces",
    "addresses": "addresses of interfaces", "routes": "routes", "neighbors": "neighbours (ARP and ND)",
    "timers": "timers that wait",
}
TRAFFIC = {
    "rx_frames": "frames received", "rx_bytes": "bytes received", "tx_frames": "frames sent", "tx_bytes": "bytes sent",
    "tx_dropped": "frames not sent: the queue was full, or the interface was down",
}


class Collector:
    """What a registry of prometheus_client asks for metrics. `client`: of the control socket; used by nobody else."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.lock = threading.Lock()  # several may scrape at once

    def describe(self) -> list[Any]:
        """Nothing: else a registry would collect to find out."""
        return []

    def collect(self) -> Iterator[Any]:
        """Every metric, as of now."""
        with self.lock:
            found = self.client.one("totals")
        return families(found)


def families(found: dict[str, Any]) -> Iterator[Any]:
    """The metrics of one record of totals."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield GaugeMetricFamily("uinet_uptime_seconds", "since the control socket was opened", found["uptime"])
    connections = GaugeMetricFamily("uinet_connections", "connections by state", labels=["state"])
    for state, count in found["states"].items():
        connections.add_metric([state], count)
    yield connections
    for name, help in GAUGES.items():
        yield GaugeMetricFamily(f"uinet_{name}", help, found[name])
    memory = GaugeMetricFamily("uinet_memory", "what takes memory: bytes, or entries of tables", labels=["name"])
    for name, used in found["memory"].items():
        memory.add_metric([name], used)
    yield memory
    for name, help in TRAFFIC.items():
        traffic = CounterMetricFamily(f"uinet_interface_{name}", help, labels=["interface"])
        for interface, counts in found["traffic"].items():
            traffic.add_metric([interface], counts[name])
        yield traffic
    for table, counts in found["more"].items():
        for name, value in counts.items():
            known = f"uinet_{table}_{name.replace('-', '_')}"
            yield CounterMetricFamily(known, f"{name}: see uinet stat {table}", value)
    for name, value in found["counters"].items():
        yield CounterMetricFamily(f"uinet_{name}", COUNTERS.get(name, name), value)


class Exporter:
    """An HTTP server for Prometheus at `address` and `port` (0: any that is free; `port` tells it), in a thread of its
    own. Error if prometheus_client is missing, or the port is taken. A scrape of a program that does not answer fails.
    """

    def __init__(self, client: Client, address: str, port: int) -> None:
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError:
            raise Error(NEEDS) from None
        registry = CollectorRegistry()
        registry.register(Collector(client))
        try:
            self._server, self._thread = start_http_server(port, addr=address, registry=registry)
        except OSError as error:
            raise ControlError(f"metrics at {address}:{port}: {error.strerror or error}") from None
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
