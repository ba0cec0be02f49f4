"""Reads and writes the files of a run folder (docs/run-folder.md): whole or not at all, on disk before anybody acts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scepfix.domain.errors import InputError, ScepfixError
from scepfix.domain.inert import visible
from scepfix.domain.mdm_answer import CollectedAnswer, MdmAnswer
from scepfix.domain.remediation import Stage, StageAnswer, StageResult
from scepfix.domain.run import Effect, Run

#: Host names that Ansible is given (domain.device.host_of), and by hand those of the inventory: each is a file's name.
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,200}")
_EFFECT = re.compile(r"(\d{1,9})\.json")
_LARGEST_BYTES = 256 * 1024 * 1024


class RunFolder:
    """One run folder. Nothing in it is trusted further than its format: whoever can write it is the user himself."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    # --- run.json -----------------------------------------------------------------------------------------------

    def run(self) -> Run:
        """Return what ``run.json`` says. Raise InputError where it is missing or is no such file."""
        found = self._read("run.json")
        try:
            return Run.from_document(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._wrong("run.json", error) from error

    def write_run(self, run: Run) -> None:
        self._write("run.json", run.as_document())

    # --- mdm.json -----------------------------------------------------------------------------------------------

    def mdm(self) -> MdmAnswer:
        """Return what ``mdm.json`` says. Raise InputError where it is missing or is no such file."""
        found = self._read("mdm.json")
        try:
            return MdmAnswer.from_document(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._wrong("mdm.json", error) from error

    def write_mdm(self, answer: MdmAnswer) -> None:
        self._write("mdm.json", answer.as_document())

    # --- collected.json -----------------------------------------------------------------------------------------

    def collected(self) -> CollectedAnswer:
        """Return what ``collected.json`` says. Raise InputError where it is missing or is no such file."""
        found = self._read("collected.json")
        try:
            return CollectedAnswer.from_document(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._wrong("collected.json", error) from error

    def write_collected(self, answer: CollectedAnswer) -> None:
        self._write("collected.json", answer.as_document())

    # --- effects ------------------------------------------------------------------------------------------------

    def begin_effect(self, verb: str, targets: Sequence[str], intent: str) -> int:
        """Write down that a call is about to be made, to disk; return its number.

        A number is taken with O_EXCL: device plays run in processes side by side.
        """
        folder = self._folder("effects")
        what = "\0".join((intent, verb, *sorted(targets)))
        effect = Effect(0, verb, tuple(targets), hashlib.sha256(what.encode()).hexdigest(), datetime.now(UTC))
        number = max((one for one in self._effect_numbers(folder)), default=0) + 1
        while True:
            claim = folder / f".{number}.claim"
            try:
                os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                break
            except FileExistsError:
                number += 1
        self._write(f"effects/{number}.json", effect.as_document())
        return number

    def end_effect(self, number: int, error: str = "") -> None:
        """Write down how the call ended; ``error`` "" where it was done."""
        found = self._read(f"effects/{number}.json")
        self._write(
            f"effects/{number}.done.json",
            {**found, "outcome": "failed" if error else "done", "error": visible(error)},
        )

    def effects(self) -> tuple[Effect, ...]:
        """Return the effects in the order of their numbers. Raise InputError where one cannot be read."""
        folder = self.path / "effects"
        found = []
        for number in sorted(self._effect_numbers(folder)):
            done = f"effects/{number}.done.json"
            try:
                found.append(
                    Effect.from_document(
                        number,
                        self._read(f"effects/{number}.json"),
                        self._read(done) if (self.path / done).exists() else None,
                    )
                )
            except (KeyError, TypeError, ValueError) as error:
                raise self._wrong(f"effects/{number}.json", error) from error
        return tuple(found)

    @staticmethod
    def _effect_numbers(folder: Path) -> list[int]:
        if not folder.is_dir():
            return []
        return [int(found[1]) for name in os.listdir(folder) if (found := _EFFECT.fullmatch(name))]

    # --- results ------------------------------------------------------------------------------------------------

    def write_result(self, host: str, result: StageResult, stage: str | None = None) -> None:
        """Write a host's answer. ``stage`` names it where it is none of domain.remediation.Stage (``observe``)."""
        self._write(
            f"result/{checked_host(host)}.json",
            {
                "schema": "scepfix/result/1",
                "stage": stage or result.stage.value,
                "answer": result.answer.value,
                "waiting_for": result.waiting_for,
                "facts": dict(result.facts),
            },
        )

    def result(self, host: str) -> tuple[str, StageResult] | None:
        """Return the stage's name and the answer, or None where the host has not answered.

        Of ``observe``, which is no stage of a repair, the answer's own stage is ``inspect``. Raise InputError where the
        file is no such file.
        """
        name = f"result/{checked_host(host)}.json"
        if not (self.path / name).exists():
            return None
        found = self._read(name)
        try:
            if found["schema"] != "scepfix/result/1" or not isinstance(found["facts"], dict):
                raise ValueError("another schema")
            stage = str(found["stage"])
            known = Stage(stage) if stage in tuple(Stage) else Stage.INSPECT
            return stage, StageResult(known, StageAnswer(found["answer"]), str(found["waiting_for"]), found["facts"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._wrong(name, error) from error

    # --- files --------------------------------------------------------------------------------------------------

    def _folder(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _read(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            with path.open("rb") as stream:
                data = stream.read(_LARGEST_BYTES + 1)
            if len(data) > _LARGEST_BYTES:
                raise ValueError("far larger than any such file")
            found = json.loads(data)
        except OSError as error:
            reason = visible(error.strerror or str(error))
            raise InputError(
                "run-folder", f"cannot be read: {reason}", where=visible(str(path)), hint="was the folder moved?"
            ) from error
        except (ValueError, RecursionError) as error:
            raise self._wrong(name, error) from error
        if not isinstance(found, dict):
            raise self._wrong(name, TypeError("it is no object"))
        return found

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write to a temporary name, flush, rename, flush the folder: what returned outlives a crash."""
        path = self.path / name
        try:
            if "/" in name:
                self._folder(os.path.dirname(name))
            # Processes and threads side by side: a name of its own for each.
            other = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
            data = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")
            descriptor = os.open(other, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(other, path)
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise ScepfixError(
                "run-folder",
                f"cannot be written: {visible(error.strerror or str(error))}",
                where=visible(str(path)),
                hint="is the disk full, or the folder gone?",
            ) from error

    def _wrong(self, name: str, error: Exception) -> InputError:
        return InputError(
            "run-folder",
            f"not a file of a run: {visible(str(error))}",
            where=visible(str(self.path / name)),
            hint="look at the devices again; do not edit these files",
        )


def checked_host(host: str) -> str:
    """Given a host name, return it where it is fit to be a file's name. Raise InputError."""
    if not _HOST.fullmatch(host):
        raise InputError(
            "host-name", "not a host name that can be a file's name", where=visible(host), hint="rename it"
        )
    return host
