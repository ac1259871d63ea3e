"""Read a table from a pickle without running what the pickle says.

A pickle is a program: loading it calls whatever functions it names. The published benchmark tables are pickles, so this
reader knows the few names that a plain table needs, refuses all others, and calls none of them: each name stands for a
`Call`, which only notes its arguments. `pickled_table` then builds a new table from the notes, checking every size, so
no code of numpy, pandas or pyarrow ever reads a state that the file made up.
"""

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from sellarec_lab.data.errors import UnsafePickleError, problem
from sellarec_lab.data.pickled_table import Call, table_of

# What a name in the file stands for; the words on the right are those that `pickled_table` understands.
_NAMES = {
    "_codecs": {"encode": "bytes"},
    "copy_reg": {"_reconstructor": "object"},
    "copyreg": {"_reconstructor": "object"},
    "builtins": {"slice": "slice", "bytes": "bytes", "bytearray": "bytes", "object": "class"},
    "functools": {"partial": "partial"},
    "numpy": {"ndarray": "class", "dtype": "dtype"},
    "numpy.core.multiarray": {"_reconstruct": "array", "scalar": "scalar"},
    "numpy.core.numeric": {"_frombuffer": "buffer"},
    "pandas": {"NA": "NA", "StringDtype": "class", "DataFrame": "frame", "Index": "class", "RangeIndex": "class"},
    "pandas._libs.missing": {"NA": "NA"},
    "pandas._libs.arrays": {"__pyx_unpickle_NDArrayBacked": "texts"},
    "pandas._libs.internals": {"_unpickle_block": "block"},
    "pandas.arrays": {"StringArray": "class", "ArrowStringArray": "arrow"},
    "pandas.core.arrays.string_": {"StringDtype": "class", "StringArray": "class"},
    "pandas.core.arrays.string_arrow": {"ArrowStringArray": "arrow"},
    "pandas.core.frame": {"DataFrame": "frame"},
    "pandas.core.indexes.base": {"_new_Index": "index", "Index": "class"},
    "pandas.core.indexes.numeric": {"Int64Index": "class", "UInt64Index": "class", "Float64Index": "class"},
    "pandas.core.indexes.range": {"RangeIndex": "class"},
    "pandas.core.internals.blocks": {"new_block": "block"},  # pandas 1.3
    "pandas.core.internals.managers": {"BlockManager": "manager"},
    "pyarrow.lib": {"_restore_array": "arrow buffers", "py_buffer": "bytes", "type_for_alias": "arrow type"},
}
_RENAMED = {"__builtin__": "builtins", "numpy._core.multiarray": "numpy.core.multiarray"}
_RENAMED |= {"numpy._core.numeric": "numpy.core.numeric"}

# What a cut or garbled pickle may raise on its way.
_DAMAGED = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
)


class _PlainUnpickler(pickle._Unpickler):  # the one in Python: its memo is a dict, which no index can blow up
    dispatch: ClassVar[dict] = dict(pickle._Unpickler.dispatch)

    def __init__(self, raw: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(raw))
        self._path = path

    def find_class(self, module: str, name: str) -> type[Call]:
        kind = _NAMES.get(_RENAMED.get(module, module), {}).get(name)
        if kind is None:
            raise UnsafePickleError(
                f"{self._path}: expected a pickle of a plain table, found a call for {module}.{name}, which was "
                f"refused. Get the file from its publisher again, or ask for it as CSV."
            )
        return type(name, (Call,), {"kind": kind})

    def load_bytearray8(self) -> None:
        """As bytes are read: never more than the file holds."""
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    for registered in (pickle.EXT1, pickle.EXT2, pickle.EXT4):  # a registry of this process, not of the file
        del dispatch[registered[0]]


def read_table(path: Path) -> pd.DataFrame:
    """The DataFrame in a pickle file.

    Raises:
        UnsafePickleError: the pickle names anything that a plain table does not need.
        DataError: no such file, not a pickle, damaged, or not a DataFrame.
    """
    if not path.is_file():
        raise problem(str(path), "a pickle file", "nothing", "Check the folder and the name.")
    try:
        return _table(path)
    except UnsafePickleError:
        raise
    except _DAMAGED as error:
        do = "Download it again; if it was written by a very old pandas, save it anew with a current one."
        raise problem(str(path), "a pickle of a DataFrame", f"{type(error).__name__}: {error}", do) from error


def _table(path: Path) -> pd.DataFrame:
    told: Any = _PlainUnpickler(path.read_bytes(), path).load()
    if not isinstance(told, Call):
        raise problem(str(path), "a DataFrame", type(told).__name__, "Pass the published table.")
    return table_of(told)
