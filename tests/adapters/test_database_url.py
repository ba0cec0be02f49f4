"""Which database is used: that of the option, else that of the environment, else the one in the state folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from scepfix.adapters.database_url import database_file
from scepfix.domain.errors import UsageError


@pytest.fixture(autouse=True)
def no_database_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("SCEPFIX_DATABASE", raising=False)


def test_the_option_counts_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCEPFIX_DATABASE", "sqlite:////srv/there.sqlite")

    assert database_file(None) == Path("/srv/there.sqlite")
    assert database_file("sqlite:///here%20now.sqlite") == Path("here now.sqlite")


@pytest.mark.parametrize("value", [None, ""])
def test_without_either_it_is_in_the_state_folder(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("SCEPFIX_DATABASE", value)

    assert database_file(None) == tmp_path / "scepfix" / "scepfix.sqlite"


@pytest.mark.parametrize("url", ["postgresql://me:geheim@host/db", "sqlite://host/x", "sqlite:///", "x", ""])
def test_another_database_is_refused_where_it_was_named_and_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as caught:
        database_file(url)
    assert (caught.value.code, caught.value.where) == ("database-url", "--database")
    assert "geheim" not in str(caught.value)
    if url:
        monkeypatch.setenv("SCEPFIX_DATABASE", url)
        with pytest.raises(UsageError) as caught:
            database_file(None)
        assert caught.value.where == "SCEPFIX_DATABASE"
