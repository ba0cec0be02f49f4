"""Approvals signed with an SSH key: who signed, says ssh-keygen and the site's file of allowed signers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from scepfix.domain.errors import InputError, RefusedError, ScepfixError, UsageError
from scepfix.domain.inert import visible

#: The namespace keeps a signature over something else (a commit, a file) from counting here. ssh-keygen(1), -Y sign.
NAMESPACE = "scepfix-plan"
_TIMEOUT_SECONDS = 30


class SshSignatures:
    """Given the path of an allowed_signers file (ssh-keygen(1), ALLOWED SIGNERS) or None, tells who signed."""

    def __init__(self, allowed_signers: str | None) -> None:
        self._allowed_signers = allowed_signers

    def signer(self, message: bytes, signature_file: str) -> str:
        """Given a message and the path of its signature, return the one person whose key made it.

        Raise UsageError where no signers are set, InputError where there is no signature, RefusedError
        (``signature-refused``) where it is not of a listed key, of this message, in this namespace, at this time.
        """
        if self._allowed_signers is None:
            raise UsageError(
                "no-signers",
                "no file of allowed signers is set, so no signature can be judged",
                where="allowed_signers",
                hint="set allowed_signers (docs/settings.md)",
            )
        signature = str(Path(signature_file).absolute())
        if not Path(signature).is_file():
            raise InputError("input-missing", "no such file", where=visible(signature_file), hint="check the path")
        listed = _keygen("find-principals", "-f", self._allowed_signers, "-s", signature, message=message)
        names = [name.strip() for line in listed.stdout.splitlines() for name in line.split(",") if name.strip()]
        people = [name for name in names if self._verified(name, message, signature)]
        if not people:
            raise _refused(f"it is not one of a listed key over '{message.decode().strip()}'", signature_file)
        if len(people) > 1 or set("*?!") & set(people[0]):
            raise _refused(
                f"its key is listed for {visible(', '.join(people))}: it does not tell who signed", signature_file
            )
        return people[0]

    def _verified(self, person: str, message: bytes, signature: str) -> bool:
        # "-I=…" is not understood, and a name that begins with a dash would be an option.
        if person.startswith("-") or self._allowed_signers is None:
            return False
        return (
            _keygen(
                "verify", "-f", self._allowed_signers, "-I", person, "-n", NAMESPACE, "-s", signature, message=message
            ).returncode
            == 0
        )


def _refused(why: str, signature_file: str) -> RefusedError:
    return RefusedError(
        "signature-refused",
        f"the signature does not count: {why}",
        where=visible(signature_file),
        hint=f"sign exactly that line: printf '%s\\n' 'LINE' | ssh-keygen -Y sign -f KEY -n {NAMESPACE}; "
        "the key must be in allowed_signers, for one person, and valid today",
    )


def _keygen(*arguments: str, message: bytes) -> subprocess.CompletedProcess[str]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise ScepfixError("no-ssh-keygen", "ssh-keygen is not there", hint="install the OpenSSH client")
    try:
        found = subprocess.run(  # noqa: S603 (a fixed program, the arguments are a list)
            [program, "-Y", *arguments],
            input=message,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ScepfixError(
            "no-ssh-keygen", f"ssh-keygen did not answer ({type(error).__name__})", hint="run it by hand"
        ) from error
    return subprocess.CompletedProcess(found.args, found.returncode, found.stdout.decode("utf-8", "replace"), "")
