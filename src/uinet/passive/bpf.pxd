cimport cython

from uinet.wire.kernels cimport load_u8, load_u16, load_u32, load_u64

cdef unsigned int MASK32
cdef unsigned int LD, LDX, ST, STX, ALU, JMP, RET, MISC, WORD, HALF, BYTE, IMM, ABS, IND, MEM, LEN, MSH
cdef unsigned int ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR, JA, JEQ, JGT, JGE, JSET, BY_X, RETURN_A, TXA
cdef unsigned int JEQ_K, JSET_K, LDW_ABS, LDH_ABS, LDB_ABS, RET_K


cdef unsigned int load(bytes data, Py_ssize_t offset, unsigned int size) except? 0xA5A5A5A5
cdef unsigned int recall(list memory, unsigned int index) except? 0xA5A5A5A5
cdef unsigned int compute(unsigned int operation, unsigned int a, unsigned int operand) noexcept


@cython.final
cdef class Program:
    cdef public tuple instructions
    cdef bytes code
    cdef bint has_memory
    @cython.locals(code=bytes, at=Py_ssize_t, a=cython.uint, x=cython.uint, memory=list, word=cython.ulonglong,
                   opcode=cython.uint, k=cython.uint, kind=cython.uint, mode=cython.uint, size=cython.uint,
                   wanted=cython.uint, offset=cython.longlong, operand=cython.uint, test=cython.uint,
                   operation=cython.uint, holds=cython.bint)
    cpdef unsigned int run(self, bytes data, Py_ssize_t start, Py_ssize_t captured, Py_ssize_t length) \
        except? 0xA5A5A5A5
