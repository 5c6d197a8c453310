cimport cython

from uinet.tcp.accecn cimport AccEcn
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.congestion.base cimport CongestionControl
from uinet.tcp.context cimport Context
from uinet.tcp.extras cimport Extras
from uinet.tcp.flight cimport Flight
from uinet.tcp.path cimport Path
from uinet.tcp.reassembly cimport Reassembly
from uinet.tcp.settings cimport Settings
from uinet.tcp.table cimport Entry
from uinet.tcp.tuning cimport Tuning
from uinet.wire.kernels cimport untrack


@cython.final
cdef class Tcb(Entry):  # from wide to narrow: no gaps, as there may be millions
    cdef public Context context
    cdef public object owner
    cdef public ByteQueue snd_buf, rcv_buf
    cdef public Reassembly reassembly
    cdef public Tuning tuning
    cdef public CongestionControl congestion
    cdef public Flight flight
    cdef public AccEcn accecn
    cdef public Extras extras
    cdef public long long srtt, rttvar, rto, unanswered_since, ts_recent_age
    cdef public long long rexmt_at, loss_at, delack_at, keep_at, last_heard, pacing_rate
    cdef public Py_ssize_t snd_limit, rcv_limit
    cdef public unsigned long long serial, bytes_in, bytes_out
    cdef public unsigned int iss, snd_una, snd_nxt, snd_wnd, snd_wl1, snd_wl2, max_snd_wnd, mss
    cdef public unsigned int irs, rcv_nxt, rcv_adv, last_ack_sent, ts_recent, ts_offset
    cdef public unsigned int cwnd, ssthresh, dup_acks, recover, small_sent
    cdef public unsigned int segments_in, segments_out, retransmits
    cdef public unsigned short peer_mss, rcv_mss, events, ace_in, keep_probes
    cdef public unsigned char state, snd_scale, rcv_scale, backoff, recovering
    cdef public unsigned char send_auto, receive_auto, mtu_probing, mtu_discover
    cdef public unsigned char ts_ok, sack_ok, timing, persisting, ack_now, closing, fin_sent, fin_acked
    cdef public unsigned char lingering, fin_held, fin_received, receive_shut, orphan
    cdef public unsigned char no_delay, cork, keepalive, quick_ack, ready_queued
    cdef public unsigned char pending_queued, wants_write, passive_open, ack_held
    cdef public unsigned char urgent_out, urgent_in, report_soft
    cdef public unsigned char pacing, ecn_ok, ecn_echo, ecn_reduced
    @cython.locals(settings=Settings)
    cdef blank(self, Context context)
    cpdef Extras more(self)


@cython.locals(tcb=Tcb)
cpdef Tcb new_tcb(Context context)
