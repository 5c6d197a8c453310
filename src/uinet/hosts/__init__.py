"""Thousands of hosts from a short file, each with a stack of its own: what ``uinet hosts`` runs.

`places` finds lines in the file, `reading` takes its values, `plan` makes groups of hosts of them, `services` is what
they serve, `host` a host that is awake, `directory` finds who a frame is for, `fleet` moves frames and time.
"""
