cdef int FIRST, BSD, LINUX, OLD_LINUX, SOLARIS, LAST

cpdef bint new_wins(int policy, long long old_start, long long old_end, long long start, long long end) noexcept
