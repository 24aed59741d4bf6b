"""Kubernetes memory quantities: text to bytes and back."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, DecimalException

_SUFFIXES: dict[str, Decimal] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}
_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")
_LONGEST_TEXT = 64

MEBIBYTE = 2**20


def parse_bytes(text: str) -> int:
    """Return the bytes that a Kubernetes quantity stands for, rounded up.

    Raises ValueError when the text is not a non-negative quantity.
    """
    stripped = text.strip()
    number = stripped.rstrip("kKMGTPEim")
    suffix = stripped[len(number) :]
    problem = f"not a memory quantity: {text[:_LONGEST_TEXT]!r} (write for example 256Mi or 1Gi)"
    if suffix not in _SUFFIXES or not number or len(stripped) > _LONGEST_TEXT:
        raise ValueError(problem)
    try:
        value = Decimal(number) * _SUFFIXES[suffix]
    except DecimalException:
        raise ValueError(problem) from None
    if not value.is_finite() or value < 0 or value >= Decimal(2) ** 63:
        raise ValueError(problem)
    return int(value.to_integral_value(rounding=ROUND_CEILING))


def format_bytes(count: int) -> str:
    """Return the shortest exact quantity for a number of bytes: 268435456 is 256Mi, 1000 is 1000."""
    for suffix in _BINARY:
        factor = int(_SUFFIXES[suffix])
        if count and count % factor == 0:
            return f"{count // factor}{suffix}"
    return str(count)


def human_bytes(count: float) -> str:
    """Return a number of bytes for a person's eye, rounded: 1.5 GiB, 96 MiB, 12 KiB."""
    for suffix in ("Ti", "Gi", "Mi", "Ki"):
        factor = int(_SUFFIXES[suffix])
        if abs(count) >= factor:
            scaled = count / factor
            return f"{scaled:.0f} {suffix}B" if abs(scaled) >= 10 else f"{scaled:.1f} {suffix}B"
    return f"{count:.0f} B"


def round_up(count: int) -> int:
    """Round bytes up to a quantity that people would write: whole MiB, above 64 MiB in steps of 1.6 to 3.1 %.

    The steps are powers of two, so that the result is short in Mi or Gi: 700 MiB is 704Mi, 5000 MiB is 5Gi.
    """
    step = _step(count)
    return -(-count // step) * step


def round_down(count: int) -> int:
    """Round bytes down to a quantity that `round_up` leaves as it is."""
    step = _step(count)
    return count // step * step


def _step(count: int) -> int:
    step = MEBIBYTE
    while count > 64 * step:
        step *= 2
    return step
