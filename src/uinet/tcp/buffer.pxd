cimport cython

from uinet.wire.kernels cimport store_bytes, take

cdef Py_ssize_t BLOCK, SMALL_BLOCK, BY_REFERENCE, BESIDE


@cython.final
@cython.freelist(64)
cdef class Block:
    cdef object buffer
    cdef Py_ssize_t start, end, room


@cython.locals(block=Block)
cdef Block new_block(object buffer, Py_ssize_t start, Py_ssize_t end, Py_ssize_t room)


@cython.final
cdef class ByteQueue:
    cdef public Py_ssize_t length
    cdef list blocks
    cdef Py_ssize_t first, cursor, cursor_position
    cdef public object source
    cdef public Py_ssize_t source_offset
    @cython.locals(block=Block, count=Py_ssize_t)
    cpdef append(self, object data, Py_ssize_t offset, Py_ssize_t length)
    cdef bint _may_refer(self, Py_ssize_t whole, Py_ssize_t length) except -1
    @cython.locals(block=Block, size=Py_ssize_t)
    cdef Block _growing(self, Py_ssize_t wanted)
    @cython.locals(block=Block, held=Py_ssize_t)
    cpdef drop(self, Py_ssize_t count)
    cdef _tidy(self)
    @cython.locals(block=Block, skip=Py_ssize_t)
    cpdef locate(self, Py_ssize_t position, Py_ssize_t length)
    @cython.locals(found=list, index=Py_ssize_t, before=Py_ssize_t, block=Block, held=Py_ssize_t, start=Py_ssize_t,
                   count=Py_ssize_t)
    cpdef list pieces(self, Py_ssize_t position, Py_ssize_t length)
    @cython.locals(block=Block, count=Py_ssize_t, pieces=list)
    cdef bytes _copy(self, Py_ssize_t index, Py_ssize_t skip, Py_ssize_t length)
    cpdef bytes read(self, Py_ssize_t limit)
    @cython.locals(block=Block, held=Py_ssize_t)
    cpdef bytes read_piece(self, Py_ssize_t limit)
    @cython.locals(block=Block, done=Py_ssize_t, wanted=Py_ssize_t, count=Py_ssize_t)
    cpdef Py_ssize_t read_into(self, object target) except -1
    @cython.locals(block=Block, held=Py_ssize_t)
    cpdef move(self, ByteQueue other, Py_ssize_t count)
    cpdef clear(self)
