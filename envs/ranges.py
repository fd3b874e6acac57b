"""Settings that are numbers within a range."""

from __future__ import annotations


def number_from(low: float, high: float, **setting: object) -> float:
    """Returns the one setting given, by its name, as a float.

    Raises:
        ValueError: If it is no number from ``low`` to ``high``.
    """
    ((name, value),) = setting.items()
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}")
    return float(value)


def whole_from(low: int, high: int, **setting: object) -> int:
    """Returns the one setting given, by its name, as an integer.

    Raises:
        ValueError: If it is no whole number from ``low`` to ``high``.
    """
    ((name, value),) = setting.items()
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
    return value
