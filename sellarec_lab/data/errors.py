"""What goes wrong with data, said once and in one form."""


class DataError(ValueError):
    """A table or file is not what it should be.

    The message names the table or file, the row or line, the column, what was expected, what was
    found, and what to do next.
    """


class UnsafePickleError(DataError):
    """A pickle asks for something that a plain table does not need, so it was not loaded."""


def problem(where: str, expected: str, found: object, do: str) -> DataError:
    """Build the one error message of this room: place, expectation, finding, remedy."""
    return DataError(f"{where}: expected {expected}, found {found}. {do}")
