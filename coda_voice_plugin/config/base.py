"""What every section of the settings is made of."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from .sizes import parse_size

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Milliseconds = Annotated[int, Field(ge=0, le=600_000)]
ByteSize = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]


class Settings(BaseModel):
    """Base of every section: a typo is an error, and nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _a_yes_is_not_a_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false where neither is meant (Python would read 1 and 0).

        An unquoted ``off`` is false in YAML; where a setting has the word, it gets it.
        """
        annotation = cls.model_fields[info.field_name or ""].annotation
        if not isinstance(value, bool) or annotation is bool:
            return value
        if value is False and "off" in get_args(annotation):
            return "off"
        raise ValueError("a yes or no is not what this setting takes")
