"""What pip and ansible-galaxy make of this repository, with and without git around it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import scepfix

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
COLLECTION = "ansible_collections/scepfix/device_access/"


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    needed = (ROOT / "meta/ee-requirements.txt").read_text(encoding="utf-8")

    assert project["version"] == galaxy["version"] == scepfix.__version__
    assert f"\n## {project['version']}" in changelog
    assert needed == f"scepfix>={project['version']}\n"


def test_the_collection_and_the_package_want_the_same_ansible() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = next(line for line in project["dependencies"] if line.startswith("ansible-core"))
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))

    assert runtime["requires_ansible"].replace(".0,", ",").removesuffix(".0") == wanted.removeprefix("ansible-core")


def test_the_lock_has_hashes_and_both_ansibles_and_no_index() -> None:
    lock = (ROOT / "requirements/dev.txt").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", lock)[1:]

    assert len(entries) > 20
    assert all("--hash=sha256:" in entry for entry in entries)
    assert re.search(r"ansible-core==2\.19\.\S+ ; python_full_version < '3\.12'", lock)
    assert re.search(r"ansible-core==2\.21\.\S+ ; python_full_version >= '3\.12'", lock)
    assert "://" not in lock


def test_the_licences_are_the_full_texts() -> None:
    apache = (ROOT / "LICENSE").read_text(encoding="utf-8")
    gpl = (ROOT / "plugins/LICENSE").read_text(encoding="utf-8")

    assert "Apache License" in apache
    assert "END OF TERMS AND CONDITIONS" in apache
    assert "GNU GENERAL PUBLIC LICENSE" in gpl
    assert "END OF TERMS AND CONDITIONS" in gpl


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository's files without .git, as an archive of it would unpack."""
    copy = tmp_path_factory.mktemp("archive") / "scepfix-archive"
    for name in files_of_the_repository():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    return copy


def files_of_the_repository() -> list[str]:
    if (ROOT / ".git").exists():
        listing = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
        return [name for name in listing.split("\0") if name and (ROOT / name).is_file()]
    own = (ROOT / name for name in os.listdir(ROOT) if name in (".ci", ".ansible-lint", ".gitignore") or name[0] != ".")
    files = [file for entry in own for file in ([entry] if entry.is_file() else entry.rglob("*"))]
    return [str(file.relative_to(ROOT)) for file in files if file.is_file() and "__pycache__" not in file.parts]


@pytest.mark.slow
def test_a_wheel_holds_the_collection_and_an_editable_one_does_not(tree: Path, tmp_path: Path) -> None:
    build = "import sys; from hatchling import build; getattr(build, sys.argv[1])(sys.argv[2])"
    run(sys.executable, "-c", build, "build_wheel", str(tmp_path / "wheel"), cwd=tree)
    run(sys.executable, "-c", build, "build_editable", str(tmp_path / "editable"), cwd=tree)

    wheel, editable = (names_in(tmp_path / kind) for kind in ("wheel", "editable"))

    assert "scepfix/cli/main.py" in wheel
    assert f"{COLLECTION}galaxy.yml" in wheel
    assert f"{COLLECTION}plugins/modules/certificate_info.py" in wheel
    assert {name.split("/")[3] for name in wheel if name.startswith(COLLECTION)} == {
        "galaxy.yml",
        "meta",
        "playbooks",
        "plugins",
        "roles",
    }
    assert {name.split("/")[0].partition("-")[0] for name in wheel} == {"scepfix", "ansible_collections"}
    assert not [name for name in editable if name.startswith("ansible_collections")]


@pytest.mark.slow
def test_a_source_distribution_builds_the_same_wheel(tree: Path, tmp_path: Path) -> None:
    build = "import sys; from hatchling import build; getattr(build, sys.argv[1])(sys.argv[2])"
    run(sys.executable, "-c", build, "build_sdist", str(tmp_path), cwd=tree)
    run(sys.executable, "-c", build, "build_wheel", str(tmp_path / "direct"), cwd=tree)
    sdist = next(tmp_path.glob("*.tar.gz"))
    run("tar", "-xzf", str(sdist), cwd=tmp_path)
    unpacked = tmp_path / sdist.name.removesuffix(".tar.gz")
    run(sys.executable, "-c", build, "build_wheel", str(tmp_path / "again"), cwd=unpacked)

    assert names_in(tmp_path / "again") == names_in(tmp_path / "direct")


@pytest.mark.slow
def test_an_archive_without_git_installs_with_pip_alone(tree: Path, tmp_path: Path) -> None:
    archive = tmp_path / "scepfix.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tree, arcname="scepfix-archive")
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", str(venv), cwd=tmp_path)
    # The lock constrains what is not hashed here: the same versions as in development, so the test means one thing.
    pins = re.sub(r" \\\n.*", "", (ROOT / "requirements/dev.txt").read_text(encoding="utf-8"))
    (tmp_path / "pins.txt").write_text(pins, encoding="utf-8")

    pip = (str(venv / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--constraint", "pins.txt", str(archive), cwd=tmp_path)

    assert run(str(venv / "bin/scepfix"), "--version", cwd=tmp_path).strip() == f"scepfix {scepfix.__version__}"
    listing = run(str(venv / "bin/ansible-doc"), "-t", "module", "-l", "scepfix.device_access", cwd=tmp_path)
    assert "scepfix.device_access.certificate_info" in listing
    answer = run(
        str(venv / "bin/ansible-playbook"),
        "-i",
        str(tree / "inventories/demo"),
        "scepfix.device_access.inspect_certificate_file",
        cwd=tmp_path,
    )
    assert "usable: serial number" in answer
    # The stages run by FQCN, and bring their scripts along.
    stage = run(
        str(venv / "bin/ansible-playbook"), "--syntax-check", "scepfix.device_access.stages.observe", cwd=tmp_path
    )
    assert "device_access/playbooks/stages/observe.yml" in stage
    assert list(venv.glob("lib/*/site-packages/ansible_collections/**/observe_macos.sh"))


@pytest.mark.slow
def test_a_copy_installed_through_the_development_link_costs_no_source(tree: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(tree, checkout)
    venv = checkout / ".venv"
    link = venv / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/{COLLECTION}"
    run(".ci/venv.sh", sys.executable, str(venv), cwd=checkout)
    assert link.samefile(checkout)

    # pip writes its copy through the link; bringing the environment up to date uninstalls it again.
    pip = (str(venv / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--no-deps", "--no-build-isolation", ".", cwd=checkout)
    run(".ci/venv.sh", sys.executable, str(venv), cwd=checkout)

    assert link.samefile(checkout)
    for name in ("galaxy.yml", "plugins/modules/certificate_info.py", "roles/device_certificate/tasks/main.yml"):
        assert (checkout / name).read_bytes() == (tree / name).read_bytes()


@pytest.mark.slow
def test_the_collection_tarball_leaves_the_rest_behind(tree: Path, tmp_path: Path) -> None:
    run(str(BIN / "ansible-galaxy"), "collection", "build", "--output-path", str(tmp_path), cwd=tree)

    with tarfile.open(next(tmp_path.glob("scepfix-device_access-*.tar.gz"))) as tarball:
        top = {name.split("/")[0] for name in tarball.getnames()}

    assert top == {
        "CHANGELOG.md",
        "FILES.json",
        "LICENSE",
        "MANIFEST.json",
        "README.md",
        "meta",
        "playbooks",
        "plugins",
        "roles",
    }


def names_in(folder: Path) -> set[str]:
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


def run(*command: str, cwd: Path) -> str:
    """Given a command, return its output; fail with everything it said unless it ends well."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "ANSIBLE_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    env |= {"ANSIBLE_HOME": str(cwd / ".ansible"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
