"""Checks one profile file: reads it, finds out its format and judges its SCEP settings."""

from __future__ import annotations

from dataclasses import dataclass

from scepfix.domain.scep_profile import ProfileDocument, ProfileJudgement
from scepfix.parsers.profile_file import read_profile_file
from scepfix.rules.scep_profile import judge_profile
from scepfix.service.ports import SmallFiles


@dataclass(frozen=True, slots=True)
class CheckedProfile:
    """Where it came from, what was read and what was found."""

    source: str
    document: ProfileDocument
    judgement: ProfileJudgement


def check_profile(files: SmallFiles, path: str) -> CheckedProfile:
    """Given a reader and a path or ``-``, return the judgement. Raise InputError where no profile can be read."""
    source = "stdin" if path == "-" else path
    document = read_profile_file(files.read(path), source)
    return CheckedProfile(source, document, judge_profile(document))
