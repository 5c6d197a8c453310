from uinet.tcp.congestion.base cimport CongestionControl

cpdef CongestionControl make(object what)
