"""A whole network that answers, from one process: what ``uinet listen`` runs.

`watch` looks at every frame before the stack does, `fingerprint` says what a SYN tells of its sender, `engine` takes
the connections and datagrams, `records` is what is logged of them, `journal` where it goes, `running` moves frames and
time.
"""
