"""The hash of the Ansible content that a plan would run: playbooks, roles and plugins, by name and bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import scepfix
from scepfix.domain.errors import ScepfixError

_PARTS = ("playbooks", "roles", "plugins")
#: What Python, editors and Ansible leave behind: it is not run.
_IGNORED_FOLDERS = frozenset({"__pycache__", ".ansible", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
_IGNORED_ENDINGS = (".pyc", ".pyo", ".swp", "~")


def collection_folder() -> Path:
    """Return the folder of the collection that Ansible will use.

    An installed wheel has it beside the package (``ansible_collections/scepfix/device_access``); in a clone it is the
    root of the repository. Raise ScepfixError (``collection-missing``) where there is neither.
    """
    package = Path(scepfix.__file__).parent
    for folder in (package.parent / "ansible_collections/scepfix/device_access", package.parents[1]):
        if (folder / "galaxy.yml").is_file() and (folder / "playbooks").is_dir():
            return folder
    raise ScepfixError(
        "collection-missing",
        "the Ansible collection scepfix.device_access is not beside the package",
        where=str(package.parent),
        hint="install scepfix again; from a clone: make",
    )


def content_sha256(folder: Path | None = None) -> str:
    """Given the folder of the collection (default: the one Ansible will use), return lower-case hex.

    It covers each file's path and bytes; no times, no modes, no caches. Links are followed as Ansible follows them.
    """
    folder = folder or collection_folder()
    whole = hashlib.sha256()
    for path in sorted(_files(folder), key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
        # Hashes of fixed length, so no name can pass for the content of another file.
        whole.update(hashlib.sha256(name).digest() + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _files(folder: Path) -> list[Path]:
    return [
        path
        for part in _PARTS
        for path in (folder / part).rglob("*")
        if path.is_file()
        and not _IGNORED_FOLDERS.intersection(path.relative_to(folder).parts)
        and not path.name.endswith(_IGNORED_ENDINGS)
    ]
