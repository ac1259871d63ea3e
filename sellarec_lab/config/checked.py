"""Settings whose types and ranges are checked whenever they are made: what a field may be stands in its type."""

import functools
from dataclasses import is_dataclass
from typing import Annotated, Any, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Odds = Annotated[float, Field(gt=0, lt=1)]
Folder = Annotated[str, Field(pattern=r"^\w[\w.+-]*$")]  # one that a folder may have
Names = Annotated[tuple[str, ...], Field(strict=False)]  # json knows lists alone
Widths = Annotated[tuple[Count, ...], Field(strict=False)]

_EXPECTED = {
    "int_type": "a whole number", "float_type": "a number", "string_type": "text", "bool_type": "True or False",
    "finite_number": "a finite number", "tuple_type": "a tuple", "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}", "less_than": "less than {lt:g}", "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}", "dataclass_type": "a {class_name}", "dataclass_exact_type": "a {class_name}",
    "unexpected_keyword_argument": "no such field; known: {known}", "missing": "a value",
    "string_pattern_mismatch": "a folder's name of letters, digits, -, + and .",
}  # fmt: skip


class SettingError(ValueError):
    """A setting that can't be: which ``field`` (a path with ``__``), and what is wrong with it."""

    def __init__(self, field: str, wrong: str):
        super().__init__(f"{field}: {wrong}" if field else wrong)
        self.field, self.wrong = field, wrong

    def __reduce__(self):
        return SettingError, (self.field, self.wrong)


def require(condition: bool, message: str) -> None:
    """A combination of settings that can't be is refused when the config is made."""
    if not condition:
        raise ValueError(message)


@dataclass_transform(frozen_default=True, kw_only_default=False)
def settings(cls: type) -> type:
    """A frozen dataclass that refuses values of another type or out of range.

    Numbers are not made of text, nor whole numbers of others. Raises `SettingError`.
    """
    made = dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))(cls)
    build = made.__init__

    @functools.wraps(build)
    def __init__(self, *args: Any, **given: Any) -> None:
        try:
            build(self, *args, **given)
        except ValidationError as error:
            raise _said(error, made) from None

    made.__init__ = __init__
    return made


def _said(error: ValidationError, made: type) -> SettingError:
    """The first thing that is wrong, in our words."""
    first = next(iter(error.errors()))
    if first["type"] == "value_error":  # of `require`
        return SettingError("", str(first["ctx"]["error"]))
    told = {"known": ", ".join(made.__dataclass_fields__)} | first.get("ctx", {})
    expected = _EXPECTED.get(first["type"], first["msg"]).format(**told)
    if first["type"] == "unexpected_keyword_argument":
        return SettingError(str(first["loc"][-1]), f"{made.__name__} has {expected}")
    found = type(first["input"]).__name__ if is_dataclass(first["input"]) else repr(first["input"])
    return SettingError("__".join(map(str, first["loc"])), f"expected {expected}, got {found}")
