cimport cython

from uinet.passive.overlap cimport new_wins
from uinet.stats cimport Stats

cdef int KEPT, WHOLE, BROKEN
cdef long long TIMEOUT
cdef Py_ssize_t MAX_DATAGRAMS, DATAGRAM_COST, PIECE_COST, MAX_RECENT, RECENT_SHARE

cdef bint contradicts(Datagram datagram, Py_ssize_t end, bint more) except -1
cdef bint repeats(Piece new, Piece old) except -1
@cython.locals(old=Piece, start=Py_ssize_t, end=Py_ssize_t, ours=bytes, theirs=bytes, common=Py_ssize_t)
cdef bint conflicts(Piece new, list touched) except -1
@cython.locals(parts=list, at=Py_ssize_t, old=Piece, start=Py_ssize_t, end=Py_ssize_t)
cdef list merge(Piece new, list touched, int policy)


@cython.final
cdef class Piece:
    cdef public Py_ssize_t start, end, first, last
    cdef public bytes data
    cdef Piece part(self, Py_ssize_t start, Py_ssize_t end)
    cdef bytes there(self, Py_ssize_t start, Py_ssize_t end)


@cython.final
cdef class Datagram:
    cdef public long long time
    cdef public list pieces, starts
    cdef public Py_ssize_t covered, reach, total, link_length, cost
    cdef public unsigned int tags
    cdef public bytes head, vids
    cdef public bint conflict, condemned


@cython.final
cdef class Fragments:
    cdef public Stats stats
    cdef public Py_ssize_t limit, cost, recent_cost, link_length, total
    cdef public int policy
    cdef public dict datagrams, recent
    cdef public bytes head, vids, payload
    cdef public unsigned int tags
    cdef public bint conflict
    @cython.locals(end=Py_ssize_t, datagram=Datagram)
    cpdef int add(
        self, bytes key, bint strict, long long now, Py_ssize_t offset, bint more, bytes payload, Py_ssize_t length,
        Py_ssize_t room, bytes head, Py_ssize_t link_length, bytes vids, unsigned int tags) except -1
    cpdef finish(self)
    cdef int _broken(self, str name) except -1
    cdef Datagram _begin(self, bytes key, long long now)
    cdef _charge(self, Datagram datagram, Py_ssize_t cost)
    @cython.locals(pieces=list, starts=list, parts=list, touched=list, at=Py_ssize_t, stop=Py_ssize_t,
                   before=Py_ssize_t)
    cdef bint _insert(self, Datagram datagram, Piece new, bint strict) except -1
    cdef _condemn(self, Datagram datagram)
    @cython.locals(key=bytes, datagram=Datagram)
    cdef _expire(self, long long now)
    cdef _shrink(self)
    @cython.locals(datagram=Datagram)
    cdef _forget(self, bytes key, str name)
    @cython.locals(piece=Piece, part=bytes, there=list)
    cdef _complete(self, bytes key, Datagram datagram)
    cdef _remember(self, bytes key, Datagram datagram)
    cdef _drop_recent(self, bytes key)
    @cython.locals(datagram=Datagram, piece=Piece, known=bytes, common=Py_ssize_t)
    cdef bint _seen(self, bytes key, Py_ssize_t offset, Py_ssize_t end, bint more, bytes payload) except -1
