cimport cython

from uinet.ip.interface cimport Interface, hop_limit
from uinet.tcp.extras cimport Extras
from uinet.tcp.layout cimport is_v4
from uinet.tcp.settings cimport Settings
from uinet.tcp.tcb cimport Tcb

cdef unsigned char ESTABLISHED
cdef unsigned char DISCOVER_DONT
cdef unsigned int FRAGMENTS, NO_TIME_WAIT, TRIVIAL_ISN


@cython.final
cdef class Config:
    cdef public bint active_reset, bind_any, broadcast, catch_all, cork, fast_open_connect, keepalive, no_delay
    cdef public bint oob_inline, passive, promiscuous, quick_ack, receive_auto, receive_errors, reuse_address
    cdef public bint reuse_port, send_auto, user_timeout_option, no_time_wait, timestamps
    cdef public int copy_mode, trivial_isn
    cdef public unsigned int cdom
    cdef public Interface tx_interface
    cdef public long long copy_limit, defer_accept, fast_open, fin_wait_2, keep_count, keep_idle, keep_interval
    cdef public long long linger, max_buffer
    cdef public long long max_pacing_rate, max_segment, mtu_discover, mtu_probing, not_sent_low, reassembly_deadline
    cdef public long long receive_buffer, receive_low, send_buffer, tos, ttl, user_timeout, window_clamp
    cdef public object congestion, copy_target, fast_open_key, keys, syn_filter, vlans
    cdef public dict variants


@cython.locals(size=cython.longlong)
cpdef long long first_window(Config config) except? -1
@cython.locals(size=cython.longlong)
cpdef long long largest_buffer(Config config, Settings settings) except? -1
@cython.locals(window=cython.longlong, marks=cython.uint)
cpdef configure(Tcb tcb, Config config)
cdef bint is_special(Config config)
@cython.locals(extras=Extras)
cdef configure_extras(Tcb tcb, Config config)
