"""Connections by the million, one end or both: what ``uinet scale`` runs.

`plan` says which ones, `ends` opens and serves them, `running` moves frames and time.
"""
