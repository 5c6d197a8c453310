cimport cython

from uinet.socket cimport Socket
from uinet.socket_data cimport read_piece, send_on
from uinet.socket_state cimport is_readable

cdef unsigned int EV_CLOSED, EV_EOF, EV_ERROR, EV_READABLE, EV_WRITABLE
cdef Py_ssize_t MOST


cdef class Channel:
    cdef public object transport, loop, on_lost, keeper, protocol, waiting
    cdef public Socket sock
    cdef object data_received, get_buffer, buffer_updated
    cdef public Py_ssize_t waiting_bytes, high, low
    cdef public bint buffered, protocol_paused, reading_paused, read_eof, ended, closing, lost
    cpdef set_protocol(self, object protocol)
    cpdef start(self)
    cpdef catch_up(self)
    @cython.locals(ended=bint)
    cpdef read(self)
    cpdef bint readable(self) except -1
    cpdef bint read_once(self) except -1
    cpdef bint hand_over(self, bytes data) except -1
    @cython.locals(count=Py_ssize_t)
    cpdef bint read_into_buffer(self) except -1
    cpdef Py_ssize_t receive_into(self, object buffer) except -1
    cpdef receive_eof(self)
    @cython.locals(sent=Py_ssize_t)
    cpdef bint write(self, object data) except -1
    cdef Py_ssize_t send(self, object data) except -1
    @cython.locals(sent=Py_ssize_t)
    cpdef flush(self)
    cpdef maybe_pause(self)
    cdef tell(self, str what)
    cpdef close(self)
    cdef close_socket(self)
    cpdef fatal(self, object error, str message)
    cdef complain(self, str message, object error)
    cpdef force_close(self, object error)
    cpdef lose(self, object error)
