cimport cython

from uinet.tcp.path cimport Path
from uinet.wire.kernels cimport untrack


@cython.final
cdef class Extras:
    cdef public Path path
    cdef public bytes early
    cdef public object algorithm, error, soft_error, user_context, splice, corked, fast_open, copy
    cdef public long long max_pacing_rate, close_at, challenge_after, fin_wait_2, keep_idle, keep_interval, user_timeout
    cdef public unsigned int keep_count, max_segment, fin_at, snd_up, rcv_up, dsack_left, dsack_right
    cdef public unsigned int passed_end, passed_ack
    cdef public bint taken, passed
