"""Flows that pass a bridge: passed on, tracked, taken over by a proxy and let go again."""
