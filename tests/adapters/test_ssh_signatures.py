"""Who signed a digest, asked of the real ssh-keygen."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scepfix.adapters.ssh_signatures import NAMESPACE, SshSignatures
from scepfix.domain.errors import InputError, RefusedError, ScepfixError, UsageError

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs the OpenSSH client's ssh-keygen")
MESSAGE = b"sha256:0123\n"


class Key:
    """A key in a folder of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._file, "-C", name], check=True)
        self.public = " ".join(self._file.with_suffix(".pub").read_text().split()[:2])

    def sign(self, message: bytes = MESSAGE, namespace: str = NAMESPACE) -> str:
        done = subprocess.run(
            ["ssh-keygen", "-Y", "sign", "-f", self._file, "-n", namespace],
            input=message,
            capture_output=True,
            check=True,
        )
        file = self._file.with_suffix(".sig")
        file.write_bytes(done.stdout)
        return str(file)


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key(tmp_path, "carol")


def signers(tmp_path: Path, *lines: str) -> SshSignatures:
    file = tmp_path / "allowed_signers"
    file.write_text("".join(f"{line}\n" for line in lines))
    return SshSignatures(str(file))


def test_the_person_of_a_listed_key_signed(tmp_path: Path, key: Key) -> None:
    found = signers(tmp_path, f"dave {Key(tmp_path, 'dave').public}", f'carol@x namespaces="{NAMESPACE}" {key.public}')

    assert found.signer(MESSAGE, key.sign()) == "carol@x"


@pytest.mark.parametrize(
    "line",
    [
        "dave {other}",
        'carol namespaces="git" {key}',
        'carol valid-before="20200101" {key}',
        "carol,dave {key}",
        "*@example.com {key}",
        "-carol {key}",
        "# carol {key}",
        "",
    ],
)
def test_a_key_that_is_not_listed_for_one_person_is_refused(tmp_path: Path, key: Key, line: str) -> None:
    found = signers(tmp_path, line.format(key=key.public, other=Key(tmp_path, "other").public))

    with pytest.raises(RefusedError) as caught:
        found.signer(MESSAGE, key.sign())

    assert (caught.value.code, caught.value.exit) == ("signature-refused", 4)


def test_another_digest_is_refused(tmp_path: Path, key: Key) -> None:
    with pytest.raises(RefusedError):
        signers(tmp_path, f"carol {key.public}").signer(MESSAGE, key.sign(b"sha256:9999\n"))


def test_another_namespace_is_refused(tmp_path: Path, key: Key) -> None:
    with pytest.raises(RefusedError):
        signers(tmp_path, f"carol {key.public}").signer(MESSAGE, key.sign(namespace="file"))


def test_garbage_is_refused(tmp_path: Path, key: Key) -> None:
    (tmp_path / "junk").write_text("{{ 7*7 }} $(id)")

    with pytest.raises(RefusedError):
        signers(tmp_path, f"carol {key.public}").signer(MESSAGE, str(tmp_path / "junk"))


def test_a_missing_signature_is_named(tmp_path: Path, key: Key) -> None:
    with pytest.raises(InputError) as caught:
        signers(tmp_path, f"carol {key.public}").signer(MESSAGE, str(tmp_path / "absent.sig"))

    assert caught.value.code == "input-missing"


def test_without_allowed_signers_no_signature_counts(key: Key) -> None:
    with pytest.raises(UsageError) as caught:
        SshSignatures(None).signer(MESSAGE, key.sign())

    assert caught.value.code == "no-signers"


def test_a_machine_without_ssh_keygen_says_so(tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = key.sign()
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ScepfixError) as caught:
        signers(tmp_path, f"carol {key.public}").signer(MESSAGE, signature)

    assert caught.value.code == "no-ssh-keygen"
