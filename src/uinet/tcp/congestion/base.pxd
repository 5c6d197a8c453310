cdef class CongestionControl:
    cpdef start(self, object tcb)
    cpdef on_ack(self, object tcb, object ack)
    cpdef on_loss(self, object tcb, object ack)
    cpdef on_lost(self, object tcb, unsigned int start, long long length, long long in_flight, long long lost,
                  bint app_limited)
    cpdef on_mark(self, object tcb, object ack)
    cpdef on_timeout(self, object tcb, bint first)
    cpdef on_recovered(self, object tcb)
    cpdef on_undo(self, object tcb)
    cpdef on_idle(self, object tcb, long long idle)
    cpdef on_send(self, object tcb, long long in_flight)
