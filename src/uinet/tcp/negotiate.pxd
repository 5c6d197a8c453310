cimport cython

from uinet.tcp.congestion.growth cimport initial_window
from uinet.tcp.discovery cimport begin, overhead, path_mtu
from uinet.tcp.layout cimport headers_length, is_v4
from uinet.tcp.settings cimport Settings
from uinet.tcp.state cimport change
from uinet.tcp.tcb cimport Tcb
from uinet.tcp.timers cimport start_keepalive
from uinet.wire.segment cimport Segment

cdef unsigned int NO_WSCALE
cdef unsigned char ESTABLISHED, FIN_WAIT_1

@cython.locals(scale=cython.uint)
cpdef unsigned int scale_for(long long limit)
@cython.locals(settings=Settings)
cpdef agree_on_options(Tcb tcb, Segment seg)
cpdef agree(Tcb tcb, Py_ssize_t mss, unsigned int wscale, bint sack, bint timestamps, unsigned int tsval)
@cython.locals(settings=Settings, floor=Py_ssize_t, headers=Py_ssize_t, mss=Py_ssize_t, limit=Py_ssize_t)
cpdef set_mss(Tcb tcb, Py_ssize_t peer_mss)
cpdef established(Tcb tcb)
