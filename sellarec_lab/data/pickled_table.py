"""Build a table from what a pickle says of one; every size, name and kind is checked before anything is made.

A file's calls arrive as `Call`: the kind of thing it wants made, with arguments and state, all of them plain data or
further calls. Nothing here trusts them; what does not fit is `pickle.UnpicklingError`.
"""

import math
import pickle
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pandas as pd

_NUMBERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}
_OBJECTS = ("O", "O8", "O4")
_OFFSETS = {"string": "<i4", "utf8": "<i4", "large_string": "<i8", "large_utf8": "<i8"}
_PLAIN = (str, int, float, bool, type(None))


class Call:
    """One thing that a pickle wants made; it is not made. A subclass for each name that the file may say."""

    kind: ClassVar[str]

    def __new__(cls, *args: Any) -> "Call":
        if cls.kind == "object":  # how protocols 0 and 1 say that an object of a class is wanted
            _sure(args and isinstance(args[0], type) and issubclass(args[0], Call), "an object of no class")
            cls, args = args[0], ()
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __init__(self, *args: Any) -> None:
        """Everything is noted by `__new__`, the only one of the two that some opcodes call."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *args: Any) -> "Call":
        """partial(new_block, ndim=2)(values, placement), as pandas 1.3 wrote a block; binds nothing else."""
        _sure(self.kind == "partial", f"a call of {self.kind}")
        function, positional, named, _ = _tuple(self.state, 4)
        _sure(getattr(function, "kind", "") == "block", "functools.partial of something else than a block")
        _sure(not positional and set(_dict(named)) == {"ndim"}, "functools.partial with other arguments than ndim")
        return function(*args)


def table_of(told: Call) -> pd.DataFrame:
    """The DataFrame that a pickle describes.

    Raises:
        pickle.UnpicklingError: anything in it does not fit; says what.
    """
    state = _dict(_is(told, "frame").state)
    manager = _is(state.get("_mgr", state.get("_data")), "manager")
    blocks, axes = _blocks(manager)
    _sure(isinstance(axes, (list, tuple)) and len(axes) == 2, "a table without two axes")
    made = _Maker()
    names, index = made.index(axes[0]), made.index(axes[1])
    _sure(all(isinstance(name, (str, int)) for name in names), "columns that are not called by text or a number")
    columns = made.columns(blocks, len(names), index)
    table = pd.DataFrame(dict(enumerate(columns)), index=index)
    return table.set_axis(pd.Index(names, dtype=object if len(names) == 0 else None), axis=1)


def _blocks(manager: Call) -> tuple[list[tuple[Any, Any]], Any]:
    """(values, placement) of each block and the axes, as pandas from 1.3 or before it wrote them."""
    if manager.args:
        _sure(len(manager.args) == 2 and isinstance(manager.args[0], (list, tuple)), "blocks of another form")
        return [_block(call) for call in manager.args[0]], manager.args[1]
    old = _dict(_dict(_tuple(manager.state, 4)[3]).get("0.14.1"))
    _sure(isinstance(old.get("blocks"), (list, tuple)), "no blocks")
    return [(_dict(b).get("values"), _dict(b).get("mgr_locs")) for b in old["blocks"]], old.get("axes")


def _block(call: Any) -> tuple[Any, Any]:
    args = _is(call, "block").args
    _sure(len(args) in (2, 3), "a block without values and placement")
    return args[0], args[1]


class _Maker:
    """Values from calls; a part that the file mentions twice is made once."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def columns(self, blocks: list[tuple[Any, Any]], many: int, index: pd.Index) -> list[pd.Series]:
        """One Series a column, from blocks that together fill each column once."""
        found: dict[int, Any] = {}
        for values, placement in blocks:
            array, places = self.value(values), self._places(placement, many)
            parts = [array] if array.ndim == 1 else list(array)
            _sure(len(parts) == len(places), "a block of another height than its columns")
            for place, part in zip(places, parts, strict=True):
                _sure(place not in found and len(part) == len(index), "columns that overlap or differ in length")
                found[place] = part
        _sure(len(found) == many, "columns without values")
        return [pd.Series(found[place], index, found[place].dtype) for place in range(many)]

    def _places(self, placement: Any, many: int) -> list[int]:
        if isinstance(placement, Call) and placement.kind == "slice":
            args = placement.args
            _sure(len(args) == 3 and all(a is None or _whole(a) for a in args) and args[2] != 0, "a broken slice")
            return list(range(many)[slice(*args)])
        places = self.value(placement)
        _sure(isinstance(places, np.ndarray) and places.dtype.kind in "iu" and places.ndim == 1, "a broken placement")
        _sure(((places >= 0) & (places < many)).all(), "a column beyond the table's")
        return places.tolist()

    def index(self, call: Any) -> pd.Index:
        args = _is(call, "index").args
        _sure(len(args) == 2, "an index without its parts")
        parts = _dict(args[1])
        if "data" in parts:
            return pd.Index(self._flat(parts["data"]))
        ends = [parts.get(end) for end in ("start", "stop", "step")]
        _sure(all(_whole(end) and abs(end) < 2**62 for end in ends) and ends[2] != 0, "a broken range")
        return pd.RangeIndex(*ends)

    def _flat(self, data: Any) -> Any:
        array = self.value(data)
        _sure(getattr(array, "ndim", 0) == 1, "an index that is no list")
        plain = array.dtype != object or all(isinstance(value, _PLAIN) for value in array)
        _sure(plain, "an index of something else than numbers and text")
        return array

    def value(self, told: Any) -> Any:
        """Plain data as it is, lists with their parts made, calls answered."""
        if isinstance(told, _PLAIN):
            return told
        if isinstance(told, type) and issubclass(told, Call) and told.kind == "NA":
            return pd.NA
        if id(told) not in self._made:
            self._made[id(told)] = _Unfinished  # a list that holds itself is found here
            self._made[id(told)] = self._value(told)
        _sure(self._made[id(told)] is not _Unfinished, "something that holds itself")
        return self._made[id(told)]

    def _value(self, told: Any) -> Any:
        if isinstance(told, (list, tuple)):
            return type(told)(map(self.value, told))
        makers = {
            "array": self._array, "buffer": self._buffer, "scalar": self._scalar, "texts": self._texts,
            "arrow": self._arrow,
        }  # fmt: skip
        _sure(isinstance(told, Call) and told.kind in makers, f"{_named(told)} where a table has values")
        return makers[told.kind](told)

    def _array(self, call: Call) -> np.ndarray:
        _, shape, dtype, fortran, data = _tuple(call.state, 5)
        return self._shaped(data, _dtype(dtype), shape, "F" if fortran else "C")

    def _buffer(self, call: Call) -> np.ndarray:
        data, dtype, shape, order = _tuple(call.args, 4)
        _sure(order in ("C", "F"), f"the order {order!r}")
        return self._shaped(data, _dtype(dtype), shape, order)

    def _shaped(self, data: Any, dtype: np.dtype, shape: Any, order: str) -> np.ndarray:
        sizes = isinstance(shape, tuple) and 1 <= len(shape) <= 2 and all(_whole(n) and n >= 0 for n in shape)
        _sure(sizes, "an array of a strange shape")
        if dtype.kind == "O":
            _sure(isinstance(data, list) and len(data) == math.prod(shape), "an array of another size than said")
            return self._cells(data).reshape(shape, order=order)
        return _read(_bytes(data), dtype, math.prod(shape)).reshape(shape, order=order)

    def _cells(self, data: list) -> np.ndarray:
        cells = np.empty(len(data), dtype=object)
        for at, cell in enumerate(data):  # one by one: numpy would spread lists of one length over an axis
            cells[at] = self.value(cell)
        return cells

    def _scalar(self, call: Call) -> Any:
        dtype, data = _tuple(call.args, 2)
        return _read(_bytes(data), _dtype(dtype, numbers=True), 1)[0]

    def _texts(self, call: Call) -> np.ndarray:
        parts = [part for part in _tuple(call.state, 2, 3) if isinstance(part, Call) and part.kind in _ARRAYS]
        _sure(len(parts) == 1, "text of another form")
        return self.value(parts[0])

    def _arrow(self, call: Call) -> np.ndarray:
        restored = _is(_dict(call.state).get("_pa_array"), "arrow buffers")
        _sure(len(restored.args) == 1, "text of another form")
        kind, length, _, offset, buffers = _tuple(restored.args[0], 5, 8)[:5]
        alias = _tuple(_is(kind, "arrow type").args, 1)[0]
        _sure(
            isinstance(alias, str) and alias in _OFFSETS and offset == 0, "a table with other arrow columns than text"
        )
        _sure(_whole(length) and length >= 0, "text of a strange length")
        missing, ends, text = _tuple(buffers, 3)
        return _spelled(missing, _bytes(ends), b"" if text is None else _bytes(text), length, _OFFSETS[alias])


_ARRAYS = ("array", "buffer")


class _Unfinished:
    """Stands for a value on its way."""


def _spelled(missing: Any, ends: bytes, text: bytes, length: int, kind: str) -> np.ndarray:
    """Arrow's text column [length] as strings and None."""
    _sure(len(ends) // np.dtype(kind).itemsize > length, "text of another length than said")
    at = np.frombuffer(ends, kind, length + 1).astype(np.int64)
    _sure(at[0] >= 0 and (np.diff(at) >= 0).all() and at[-1] <= len(text), "text beyond its buffer")
    cells = np.array([text[a:b].decode() for a, b in pairwise(at)] or [""], dtype=object)[:length]
    if missing is not None:
        bits = np.unpackbits(np.frombuffer(_bytes(missing), np.uint8), bitorder="little")
        _sure(len(bits) >= length, "fewer marks of what is missing than rows")
        cells[bits[:length] == 0] = None
    return cells


def _read(data: bytes, dtype: np.dtype, many: int) -> np.ndarray:
    _sure(len(data) == many * dtype.itemsize, "an array of another size than said")
    if dtype.kind == "b":
        return np.frombuffer(data, np.uint8) != 0
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))


def _dtype(call: Any, numbers: bool = False) -> np.dtype:
    """Numbers, truth values or objects, of either byte order; nothing with fields, shapes or metadata."""
    args = _is(call, "dtype").args
    name = args[0] if args and isinstance(args[0], str) else ""
    _sure(name in _NUMBERS or (name in _OBJECTS and not numbers), f"values of the kind {name!r}")
    state = _tuple(call.state, 8, 9)
    _sure(all(part is None for part in state[2:5]), "values with fields")
    _sure(state[1] in ("<", ">", "|", "="), "a strange byte order")
    return np.dtype(object) if name in _OBJECTS else np.dtype(name).newbyteorder(state[1])


def _bytes(told: Any) -> bytes:
    """Bytes as protocols spell them: as they are, as text in latin1, or in a buffer."""
    for _ in range(3):  # a buffer of a bytearray of text
        if isinstance(told, (bytes, bytearray)):
            return bytes(told)
        args = _is(told, "bytes").args
        if len(args) == 2 and isinstance(args[0], str):
            _sure(args[1] == "latin1", f"codec {args[1]!r} instead of latin1")
            return args[0].encode("latin-1")
        told = _tuple(args, 1)[0] if args else b""
    raise pickle.UnpicklingError("bytes of another form")


def _is(told: Any, *kinds: str) -> Call:
    _sure(isinstance(told, Call) and told.kind in kinds, f"{_named(told)} instead of {' or '.join(kinds)}")
    return told


def _dict(told: Any) -> dict:
    _sure(isinstance(told, dict), f"{_named(told)} instead of named parts")
    return told


def _tuple(told: Any, least: int, most: int | None = None) -> tuple:
    fits = isinstance(told, (tuple, list)) and least <= len(told) <= (most or least)
    _sure(fits, f"{_named(told)} instead of {least} parts")
    return tuple(told)


def _whole(told: Any) -> bool:
    return isinstance(told, int) and not isinstance(told, bool)


def _named(told: Any) -> str:
    return told.kind if isinstance(told, Call) else type(told).__name__


def _sure(holds: Any, otherwise: str) -> None:
    if not holds:
        raise pickle.UnpicklingError(otherwise)
