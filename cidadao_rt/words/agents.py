"""The agents of Cidadão.AI: ids, aliases, personas and roles.

Source: AGENTS.md, the table "The agents of Cidadão.AI"; PROTOCOL 3 for how a name finds its agent and for the defaults.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec


class Agent(msgspec.Struct, frozen=True):
    """One agent. `id` is canonical (what events carry), `name` the persona, `role` its pt-BR role."""

    id: str
    name: str
    role: str
    aliases: tuple[str, ...] = ()


_TABLE = (
    Agent("abaporu", "Abaporu", "orquestrador"),
    Agent("zumbi", "Zumbi dos Palmares", "investigador de anomalias"),
    Agent("anita", "Anita Garibaldi", "analista de padrões"),
    Agent("tiradentes", "Tiradentes", "relator"),
    Agent("drummond", "Carlos Drummond de Andrade", "comunicador"),
    Agent("machado", "Machado de Assis", "analista textual"),
    Agent("bonifacio", "José Bonifácio", "legal e políticas públicas"),
    Agent("maria_quiteria", "Maria Quitéria", "segurança", ("quiteria",)),
    Agent("oxossi", "Oxóssi", "caçador de dados e fraudes"),
    Agent("oscar_niemeyer", "Oscar Niemeyer", "visualização", ("niemeyer", "oscar")),
    Agent("dandara", "Dandara", "equidade social"),
    Agent("lampiao", "Lampião", "análise regional"),
    Agent("nana", "Nanã", "memória"),
    Agent("ceuci", "Ceuci", "previsão"),
    Agent("obaluaie", "Obaluaiê", "detector de corrupção"),
    Agent("senna", "Ayrton Senna", "roteador semântico", ("ayrton_senna",)),
    Agent("santos_dumont", "Santos-Dumont", "educador"),
    Agent("bo_bardi", "Lina Bo Bardi", "front-end", ("bobardi", "lina")),
    Agent("monteiro_lobato", "Monteiro Lobato", "educador infantil", ("lobato",)),
    Agent("tarsila", "Tarsila do Amaral", "educadora artística"),
)

AGENTS: Mapping[str, Agent] = MappingProxyType({agent.id: agent for agent in _TABLE})
"""Every agent by its id, in the table's order."""

DEFAULT_TEAM = ("zumbi", "anita", "tiradentes")
"""Who investigates where a request names no agents."""

DEFAULT_VOICE = "drummond"
"""Who answers in `/ws/chat` where no agent is named."""

# Longer than any id however it is hyphenated and spaced; past it a name is not even looked at.
_LONGEST_NAME = 64


def _key(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


_BY_KEY = {_key(name): agent for agent in _TABLE for name in (agent.id, *agent.aliases)}


def find(name: str) -> Agent | None:
    """The agent that an id or an alias names, or None.

    Case, `-`, `_` and surrounding spaces do not matter. Any string may be asked, at a cost that does not grow with it.
    """
    if len(name) > _LONGEST_NAME:
        return None
    return _BY_KEY.get(_key(name.strip()))
