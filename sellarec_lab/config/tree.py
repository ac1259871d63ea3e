"""A config tree is changed by copying, and read as plain data."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sellarec_lab.config.checked import SettingError


def replace(tree: Any, path: str, value: Any) -> Any:
    """A copy of a config tree with the field at ``path`` (parts joined by ``__``) changed.

    Raises:
        ValueError: no such field.
        SettingError: a value that the field can't have; names the path.
    """
    try:
        return _replaced(tree, path, value)
    except SettingError as error:
        raise SettingError(path, error.wrong) from None


def _replaced(tree: Any, path: str, value: Any) -> Any:
    head, _, rest = path.partition("__")
    known = [f.name for f in dataclasses.fields(tree)]
    if head not in known:
        raise ValueError(f"{type(tree).__name__} has no field {head!r}; known fields: {', '.join(known)}")
    return dataclasses.replace(tree, **{head: _replaced(getattr(tree, head), rest, value) if rest else value})


def changed(tree: Any, changes: Mapping[str, Any]) -> Any:
    """A copy of a config tree with the fields at several paths changed."""
    for path, value in changes.items():
        tree = replace(tree, path, value)
    return tree


def as_dict(tree: Any) -> Any:
    """The tree as plain data, without fields that only say where files lie; a value of it as it is."""
    if not dataclasses.is_dataclass(tree):
        return tree
    known = (f for f in dataclasses.fields(tree) if not f.metadata.get("location"))
    return {f.name: as_dict(getattr(tree, f.name)) for f in known}
