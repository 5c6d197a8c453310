cimport cython

cdef unsigned int MASK32, HALF
cdef long long CIRCLE

cpdef bint seq_lt(unsigned int a, unsigned int b) noexcept
cpdef bint seq_leq(unsigned int a, unsigned int b) noexcept
cpdef bint seq_gt(unsigned int a, unsigned int b) noexcept
cpdef bint seq_geq(unsigned int a, unsigned int b) noexcept
cpdef unsigned int seq_add(unsigned int a, unsigned int n) noexcept
@cython.locals(distance=cython.longlong)
cpdef long long seq_diff(unsigned int a, unsigned int b) noexcept
cpdef bint seq_between(unsigned int low, unsigned int a, unsigned int high) noexcept
