"""What the hosts of one event loop share."""

from __future__ import annotations

import asyncio

from uinet.link.memory import MemoryRegistry


def memory_of(loop: asyncio.AbstractEventLoop) -> MemoryRegistry:
    """Where the ends of ``memory:NAME`` meet: those of all hosts on one loop."""
    registry: MemoryRegistry | None = getattr(loop, "_uinet_memory", None)
    if registry is None:
        registry = MemoryRegistry()
        loop._uinet_memory = registry  # type: ignore[attr-defined]
    return registry
