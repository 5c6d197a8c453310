"""Errors: one line each, the usual errno, and Python's own class as a base where there is one."""

from __future__ import annotations

import errno
import inspect
import pickle

import pytest

from uinet import errors

CLASSES = [
    each for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, errors.Error) and each.__module__ == errors.__name__
]
BUILTIN = {
    errno.ECONNREFUSED: ConnectionRefusedError, errno.ECONNRESET: ConnectionResetError,
    errno.ECONNABORTED: ConnectionAbortedError, errno.EPIPE: BrokenPipeError, errno.ETIMEDOUT: TimeoutError,
    errno.EAGAIN: BlockingIOError, errno.EINPROGRESS: BlockingIOError, errno.EPERM: PermissionError,
}


@pytest.mark.parametrize("each", CLASSES)
def test_an_error_without_message_says_what_it_is(each: type[errors.Error]) -> None:
    error = each()
    assert isinstance(error, OSError)
    assert error.errno == each.code
    assert error.errno in errno.errorcode
    assert str(error)
    assert "\n" not in str(error)
    assert not str(error).endswith(".")
    assert str(each("other words")) == "other words"


@pytest.mark.parametrize("each", CLASSES)
def test_the_builtin_class_of_the_errno_is_a_base(each: type[errors.Error]) -> None:
    builtin = BUILTIN.get(each.code)
    if builtin is not None:
        assert issubclass(each, builtin)
    else:
        assert not isinstance(each(), tuple(BUILTIN.values()))


@pytest.mark.parametrize("each", CLASSES)
def test_a_copy_is_the_same_error(each: type[errors.Error]) -> None:
    copied = pickle.loads(pickle.dumps(each("in words")))
    assert type(copied) is each
    assert (copied.errno, str(copied)) == (each.code, "in words")


def test_wrong_arguments_are_value_errors() -> None:
    for each in (errors.InvalidArgument, errors.AddressError, errors.VlanError, errors.DeviceURLError):
        assert issubclass(each, ValueError)


def test_every_error_has_its_place_in_the_package() -> None:
    import uinet

    for each in CLASSES:
        assert getattr(uinet, each.__name__) is each
