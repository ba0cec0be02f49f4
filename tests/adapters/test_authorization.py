"""An access token is asked for as rarely as it lasts, and never used after its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepfix.adapters.authorization import ExpiringToken
from scepfix.adapters.mdm import MdmError
from scepfix.adapters.web_service import WebService
from scepfix.parsers.service_settings import ServiceSettings

SERVICE = WebService(ServiceSettings("fleet", {"url": "http://127.0.0.1:1"}), "mdm", MdmError)


class Desk:
    """Gives numbered tokens that last so long; ``now`` is its clock."""

    def __init__(self, lasts: float, spare: float = 60.0) -> None:
        self.given, self.lasts, self.now = 0, lasts, 0.0
        self.broken = False
        self.token = ExpiringToken(self.ask, lambda: self.now, spare)

    def ask(self, service: WebService) -> tuple[str, float]:
        if self.broken:
            raise MdmError("mdm-credentials", "no")
        self.given += 1
        return f"token-{self.given}", self.lasts


def test_a_token_that_lasts_a_minute_is_used_for_most_of_it() -> None:
    desk = Desk(lasts=60)
    said = []
    for second in (0, 10, 44, 46, 59):
        desk.now = second
        said.append(desk.token.get(SERVICE))

    assert said == ["token-1", "token-1", "token-1", "token-2", "token-2"]


@given(st.floats(1, 1e6), st.floats(0, 1e4), st.lists(st.floats(0, 1e5), max_size=20))
def test_no_token_is_used_after_its_end_nor_asked_for_while_one_counts(
    lasts: float, spare: float, pauses: list[float]
) -> None:
    desk = Desk(lasts, spare)
    asked_at = 0.0
    for pause in pauses:
        desk.now += pause
        before = desk.given
        desk.token.get(SERVICE)
        if desk.given > before:
            assert before == 0 or desk.now - asked_at >= min(lasts - spare, lasts * 3 / 4)
            asked_at = desk.now
        else:
            assert desk.now - asked_at < lasts


def test_a_refused_token_is_asked_for_anew_and_forgotten_where_none_is_given() -> None:
    desk = Desk(lasts=3600)
    assert desk.token.headers(SERVICE, fresh=False) == {"Authorization": "Bearer token-1"}
    assert desk.token.headers(SERVICE, fresh=True) == {"Authorization": "Bearer token-2"}

    desk.broken = True
    with pytest.raises(MdmError):
        desk.token.headers(SERVICE, fresh=True)
    assert not desk.token.good
