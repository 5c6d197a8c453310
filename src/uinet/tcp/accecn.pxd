cimport cython


@cython.final
cdef class AccEcn:
    cdef public unsigned long long r_ceb, r_e0b, r_e1b, s_ceb, s_e0b, s_e1b
    cdef public unsigned int r_cep, s_cep, ce_unacked, stretch
    cdef public int handshake
    cdef public unsigned char syn_ecn
    cdef public bint ect, respond, ce_on_syn, last_ce, options, offer, changed, checked
