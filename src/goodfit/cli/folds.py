"""Names of folds as they are typed."""

from __future__ import annotations

from goodfit.errors import SettingsError


def parse_folds(text: str) -> list[str]:
    """Turn "0,2-4,all" into names of folds.

    Raises:
        SettingsError: a part is neither a number, nor a range, nor "all".
    """
    names: list[str] = []
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if part == "all" or part.isdecimal():
            names.append(part)
        elif dash and first.isdecimal() and last.isdecimal() and int(first) <= int(last):
            names += [str(number) for number in range(int(first), int(last) + 1)]
        else:
            raise SettingsError(f"--folds {text}: write numbers like 0,1 or a range like 0-2, or all.")
    return names
