"""BBR's constants, with the draft's names and values (draft-ietf-ccwg-bbr, 2.5 to 2.15 and 5.6.1)."""

from __future__ import annotations

from uinet.units import MILLISECOND, SECOND

NO_LIMIT = 1e18  # "Infinity" of the draft: bytes, and bytes a second
FOREVER = 1 << 62  # the same, of times
NANO = 1e-9

BETA = 0.7
HEADROOM = 0.15
LOSS_THRESH = 0.02
FULL_BW_GROWTH = 1.25
FULL_BW_ROUNDS = 3
MIN_RTT_FILTER = 10 * SECOND
PROBE_RTT_INTERVAL = 5 * SECOND
PROBE_RTT_DURATION = 200 * MILLISECOND
EXTRA_ACKED_ROUNDS = 10
MIN_PIPE_SEGMENTS = 4

# states
STARTUP = 0
DRAIN = 1
DOWN = 2
CRUISE = 3
REFILL = 4
UP = 5
PROBE_RTT = 6
NO_STATE = 7
NAMES = ("Startup", "Drain", "ProbeBW_DOWN", "ProbeBW_CRUISE", "ProbeBW_REFILL", "ProbeBW_UP", "ProbeRTT")

# gains by state (5.6.1)
PACING_GAINS = (2.77, 0.5, 0.9, 1.0, 1.0, 1.25, 1.0)
CWND_GAINS = (2.0, 2.0, 2.0, 2.0, 2.0, 2.25, 0.5)

# what ACKs tell, with regard to probing (2.13)
ACKS_INIT = 0
ACKS_REFILLING = 1
ACKS_PROBE_STARTING = 2
ACKS_PROBE_FEEDBACK = 3
ACKS_PROBE_STOPPING = 4

PROBE_WAIT = 2 * SECOND  # and up to a second more, by chance (5.3.3.5.2)
RENO_ROUNDS = 63
MOST_UP_ROUNDS = 30
QUANTUM_TIME = 1000  # send_quantum is what goes out in a second's 1000th (5.6.3)
QUANTUM_MOST = 65536.0
OFFLOAD_QUANTA = 3  # TCP's offload budget (5.5.8.1)

PACED = 0.99  # 1 - PacingMarginPercent
MOST_RATE = 1e12  # bytes a second
DRAIN_ROUNDS = 3
STARTUP_FULL_LOSSES = 6  # discontiguous ranges lost in a round
PROBE_RTT_CWND_GAIN = 0.5
