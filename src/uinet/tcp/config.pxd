cimport cython

from uinet.ip.interface cimport hop_limit
from uinet.tcp.extras cimport Extras
from uinet.tcp.layout cimport is_v4
from uinet.tcp.settings cimport Settings
from uinet.tcp.tcb cimport Tcb

cdef unsigned char ESTABLISHED


@cython.final
cdef class Config:
    cdef public bint active_reset, bind_any, broadcast, cork, fast_open_connect, keepalive, no_delay, oob_inline
    cdef public bint passive, promiscuous, quick_ack, receive_auto, receive_errors, reuse_address, reuse_port, send_auto
    cdef public bint user_timeout_option
    cdef public unsigned int cdom
    cdef public long long defer_accept, fast_open, keep_count, keep_idle, keep_interval, linger, max_buffer
    cdef public long long max_pacing_rate, max_segment, mtu_discover, mtu_probing, not_sent_low, reassembly_deadline
    cdef public long long receive_buffer, receive_low, send_buffer, tos, ttl, user_timeout, window_clamp
    cdef public object congestion, fast_open_key, keys, syn_filter, vlans
    cdef public dict variants


@cython.locals(size=cython.longlong)
cpdef long long first_window(Config config) except? -1
@cython.locals(size=cython.longlong)
cpdef long long largest_buffer(Config config, Settings settings) except? -1
@cython.locals(window=cython.longlong)
cpdef configure(Tcb tcb, Config config)
cdef bint is_special(Config config)
@cython.locals(extras=Extras)
cdef configure_extras(Tcb tcb, Config config)
