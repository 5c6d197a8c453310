"""What the steps of decoding answer: plain integers of a module that is never compiled, so that compiled files and
Python alike import them by name.
"""

from __future__ import annotations

# Decoder.decode
NOTHING = -1  # no packet
SEGMENT = 0  # `packet` and `seg` are filled
HELD = 1  # a fragment, kept
OTHER = 2  # no TCP
BAD = 3  # damaged, or cut within its headers; counted by name

# Decoder.sum: what is known of a segment's checksum
SUM_UNKNOWN = 0  # the packet is cut, checksums are ignored, or the packet's final destination is unknown
SUM_GOOD = 1
SUM_BAD = 2
SUM_UNFINISHED = 3  # the field has the pseudo header's sum only: the network card was to add the rest

# Layers.walk
FOUND = 0
NO_IP = 1  # carries no IP packet that we look into
TOO_SHORT = 2  # ends within a header
TOO_DEEP = 3  # more tags than any network uses

# Fragments.add
KEPT = 0  # or there already
WHOLE = 1
BROKEN = 2
