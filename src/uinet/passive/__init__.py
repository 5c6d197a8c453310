"""Passive receive: both byte streams of every TCP connection from a copy of its packets, and what is missing.

An engine without I/O or clock: packets and their times in, calls on a :class:`uinet.passive.sink.Sink` out. Read
:mod:`uinet.passive.arrive` first: what one segment does. The semantics and their reasons are in docs/rebuilding.md.
"""
