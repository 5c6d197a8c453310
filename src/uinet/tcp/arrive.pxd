cimport cython

from uinet.seq cimport seq_diff, seq_geq, seq_gt, seq_leq, seq_lt
from uinet.tcp.acknowledge cimport acknowledge
from uinet.tcp.autotune cimport take_round_trip
from uinet.tcp.close cimport abort, finish
from uinet.tcp.context cimport Context
from uinet.tcp.extras cimport Extras
from uinet.tcp.feedback cimport note_received
from uinet.tcp.negotiate cimport agree_on_options, established
from uinet.tcp.notify cimport notify
from uinet.tcp.receive cimport came_twice, fin_reached, take_data, take_fin, window_left
from uinet.tcp.reset cimport reset_for
from uinet.tcp.rtt cimport from_timestamp, sample
from uinet.tcp.send cimport challenge_ack, send_ack, wants_output
from uinet.tcp.state cimport change
from uinet.tcp.tcb cimport Tcb
from uinet.tcp.timers cimport rearm, start_retransmit, wait_for_fin
from uinet.tcp.urgent cimport sixth_check_urg
from uinet.tcp.window cimport begin_flight
from uinet.wire.kernels cimport take
from uinet.wire.packet cimport Packet
from uinet.wire.segment cimport Segment

cdef unsigned int ALWAYS, MASK32, ACK, CE, CWR, FIN, PSH, RST, SYN, URG, EV_CONNECTED, EV_WRITABLE
cdef unsigned char CLOSED, CLOSING, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, LAST_ACK, SYN_RECEIVED, SYN_SENT, TIME_WAIT
cdef long long PAWS_IDLE, RTO_AFTER_LOST_SYN

@cython.locals(now=cython.longlong)
cpdef segment_arrives(Tcb tcb, Packet packet, Segment seg)
@cython.locals(window=cython.uint)
cpdef predicted(Tcb tcb, Packet packet, Segment seg)
@cython.locals(sent=cython.ulonglong)
cpdef otherwise(Tcb tcb, Packet packet, Segment seg)
cpdef take_ecn(Tcb tcb, Segment seg)
@cython.locals(context=Context, acceptable=bint)
cpdef in_syn_sent(Tcb tcb, Packet packet, Segment seg)
cpdef time_of_syn(Tcb tcb, Segment seg)
@cython.locals(context=Context, window=Py_ssize_t, length=Py_ssize_t)
cpdef bint first_check_sequence(Tcb tcb, Segment seg) except -1
@cython.locals(first=Py_ssize_t, last=Py_ssize_t)
cpdef bint in_window(Tcb tcb, unsigned int seq, Py_ssize_t length, Py_ssize_t window) except -1
@cython.locals(context=Context)
cpdef unacceptable(Tcb tcb, Segment seg, Py_ssize_t length)
cpdef bint is_probe(Tcb tcb, Segment seg) except -1
cpdef note_ack_of_probe(Tcb tcb, Segment seg)
cpdef second_check_rst(Tcb tcb, Segment seg)
cpdef fourth_check_syn(Tcb tcb, Segment seg)
cpdef become_established(Tcb tcb, Segment seg)
cdef take_early(Tcb tcb, Extras extras)
@cython.locals(context=Context, window=cython.uint, plain=bint)
cpdef bint fifth_check_ack(Tcb tcb, Packet packet, Segment seg) except -1
@cython.locals(state=cython.uchar)
cpdef bint closing_states(Tcb tcb) except -1
cpdef update_window(Tcb tcb, Segment seg, unsigned int window)
@cython.locals(state=cython.uchar)
cpdef seventh_process_text(Tcb tcb, Packet packet, Segment seg)
@cython.locals(end=cython.uint)
cpdef skip_data(Tcb tcb, Segment seg)
