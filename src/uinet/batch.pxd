cimport cython

from uinet.ip.input cimport Receiver
from uinet.ip.interface cimport Interface
from uinet.ip.network cimport Network
from uinet.socket cimport Socket
from uinet.splicing cimport Splice
from uinet.stats cimport Stats
from uinet.tcp.config cimport Config
from uinet.tcp.extras cimport Extras
from uinet.tcp.protocol cimport Tcp
from uinet.tcp.tcb cimport Tcb
from uinet.wheel cimport Wheel
from uinet.wire.frame cimport Frame

cdef unsigned int EV_CLOSED, EV_ERROR
cdef unsigned char CLOSED, CHECKSUM_VALID
cdef long long LATEST
cdef int ROUNDS


cdef class Batches:
    cdef object __weakref__
    cdef public Stats stats
    cdef public Wheel wheel
    cdef public Network network
    cdef public Tcp tcp
    cdef public Receiver receiver
    cdef public object udp, _on_syn_event
    cdef public list waiting, later, calls
    cdef public bint closed
    @cython.locals(deadline=cython.longlong)
    cpdef next_deadline(self)
    cdef bint _has_work(self) except -1
    @cython.locals(time=cython.longlong)
    cdef _begin(self, object now)
    @cython.locals(tcp=Tcp, network=Network, _=cython.int)
    cdef _finish(self)
    @cython.locals(interface=Interface)
    cdef _loop_back(self)
    @cython.locals(ready=list, told=Py_ssize_t)
    cdef _deliver(self)
    @cython.locals(events=cython.uint, tcb=Tcb, sock=Socket, extras=Extras, joined=Splice)
    cdef _deliver_one(self, object item)
    @cython.locals(config=Config)
    cdef _tell(self, Socket sock, unsigned int events)
    cdef _call(self)
    cdef _tell_gone(self)
    cdef _tell_syn_events(self)
