"""Congestion control: the interface in `base`, an algorithm a file, and `choice`, which finds one by name."""
