cdef class Judge:
    cpdef bint passes(self, object side, bytes data, Py_ssize_t size, int layer, long long now) except -1
