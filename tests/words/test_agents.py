"""The table of agents, and how a name finds its agent."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidadao_rt.words.agents import AGENTS, DEFAULT_TEAM, DEFAULT_VOICE, find

# The ids and aliases of AGENTS.md, in the table's order.
TABLE = {
    "abaporu": (),
    "zumbi": (),
    "anita": (),
    "tiradentes": (),
    "drummond": (),
    "machado": (),
    "bonifacio": (),
    "maria_quiteria": ("quiteria",),
    "oxossi": (),
    "oscar_niemeyer": ("niemeyer", "oscar"),
    "dandara": (),
    "lampiao": (),
    "nana": (),
    "ceuci": (),
    "obaluaie": (),
    "senna": ("ayrton_senna",),
    "santos_dumont": (),
    "bo_bardi": ("bobardi", "lina"),
    "monteiro_lobato": ("lobato",),
    "tarsila": (),
}
NAMES = {name: id_ for id_, aliases in TABLE.items() for name in (id_, *aliases)}


def test_the_table_is_complete_and_in_order() -> None:
    assert {id_: agent.aliases for id_, agent in AGENTS.items()} == TABLE
    assert list(AGENTS) == list(TABLE)
    assert all(agent.id == id_ and agent.name and agent.role for id_, agent in AGENTS.items())


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        AGENTS["outro"] = AGENTS["zumbi"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        AGENTS["zumbi"].name = "Outro"  # type: ignore[misc]


def test_defaults_are_agents() -> None:
    assert DEFAULT_TEAM == ("zumbi", "anita", "tiradentes")
    assert DEFAULT_VOICE == "drummond"
    assert {*DEFAULT_TEAM, DEFAULT_VOICE} <= set(AGENTS)


def test_no_two_agents_answer_to_one_name() -> None:
    names = [name.replace("_", "") for id_, aliases in TABLE.items() for name in {id_, *aliases}]
    own = {(find(name), name) for name in names}
    assert None not in {agent for agent, _ in own}
    # "bobardi" is both bo_bardi's id without its underscore and its alias: the same agent twice, and no other.
    assert len(own) == len(set(names))


@given(
    st.sampled_from(sorted(NAMES)),
    st.lists(st.sampled_from(["", "-", "_"]), min_size=20, max_size=20),
    st.lists(st.booleans(), min_size=20, max_size=20),
    st.sampled_from(["", " ", "  ", "\t", "\n "]),
    st.sampled_from(["", " ", "\r\n"]),
)
def test_case_hyphens_underscores_and_outer_spaces_do_not_matter(
    name: str, marks: list[str], upper: list[bool], before: str, after: str
) -> None:
    letters = [letter.upper() if high else letter for letter, high in zip(name.replace("_", ""), upper, strict=False)]
    written = "".join(letter + mark for letter, mark in zip(letters, marks, strict=False))
    found = find(before + written + after)
    assert found is not None
    assert found.id == NAMES[name]


@pytest.mark.parametrize(
    "name",
    ["", " ", "-", "___", "zumb", "zumbi2", "zum bi", "all", "oxóssi", "ſenna", "\u212aeuci", "z\u0000umbi", "\ud800"],
)
def test_other_names_find_nobody(name: str) -> None:
    assert find(name) is None


@given(st.text())
def test_any_string_may_be_asked(name: str) -> None:
    found = find(name)
    assert found is None or name.strip().lower().replace("-", "").replace("_", "") in {
        known.replace("_", "") for known in NAMES
    }


def test_a_long_name_costs_no_more_than_a_short_one() -> None:
    huge = "-" * 50_000_000 + "zumbi"
    began = time.perf_counter()
    for _ in range(1000):
        assert find(huge) is None
    assert time.perf_counter() - began < 0.5
