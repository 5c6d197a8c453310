from uinet.passive.connection cimport Connection
from uinet.passive.half cimport Half


cdef class Sink:
    cpdef opened(self, Connection conn)
    cpdef data(self, Connection conn, Half half, long long offset, bytes data, Py_ssize_t start, Py_ssize_t length,
               long long time)
    cpdef hole(self, Connection conn, Half half, long long offset, long long length, int reason, long long time)
    cpdef conflict(self, Connection conn, Half half, long long offset, long long length, long long time)
    cpdef finished(self, Connection conn, Half half, long long time)
    cpdef closed(self, Connection conn)
