"""Settings as pydantic dataclasses, whose errors are one sentence in a type of graphmix."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from pydantic import ValidationError

from graphmix.errors import GraphmixError

_Settings = TypeVar("_Settings")
EXPECTED = {
    "int_type": "it is a whole number",
    "int_from_float": "it is a whole number",
    "float_type": "it is a number",
    "bool_type": "it is True or False",
    "string_type": "it is text",
    "tuple_type": "it is a tuple",
    "finite_number": "it is a finite number",
    "greater_than_equal": "it cannot be negative",
    "greater_than": "it must be above 0",
    "unexpected_keyword_argument": "there is no such setting",
}
"""What a setting should be, by the name of pydantic's error."""


def raising(
    kind: type[GraphmixError], sentence: Callable[[ValidationError], str]
) -> Callable[[type[_Settings]], type[_Settings]]:
    """Decorator of a pydantic dataclass: invalid values raise `kind` with one sentence in place of pydantic's report.

    Args:
        kind: of the error.
        sentence: makes the message of what pydantic found.
    """

    def decorate(cls: type[_Settings]) -> type[_Settings]:
        validate: Callable[..., None] = cls.__init__

        @wraps(validate)
        def init(self: Any, *args: Any, **values: Any) -> None:
            try:
                validate(self, *args, **values)
            except ValidationError as error:
                raise kind(sentence(error)) from None

        cls.__init__ = init  # type: ignore[method-assign]
        return cls

    return decorate
