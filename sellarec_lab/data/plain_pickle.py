"""Read a table from a pickle without running what the pickle says.

A pickle is a program: loading it calls whatever functions it names. The published benchmark tables
are pickles, so this reader knows the few names that a plain table needs and refuses all others. The
file never causes an import or an attribute look-up of its own choosing: names are looked up in a
fixed table. (It stops code, not a crafted file that exhausts memory: read files that you trust.)
"""

import importlib
import pickle
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from pandas._libs.arrays import __pyx_unpickle_NDArrayBacked
from pandas._libs.internals import _unpickle_block
from pandas.core.indexes.base import _new_Index
from pandas.core.internals.managers import BlockManager

from sellarec_lab.data.errors import UnsafePickleError, problem

# numpy's own rebuilders, asked of numpy itself: their module was renamed in numpy 2.
_NUMPY = {
    ("multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("multiarray", "scalar"): np.float64(0).__reduce__()[0],
    ("numeric", "_frombuffer"): np.empty(0).__reduce_ex__(5)[0],
}


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """Stands in for _codecs.encode, by which old protocols spell bytes: that codec and no other."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"codec {encoding!r} instead of latin1")
    return text.encode("latin-1")


def _arrow_array(state: tuple) -> object:
    """Stands in for pyarrow.lib._restore_array: its buffers are checked before anything reads them."""
    array = importlib.import_module("pyarrow.lib")._restore_array(state)
    array.validate(full=True)
    return array


class _OldBlock:
    """Stands in for functools.partial(new_block, ndim=...), as pandas 1.3 wrote it; binds nothing else."""

    def __init__(self, function: object) -> None:
        if function is not _unpickle_block:
            raise pickle.UnpicklingError(f"functools.partial of {function!r}")

    def __setstate__(self, state: tuple) -> None:
        function, positional, named, _ = state
        self.__init__(function)
        if positional or set(named) != {"ndim"}:
            raise pickle.UnpicklingError("functools.partial with other arguments than ndim")
        self.ndim = named["ndim"]

    def __call__(self, values: np.ndarray, placement: slice) -> object:
        return _unpickle_block(values, placement, self.ndim)


def _allowed() -> dict[tuple[str, str], object]:
    table: dict[tuple[str, str], object] = {
        ("_codecs", "encode"): _latin1_bytes,
        ("functools", "partial"): _OldBlock,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("pandas", "NA"): pd.NA,
        ("pandas._libs.missing", "NA"): pd.NA,
        ("pandas", "StringDtype"): pd.StringDtype,
        ("pandas.core.arrays.string_", "StringDtype"): pd.StringDtype,
        ("pandas.core.arrays.string_", "StringArray"): pd.arrays.StringArray,
        ("pandas.arrays", "StringArray"): pd.arrays.StringArray,
        ("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"): __pyx_unpickle_NDArrayBacked,
        ("pandas._libs.internals", "_unpickle_block"): _unpickle_block,
        ("pandas.core.internals.blocks", "new_block"): _unpickle_block,  # pandas before 1.4
        ("pandas.core.internals.managers", "BlockManager"): BlockManager,
        ("pandas.core.indexes.base", "_new_Index"): _new_Index,
        ("pyarrow.lib", "_restore_array"): _arrow_array,
    }
    for module in ("builtins", "__builtin__"):
        table |= {(module, kind.__name__): kind for kind in (slice, bytearray)}
    for module in ("numpy.core", "numpy._core"):
        table |= {(f"{module}.{part}", name): rebuilder for (part, name), rebuilder in _NUMPY.items()}
    frames = {"core.frame": pd.DataFrame, "core.indexes.base": pd.Index, "core.indexes.range": pd.RangeIndex}
    for module, kind in frames.items():
        table["pandas", kind.__name__] = table[f"pandas.{module}", kind.__name__] = kind
    for name in ("Int64Index", "UInt64Index", "Float64Index"):  # one class since pandas 2
        table["pandas.core.indexes.numeric", name] = pd.Index
    return table


_ALLOWED = _allowed()
# pandas 3 keeps text in pyarrow where that is installed; it is imported only for a file that needs it.
_ALLOWED_LAZY = {
    ("pyarrow.lib", "py_buffer"): "pyarrow.lib",
    ("pyarrow.lib", "type_for_alias"): "pyarrow.lib",
    ("pandas.arrays", "ArrowStringArray"): "pandas.core.arrays.string_arrow",
    ("pandas.core.arrays.string_arrow", "ArrowStringArray"): "pandas.core.arrays.string_arrow",
}


# What a cut or garbled pickle may raise on its way through the unpickler and the rebuilders.
_DAMAGED = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    OverflowError,
)


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> object:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if (module, name) in _ALLOWED_LAZY:
            return getattr(importlib.import_module(_ALLOWED_LAZY[module, name]), name)
        raise UnsafePickleError(
            f"{self._path}: expected a pickle of a plain table, found a call for {module}.{name}, which was "
            f"refused. Get the file from its publisher again, or ask for it as CSV."
        )


def read_table(path: Path) -> pd.DataFrame:
    """The DataFrame in a pickle file.

    Raises:
        UnsafePickleError: the pickle names anything that a plain table does not need.
        DataError: no such file, not a pickle, damaged, or not a DataFrame.
    """
    if not path.is_file():
        raise problem(str(path), "a pickle file", "nothing", "Check the folder and the name.")
    try:
        with path.open("rb") as file:
            table = _PlainUnpickler(file, path).load()
    except UnsafePickleError:
        raise
    except _DAMAGED as error:
        do = "Download it again; if it was written by a very old pandas, save it anew with a current one."
        raise problem(str(path), "a pickle of a DataFrame", f"{type(error).__name__}: {error}", do) from error
    if not isinstance(table, pd.DataFrame):
        raise problem(str(path), "a DataFrame", type(table).__name__, "Pass the published table.")
    return table
