"""The document's four metrics: their exact names, and labels that no client can multiply."""

import pytest
from prometheus_client import generate_latest

from cidadao_rt.motion.metrics import Metrics
from cidadao_rt.words.errors import ErrorCode
from cidadao_rt.words.events import SERVER_TYPES
from cidadao_rt.words.messages import CLIENT_TYPES

MESSAGES = "cidadao_ai_websocket_messages_total"
ACTIVE = "cidadao_ai_websocket_connections_active"
DURATION = "cidadao_ai_websocket_message_duration_seconds"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def types(metrics: Metrics) -> set[str]:
    """Every `type` that has become a label."""
    return {
        sample.labels["type"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == MESSAGES
    }


def test_the_four_names_are_there_before_anything_happens(metrics: Metrics) -> None:
    text = generate_latest(metrics.registry).decode()
    assert f'{ACTIVE}{{transport="websocket"}} 0.0' in text
    assert f"# TYPE {MESSAGES} counter" in text
    assert 'cidadao_ai_websocket_errors_total{code="RATE_LIMIT_EXCEEDED"} 0.0' in text
    assert f'{DURATION}_bucket{{le="+Inf"}} 0.0' in text


def test_a_type_that_is_not_ours_is_other(metrics: Metrics) -> None:
    for n in range(1000):
        metrics.received(f"invented_{n}", "websocket")
        metrics.sent(f"invented_{n}", "websocket", 2)
    metrics.received("", "websocket")
    metrics.sent('"} evil', "sse")
    assert types(metrics) == {"other"}
    assert sample(metrics, MESSAGES, direction="in", type="other", transport="websocket") == 1001
    assert sample(metrics, MESSAGES, direction="out", type="other", transport="websocket") == 2000


def test_known_types_are_named(metrics: Metrics) -> None:
    for type_ in SERVER_TYPES | CLIENT_TYPES:
        metrics.sent(type_, "websocket")
        metrics.received(type_, "websocket")
    assert types(metrics) == SERVER_TYPES | CLIENT_TYPES
    assert sample(metrics, MESSAGES, direction="in", type="ping", transport="websocket") == 1
    assert sample(metrics, MESSAGES, direction="out", type="pong", transport="websocket") == 1


def test_every_error_code_is_a_label_and_no_more(metrics: Metrics) -> None:
    metrics.error(ErrorCode.NOT_FOUND)
    codes = {
        sample.labels["code"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "cidadao_ai_websocket_errors_total"
    }
    assert codes == set(ErrorCode)
    assert sample(metrics, "cidadao_ai_websocket_errors_total", code="NOT_FOUND") == 1


def test_connections_are_counted_by_transport_and_come_back_to_zero(metrics: Metrics) -> None:
    metrics.opened("websocket")
    metrics.opened("websocket")
    metrics.opened("sse")
    metrics.closed("websocket")
    assert sample(metrics, ACTIVE, transport="websocket") == 1
    assert sample(metrics, ACTIVE, transport="sse") == 1
    metrics.closed("websocket")
    metrics.closed("sse")
    assert sample(metrics, ACTIVE, transport="websocket") == 0
    assert sample(metrics, ACTIVE, transport="sse") == 0


def test_durations_fall_into_buckets_and_into_a_mean(metrics: Metrics) -> None:
    for _ in range(200):
        metrics.answered(0.02)
    assert sample(metrics, f"{DURATION}_count") == 200
    assert sample(metrics, f"{DURATION}_bucket", le="0.01") == 0
    assert sample(metrics, f"{DURATION}_bucket", le="0.025") == 200
    assert metrics.response_time == pytest.approx(0.02, rel=0.01)


def test_two_gateways_in_one_process_count_apart(metrics: Metrics) -> None:
    other = Metrics()
    metrics.opened("websocket")
    assert sample(other, ACTIVE, transport="websocket") == 0
