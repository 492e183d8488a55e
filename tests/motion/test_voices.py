"""The voices of the chat: how answers are paced, and that each agent has its own."""

import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidadao_rt.motion.agents.personas import PERSONAS
from cidadao_rt.motion.agents.story import tell
from cidadao_rt.motion.agents.voices import Reply, reply
from cidadao_rt.words.agents import AGENTS

MESSAGES = [
    "Oi!",
    "Muito obrigada",
    "Quais são os principais riscos encontrados?",
    "Os preços estão altos?",
    "Quais empresas aparecem mais?",
    "O que você pode fazer?",
    "Como está o andamento?",
    "xyz",
]
SUBJECT: dict[str, Any] = {
    "status": "processing",
    "progress": 45,
    "findings": [finding for step in tell(3, "merenda", {}, list(AGENTS)) for finding in step.data.get("findings", [])],
}
PRICE = {"pattern": "price_anomaly", "confidence": 0.87, "severity": "high", "description": "O preço dobrou em um ano."}
VENDOR = {
    "pattern": "phantom_vendor",
    "confidence": 0.91,
    "severity": "high",
    "description": "A sede é um terreno baldio.",
}
OPEN = {"status": "processing", "progress": 45, "findings": [PRICE, VENDOR]}

seeds = st.integers(0, 2**64)
agents = st.sampled_from(sorted(AGENTS))
messages = st.sampled_from(MESSAGES) | st.text(min_size=1, max_size=300)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
findings = st.fixed_dictionaries(
    {},
    optional={
        "pattern": st.sampled_from(["price_anomaly", "bid_rigging", "outro"]) | anything,
        "confidence": st.floats(0, 1) | anything,
        "severity": st.sampled_from(["high", "medium", "low"]) | anything,
        "description": st.text(max_size=2000) | anything,
    },
)
subjects = (
    st.none()
    | st.just(SUBJECT)
    | st.fixed_dictionaries(
        {},
        optional={
            "status": st.sampled_from(["started", "processing", "completed", "failed", "cancelled"]) | anything,
            "progress": st.integers(0, 100) | anything,
            "findings": st.lists(findings | anything, max_size=60) | anything,
        },
    )
)


def check_pace(answer: Reply) -> None:
    assert "".join(chunk.content for chunk in answer.chunks) == answer.message
    assert 8 <= len(answer.chunks) <= 60
    assert all(1 <= len(chunk.content.split()) <= 4 for chunk in answer.chunks)
    assert all(chunk.after > 0 for chunk in answer.chunks)
    assert 1 <= sum(chunk.after for chunk in answer.chunks) <= 3
    # The spaces stand inside or after the pieces, one at a time.
    assert answer.message == " ".join(answer.message.split())


@given(seeds, agents, messages, subjects)
def test_an_answer_comes_in_pieces_that_are_the_whole_of_it(
    seed: int, agent: str, message: str, subject: dict[str, Any] | None
) -> None:
    check_pace(reply(seed, agent, message, subject))


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("message", MESSAGES)
def test_every_combination_of_phrases_can_be_paced(agent: str, message: str) -> None:
    """The shortest and the longest an agent can say, which seeds may be long in finding elsewhere."""
    talkative = {**SUBJECT, "findings": [{**PRICE, "description": "palavra " * 500}, VENDOR, *SUBJECT["findings"]]}
    for seed in range(12):
        for subject in (None, {}, OPEN, talkative):
            check_pace(reply(seed, agent, message, subject))


@given(seeds, agents, messages, subjects)
def test_two_or_three_short_actions_are_suggested(
    seed: int, agent: str, message: str, subject: dict[str, Any] | None
) -> None:
    actions = reply(seed, agent, message, subject).suggested_actions
    assert 2 <= len(set(actions)) == len(actions) <= 3
    assert all(0 < len(action) <= 40 for action in actions)


@given(seeds, agents, messages, subjects)
def test_the_same_arguments_give_the_same_answer(
    seed: int, agent: str, message: str, subject: dict[str, Any] | None
) -> None:
    assert reply(seed, agent, message, subject) == reply(seed, agent, message, subject)


def test_the_same_answer_is_given_in_any_process() -> None:
    script = (
        "import sys; from cidadao_rt.motion.agents.voices import reply;"
        f"answer = reply(9, 'Lina', 'Quais são os riscos?', {OPEN!r});"
        "sys.stdout.buffer.write(repr(answer).encode())"
    )
    given_ = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            check=True,
            capture_output=True,
        ).stdout
        for hashing in ("0", "1", "4242")
    }
    assert given_ == {repr(reply(9, "bo_bardi", "Quais são os riscos?", OPEN)).encode()}


def test_another_seed_or_question_gets_another_answer() -> None:
    said = {reply(seed, "drummond", question, None).message for seed in range(20) for question in ("?", "preço")}
    assert len(said) > 10


@given(seeds, agents, st.text("qwxyzQWXYZ", min_size=8, max_size=40), st.sampled_from(MESSAGES), subjects)
def test_what_was_asked_is_not_repeated(
    seed: int, agent: str, secret: str, message: str, subject: dict[str, Any] | None
) -> None:
    if secret not in repr(subject):
        answer = reply(seed, agent, f"{message} {secret}", subject)
        assert secret not in answer.message
        assert not any(secret in action for action in answer.suggested_actions)


def test_every_agent_has_phrases_of_its_own() -> None:
    assert set(PERSONAS) == set(AGENTS)
    phrases: list[str] = []
    for persona in PERSONAS.values():
        for own in (persona.greetings, persona.thanks, persona.openings, persona.craft, persona.closings):
            assert len(own) >= 2
            assert all(phrase[0].isupper() and phrase.endswith((".", "!", "?")) for phrase in own)
            phrases += own
        assert len(persona.actions) >= 2
        phrases += persona.actions
    assert len(set(phrases)) == len(phrases)


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("Olá, tudo bem?", "greetings"),
        ("bom dia", "greetings"),
        ("Obrigada!", "thanks"),
        ("VALEU", "thanks"),
        ("Quais são os riscos?", "openings"),
        ("o que você pode fazer?", "openings"),
        ("Oi, e os preços?", "openings"),
    ],
)
def test_an_answer_is_in_the_agents_voice(agent: str, message: str, field: str) -> None:
    persona = PERSONAS[agent]
    for seed in range(4):
        for subject in (None, OPEN):
            answer = reply(seed, agent, message, subject).message
            assert any(answer.startswith(phrase) for phrase in getattr(persona, field))
            assert any(answer.endswith(phrase) for phrase in persona.closings)


def test_a_general_answer_fits_the_question() -> None:
    assert "reço" in reply(1, "zumbi", "Isso não está caro?", None).message
    assert (
        "empresa" in reply(2, "zumbi", "E os fornecedores?", None).message
        or "fornecedor" in reply(2, "zumbi", "E os fornecedores?", None).message
    )
    assert "risco" in reply(1, "drummond", "Há fraude?", None).message.lower()
    for agent, persona in PERSONAS.items():
        assert all(phrase in reply(1, agent, "Quem é você?", None).message for phrase in persona.craft)


@pytest.mark.parametrize("agent", AGENTS)
def test_the_state_of_the_investigation_is_told(agent: str) -> None:
    risks = reply(1, agent, "Quais são os principais riscos encontrados?", OPEN).message
    assert "45%, com 2 achados, 2 de gravidade alta" in risks
    assert "A sede é um terreno baldio." in risks
    assert "91% de confiança" in risks
    prices = reply(1, agent, "E os preços?", OPEN).message
    assert "O preço dobrou em um ano." in prices
    assert "terreno baldio" not in prices
    assert "A investigação está em 45%" in reply(1, agent, "Como anda?", OPEN).message


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"status": "completed", "progress": 100, "findings": []}, "está concluída, e nenhum achado"),
        ({"status": "failed", "progress": 10}, "terminou com falha"),
        ({"status": "cancelled", "progress": 10}, "foi cancelada"),
        ({"status": "started", "progress": 0}, "acaba de começar"),
        ({"status": "processing", "progress": 30, "findings": [VENDOR]}, "30%, com 1 achado, 1 de gravidade alta"),
        ({"status": "processing", "progress": 1000}, "está em 0%"),
        ({"status": "processing", "progress": 30, "findings": [{"pattern": "x"}]}, "nenhum de gravidade alta"),
    ],
)
def test_each_state_has_its_words(state: dict[str, Any], told: str) -> None:
    assert told in reply(1, "abaporu", "Como está a situação?", state).message


def test_a_question_that_no_finding_bears_on_gets_the_strongest_one() -> None:
    answer = reply(1, "zumbi", "preço?", {**OPEN, "findings": [VENDOR]}).message
    assert "Nenhum deles trata disso diretamente" in answer
    assert "terreno baldio" in answer


def test_a_report_that_repeats_findings_does_not_count_them_twice() -> None:
    report = {**PRICE, "description": "Preço fora do padrão, segundo Zumbi dos Palmares."}
    answer = reply(1, "zumbi", "riscos?", {**OPEN, "findings": [PRICE, report]}).message
    assert "com 1 achado," in answer
    assert "O preço dobrou" in answer


def test_other_publishers_identifiers_are_not_told() -> None:
    answer = reply(1, "zumbi", "riscos?", {**OPEN, "findings": [{"pattern": "weird_thing", "confidence": 0.9}]}).message
    assert "weird_thing" not in answer
    assert "um indício de outro tipo, com 90% de confiança." in answer


def test_aliases_speak_and_unknown_names_are_refused() -> None:
    assert reply(1, " Lina", "oi", None) == reply(1, "bo_bardi", "oi", None)
    with pytest.raises(ValueError, match="no such agent"):
        reply(1, "ninguém", "oi", None)
