cimport cython

from uinet.seq cimport seq_diff
from uinet.wire.kernels cimport untrack


@cython.final
@cython.freelist(256)
cdef class Sent:
    cdef public unsigned int start, end
    cdef public long long sent_at, delivered_at, first_sent_at
    cdef public unsigned long long delivered, lost_before
    cdef public long long in_flight
    cdef public bint sacked, lost, again, app_limited
    cdef public Sent older, newer
    cdef blank(self, unsigned int start, unsigned int end, long long sent_at)
    @cython.locals(rest=Sent)
    cdef Sent tail(self, unsigned int at)


@cython.locals(run=Sent)
cpdef Sent new_sent(unsigned int start, unsigned int end, long long sent_at)


@cython.final
cdef class Ack:
    cdef public long long acked, delivered, lost, prior_in_flight, rtt, first_rtt, rate, interval, rate_delivered
    cdef public long long in_flight, marked, sample_sent_at, sample_delivered_at, sample_first_sent_at, tsecr_age
    cdef public unsigned long long lost_since, prior_delivered, sample_lost
    cdef public bint app_limited, round, original, ece, dsack, sampled, recovering
    cdef public unsigned int sample_end, recover
    cpdef begin(self, long long acked, long long in_flight)
