"""The lines of ``scepfix doctor`` about one system: who is not let in sees no more, and that is said once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from scepfix.domain.check import Check, CheckResult
from scepfix.domain.errors import ScepfixError

#: Ends of error codes that say that nobody could look; all others say that something is wrong.
_NOBODY_LOOKED = ("-unreachable", "-privilege", "-journal")
#: A missing privilege is told where privileges are; the line that needed it was not looked at.
_PRIVILEGES = ".privileges"

#: Given the line's id, looks and returns the line. May raise ScepfixError.
Look = Callable[[str], Check]


def lines_of(credentials: str, looks: Mapping[str, Look]) -> Iterator[Check]:
    """Given the id of the line about credentials, which is the first, and the looks by id, yield a line for each.

    Never raises. Where the credentials do not pass, nobody looks any further.
    """
    let_in = True
    for name, look in looks.items():
        line = line_of(name, look) if let_in else not_looked_at(name, credentials)
        if name == credentials:
            let_in = line.result is CheckResult.PASS
        yield line


def line_of(name: str, look: Look) -> Check:
    """Given a line's id and the look, return the line; never raises."""
    try:
        return look(name)
    except ScepfixError as error:
        return line_of_error(name, error)


def line_of_error(name: str, error: ScepfixError) -> Check:
    """Given a line's id and what was raised instead of it, return the line."""
    unseen = error.code.endswith(_NOBODY_LOOKED) and not (
        name.endswith(_PRIVILEGES) and error.code.endswith("-privilege")
    )
    return Check(name, CheckResult.UNKNOWN if unseen else CheckResult.FAIL, error.message, error.hint)


def not_looked_at(name: str, credentials: str) -> Check:
    """Return the line of what nobody looked at, since the credentials did not pass."""
    return Check(name, CheckResult.UNKNOWN, f"not looked at: see {credentials}")
