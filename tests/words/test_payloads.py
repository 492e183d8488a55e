"""What may be published, and what it must have."""

from typing import Any

import pytest

from cidadao_rt.words import messages, payloads
from cidadao_rt.words.errors import Refusal


@pytest.mark.parametrize(
    "type_", ["investigation_update", "progress_update", "agent_analysis", "notification", "a", "x_9"]
)
def test_events_and_custom_types_may_be_published(type_: str) -> None:
    payloads.check_type(type_, of_investigation=True)


@pytest.mark.parametrize(
    "type_", ["", "Upper", "9x", "a" * 65, "a-b", "pong", "error", "ping", "ack", "metrics_update"]
)
def test_types_that_are_ours_or_malformed_may_not(type_: str) -> None:
    with pytest.raises(Refusal) as refused:
        payloads.check_type(type_, of_investigation=True)
    assert refused.value.details["field"] == "type"


def test_the_state_of_an_investigation_is_published_to_one() -> None:
    payloads.check_type("notification", of_investigation=False)
    with pytest.raises(Refusal) as refused:
        payloads.check_type("investigation_update", of_investigation=False)
    assert refused.value.details["field"] == "to"


@pytest.mark.parametrize(
    ("type_", "data", "field"),
    [
        ("investigation_update", {"status": "started"}, "progress"),
        ("investigation_update", {"status": "late", "progress": 1}, "status"),
        ("investigation_update", {"status": "started", "progress": 101}, "progress"),
        ("progress_update", {"overall_progress": 5, "stages": {"data_collection": 5}}, "stages.anomaly_detection"),
        ("agent_analysis", {"agent": "a", "analysis_type": "t", "findings": [{"pattern": "p"}], "status": "s"},
         "findings[0].confidence"),
        ("notification", {"level": "loud", "title": "t", "message": "m"}, "level"),
    ],
)  # fmt: skip
def test_what_a_known_type_lacks_or_has_wrong_is_named(type_: str, data: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal) as refused:
        messages.convert(data, payloads.PAYLOADS[type_])
    assert refused.value.details["field"].replace("[...]", "[0]") == field
