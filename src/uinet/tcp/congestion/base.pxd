cdef class CongestionControl:
    cpdef start(self, object tcb)
    cpdef on_ack(self, object tcb, unsigned int acked)
    cpdef on_loss(self, object tcb, unsigned int flight)
    cpdef on_timeout(self, object tcb, unsigned int flight)
    cpdef on_idle(self, object tcb)
