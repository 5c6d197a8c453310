from uinet.tcp.context cimport Context
from uinet.tcp.table cimport Entry


cdef class TimeWait(Entry):
    cdef public Context context
    cdef public unsigned int snd_nxt, rcv_nxt, ts_recent, ts_offset, window, space
    cdef public long long challenge_after
    cdef public bint ts_ok
