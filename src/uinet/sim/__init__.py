"""Simulation: networks of stacks on virtual time. See :class:`Network`."""

from __future__ import annotations

from uinet.sim.clock import START, Clock, Event, SimulationError
from uinet.sim.link import Channel, Conditions, Link, Segment
from uinet.sim.loop import VirtualLoop
from uinet.sim.network import Network
from uinet.sim.nodes import Host, Tap

__all__ = [
    "START",
    "Channel",
    "Clock",
    "Conditions",
    "Event",
    "Host",
    "Link",
    "Network",
    "Segment",
    "SimulationError",
    "Tap",
    "VirtualLoop",
]
