cimport cython

from uinet.seq cimport seq_diff, seq_geq, seq_gt, seq_leq, seq_lt
from uinet.tcp.sent cimport Ack, Sent, new_sent
from uinet.wire.kernels cimport untrack

cdef unsigned int MASK32
cdef Py_ssize_t MAX_RUNS, MIN_RANGES
cdef long long RANGE_UNIT, MIN_RTT_WINDOW, SLOW_TICK


@cython.final
cdef class Flight:
    cdef public list runs, lost_notes
    cdef public Py_ssize_t first, ranges
    cdef public Sent oldest, newest
    cdef public long long sacked, lost, again_out
    cdef public unsigned int lost_from, rack_end, fack, dsack_round, probe_end, usage_seq, again_seq, fack_before
    cdef public unsigned long long delivered, app_limited, total_lost, round_end
    cdef public long long delivered_at, first_sent_at, rack_sent_at, rack_rtt, min_rtt, min_rtt_at
    cdef public bint fack_before_known
    cdef public bint fack_known, reordered, in_dsack_round, probed, probe_again, probe_timer, undo, reduced
    cdef public bint cwnd_limited, owns_window, paces, slow_clock
    cdef public unsigned char frto, full
    cdef public unsigned int full_end
    cdef public unsigned int reo_wnd_mult, reo_wnd_persist
    cdef public long long prr_delivered, prr_out, recover_fs, undo_retrans, again_at
    cdef public unsigned int prior_cwnd, prior_ssthresh
    cdef public long long max_flight, cwnd_used, cwnd_stamp, sent_at, ticked_at, paced_until
    cdef blank(self, long long now)
    @cython.locals(newest=Sent)
    cdef link(self, Sent run)
    @cython.locals(older=Sent, newer=Sent)
    cdef unlink(self, Sent run)
    @cython.locals(run=Sent, index=Py_ssize_t, times=list)
    cpdef relink(self)
    @cython.locals(run=Sent, index=Py_ssize_t)
    cpdef clear(self)
    @cython.locals(run=Sent, low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t)
    cpdef Py_ssize_t find(self, unsigned int seq) except -1
    @cython.locals(run=Sent, rest=Sent, newer=Sent)
    cdef split(self, Py_ssize_t index, unsigned int at)
    cdef stamp(self, Sent run, long long now, long long in_flight)
    @cython.locals(count=Py_ssize_t, last=Sent, run=Sent)
    cpdef add(self, unsigned int start, unsigned int end, long long now, long long in_flight)
    @cython.locals(index=Py_ssize_t, after=Py_ssize_t, run=Sent, before=Sent, size=cython.longlong)
    cpdef resent(self, unsigned int start, unsigned int end, long long now, long long in_flight)
    @cython.locals(first=Sent, run=Sent, at=Py_ssize_t, size=cython.longlong)
    cdef _join(self, Py_ssize_t index, Py_ssize_t after)
    @cython.locals(rtt=cython.longlong)
    cdef arrived(self, Sent run, long long length, unsigned int end, long long now, Ack ack)
    @cython.locals(age=cython.longlong)
    cdef _rack(self, Sent run, unsigned int end, long long rtt, Ack ack)
    @cython.locals(index=Py_ssize_t, count=Py_ssize_t, run=Sent, whole=bint, end=cython.uint, length=cython.longlong)
    cpdef acknowledge(self, unsigned int una, long long now, Ack ack)
    @cython.locals(index=Py_ssize_t, after=Py_ssize_t, run=Sent, news=cython.longlong)
    cpdef Py_ssize_t sack(self, unsigned int left, unsigned int right, long long now, Ack ack) except -1
    @cython.locals(last=Sent, head=Sent)
    cdef Py_ssize_t _most_ranges(self) except -1
    @cython.locals(length=cython.longlong)
    cdef Py_ssize_t _hold(self, Sent run, long long now, Ack ack) except -1
    @cython.locals(before=Sent, behind=Sent, head=Sent, last=Sent, run=Sent, at=Py_ssize_t)
    cdef _join_held(self, Py_ssize_t index, Py_ssize_t after)
    @cython.locals(length=cython.longlong, since=cython.longlong)
    cpdef mark_lost(self, Sent run, Ack ack)
    @cython.locals(run=Sent)
    cpdef mark_head(self, long long length, Ack ack)
    @cython.locals(run=Sent, index=Py_ssize_t)
    cpdef mark_all(self, Ack ack)
    @cython.locals(run=Sent, index=Py_ssize_t)
    cpdef lose(self, unsigned int start, unsigned int end)
    @cython.locals(run=Sent, index=Py_ssize_t)
    cpdef bint holds(self, unsigned int seq) except -1
    @cython.locals(run=Sent, index=Py_ssize_t)
    cpdef unmark(self)
    @cython.locals(run=Sent, index=Py_ssize_t)
    cpdef renege(self)
    @cython.locals(run=Sent, index=Py_ssize_t)
    cpdef Sent next_lost(self)
    @cython.locals(end=cython.uint, index=Py_ssize_t, following=Sent)
    cpdef unsigned int lost_end(self, Sent run, long long limit) except? 0xA5A5A5A5
    @cython.locals(run=Sent)
    cpdef bint head_sacked(self) except -1
    @cython.locals(last=Sent)
    cpdef unsigned int last_piece(self, long long full) except? 0xA5A5A5A5
    cdef long long tick(self, long long now) except? -1
    cpdef note_rtt(self, long long rtt, long long now)
    @cython.locals(sending=cython.longlong, acking=cython.longlong)
    cpdef finish(self, Ack ack, long long now)


@cython.locals(flight=Flight)
cpdef Flight new_flight(long long now)
