cimport cython


@cython.freelist(256)
cdef class Frame:
    cdef public bytes data
    cdef public long long time
    cdef public unsigned int gso_size
    cdef public unsigned char checksum


@cython.final
cdef class LargeFrame(Frame):
    cdef public list pieces
    cdef public unsigned short l3, l4

@cython.final
cdef class SplitFrame(Frame):
    cdef public bytes payload

@cython.locals(frame=SplitFrame)
cpdef SplitFrame split_frame(bytes data, bytes payload, unsigned char checksum, unsigned int gso_size)
@cython.locals(frame=Frame)
cpdef Frame new_frame(bytes data, unsigned char checksum)
cpdef Frame gathered(Frame frame)
