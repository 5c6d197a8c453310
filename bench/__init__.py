"""Benchmarks. ``python -m bench`` runs all; ``python -m bench NAME...`` some; each compares in the same run."""
