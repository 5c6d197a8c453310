cimport cython

from uinet.tcp.accecn cimport AccEcn
from uinet.tcp.buffer cimport ByteQueue
from uinet.tcp.congestion.base cimport CongestionControl
from uinet.tcp.context cimport Context
from uinet.tcp.flight cimport Flight
from uinet.tcp.path cimport Path
from uinet.tcp.reassembly cimport Reassembly
from uinet.tcp.table cimport Entry
from uinet.tcp.tuning cimport Tuning


@cython.final
cdef class Tcb(Entry):
    cdef public Context context
    cdef public object owner, listener
    cdef public unsigned char state
    cdef public unsigned char snd_scale, rcv_scale, backoff, recovering
    cdef public unsigned char send_auto, receive_auto, mtu_probing, mtu_discover
    cdef public bint ts_ok, sack_ok, timing, persisting, ack_now, closing, fin_sent, fin_acked
    cdef public bint lingering, fin_held, fin_received, receive_shut, orphan
    cdef public bint no_delay, cork, keepalive, quick_ack, ready_queued
    cdef public bint pending_queued, wants_write, passive_open
    cdef public unsigned int iss, snd_una, snd_nxt, snd_wnd, snd_wl1, snd_wl2, max_snd_wnd, mss
    cdef public unsigned int snd_up, rcv_up
    cdef public bint urgent_out, urgent_in, report_soft
    cdef public unsigned int irs, rcv_nxt, fin_at, rcv_adv, rcv_mss, last_ack_sent
    cdef public unsigned int ts_recent, ts_offset
    cdef public long long ts_recent_age
    cdef public ByteQueue snd_buf, rcv_buf
    cdef public Reassembly reassembly
    cdef public Py_ssize_t snd_limit, rcv_limit
    cdef public Tuning tuning
    cdef public Path path
    cdef public unsigned short peer_mss
    cdef public CongestionControl congestion
    cdef public object algorithm
    cdef public Flight flight
    cdef public unsigned int cwnd, ssthresh, dup_acks, recover, small_sent, dsack_left, dsack_right
    cdef public long long pacing_rate, max_pacing_rate, paced_until, loss_at
    cdef public AccEcn accecn
    cdef public unsigned int ace_in
    cdef public bint pacing, ecn_ok, ecn_echo, ecn_reduced
    cdef public long long srtt, rttvar, rto, timed_at, unanswered_since
    cdef public long long rexmt_at, delack_at, keep_at, close_at, last_heard, challenge_after
    cdef public unsigned int keep_probes, keep_count
    cdef public long long keep_idle, keep_interval, user_timeout
    cdef public object error, soft_error, user_context, splice, fast_open, corked
    cdef public unsigned int max_segment
    cdef public unsigned int events
    cdef public unsigned long long serial, bytes_in, bytes_out, segments_in, segments_out, retransmits
