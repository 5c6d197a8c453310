from uinet.passive.connection cimport Connection
from uinet.passive.half cimport Half
from uinet.passive.sink cimport Sink


cdef class Counting(Sink):
    cdef readonly long long connections, closes, bytes, holes, missing, conflicts, fins
