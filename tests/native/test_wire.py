import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import ModelError
from edgekit.native import wire
from edgekit.native.limits import memory_limit

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def through(value):
    here, there = socket.socketpair()
    with here, there:
        wire.send(here, wire.RESULT, value)
        kind, parts = wire.receive(there)
    assert kind == wire.RESULT
    return wire.decode(parts)


@given(PLAIN)
def test_plain_values_come_through(value):
    assert through(value) == value


@given(st.sampled_from(["f4", "f8", "i1", "u1", "i8", "?", "f2"]), st.lists(st.integers(0, 5)))
def test_arrays_come_through(dtype, shape):
    array = np.ones(shape[:4], dtype)
    back = through({"a": array})["a"]
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_paths_scalars_and_errors_come_through():
    value = (Path("a/b"), np.float32(2.5), np.dtype("int8"), {1, 2})
    assert through(value) == value
    error = through(ModelError("is bad", where="x"))
    assert isinstance(error, ModelError)
    assert str(error) == "x: is bad"


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("what", ["builtins.eval", "os.system", "edgekit.native.warm.os.system"])
def test_named_functions_are_refused(what):
    module, _, name = what.rpartition(".")
    with pytest.raises(pickle.UnpicklingError):
        wire.decode([bytearray(f"c{module}\n{name}\n(S'x'\ntR.".encode())])


def test_reduced_objects_are_refused(capsys):
    with pytest.raises(pickle.UnpicklingError, match="print"):
        through(Evil())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "size"), [("8GiB", 8 << 30), ("512 MiB", 512 << 20), ("1.5gb", 1_500_000_000)]
)
def test_memory_sizes_are_read(monkeypatch, text, size):
    monkeypatch.setenv("EDGEKIT_MEMORY_LIMIT", text)
    assert memory_limit(None) == size
