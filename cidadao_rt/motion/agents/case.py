"""What a simulated investigation is about: who bought what from whom, when, for how much; and what a find is."""

import math
import random
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import msgspec

from .inventory import INEXIGIBILIDADE, Supplier, Theme, theme_of
from .portuguese import reais

# Reais. No public contract is worth more, so a `min_value` above it leaves nothing to find.
CEILING = 1e12

_YEAR = re.compile(r"(?<!\d)20[0-3]\d(?!\d)")
# Where neither filters nor query say when. There is no clock to ask, and any past years do.
_DEFAULT_YEARS = (2023, 2024)

# What rules a matter: in Lei 14.133/2021 (in force since 1 April 2021), and before it in Lei 8.666/1993.
_NEW_LAW, _OLD_LAW = date(2021, 4, 1), date(1993, 6, 22)
_ARTICLES = {
    "additions": ("art. 125", "art. 65, § 1º,"),
    "direct": ("art. 72", "art. 26"),
    "splitting": ("art. 75, § 1º,", "art. 23, § 5º,"),
    "research": ("art. 23", "art. 15, § 1º,"),
    "restriction": ("art. 9º", "art. 3º, § 1º,"),
    "conflict": ("art. 14", "art. 9º"),
    "publicity": ("art. 94", "art. 61"),
    "oversight": ("art. 117", "art. 67"),
}


class Contract(msgspec.Struct, frozen=True):
    """An invented contract. `value` is in reais; `number` reads "Contrato nº 045/2024"."""

    number: str
    object: str
    modality: str
    supplier: Supplier
    value: float
    signed: date

    def entry(self) -> dict[str, Any]:
        """The contract as evidence shows it."""
        return {
            "number": self.number,
            "object": self.object,
            "modality": self.modality,
            "supplier": self.supplier.name,
            "cnpj": self.supplier.cnpj,
            "value": self.value,
            "date": self.signed.isoformat(),
        }

    def told(self) -> str:
        """The contract as a sentence mentions it."""
        return f"{self.number}, de {self.object}, no valor de {reais(self.value)}"


class Case:
    """What the agents of one investigation look into. Every draw comes from `rng`, in the order in which it is asked.

    `first` and `last` bound every date that is told; `floor` (reais) bounds every value from below; `hopeless` says
    that no contract can reach the floor. `team` is the canonical ids of the agents, in the order in which they work.
    """

    def __init__(self, rng: random.Random, query: str, filters: Mapping[str, Any], team: tuple[str, ...]) -> None:
        self.rng = rng
        self.team = team
        self.theme: Theme = theme_of(query)
        self.first, self.last = _dates(filters.get("date_range")) or _years(query)
        self.floor = _amount(filters.get("min_value"))
        self.hopeless = self.floor > CEILING
        # A story keeps to a few names, so that several agents come upon the same ones.
        self.organs = tuple(rng.sample(self.theme.organs, 2))
        self.suppliers = tuple(rng.sample(self.theme.suppliers, 4))
        self.contracts_read = rng.randint(60, 900)

    def organ(self) -> str:
        """One of the case's ministries."""
        return self.rng.choice(self.organs)

    def parties(self, number: int) -> tuple[Supplier, ...]:
        """So many different suppliers of the case (at most 4)."""
        return tuple(self.rng.sample(self.suppliers, number))

    def value(self, least: float = 1.0, most: float = 1.6) -> float:
        """An amount in reais and cents: a usual price, no lower than the floor, times `least` (>= 1) to `most`."""
        low, high = self.theme.price
        usual = max(self.rng.uniform(low, high / 2), self.floor)
        # The margin keeps rounding to cents from falling below the floor.
        return round_up(usual * self.rng.uniform(least * 1.01, most * 1.02))

    def day(self) -> date:
        """A day of the case's period."""
        return date.fromordinal(self.rng.randint(self.first.toordinal(), self.last.toordinal()))

    def span(self) -> tuple[date, date]:
        """A part of the case's period, both days included."""
        first, last = self.first.toordinal(), self.last.toordinal()
        start = self.rng.randint(first, first + (last - first) // 2)
        # About as long as people compare: two months to a year, cut where the period ends.
        end = min(last, start + self.rng.randint(60, 365))
        return date.fromordinal(start), date.fromordinal(end)

    def contract(self, supplier: Supplier | None = None, value: float | None = None) -> Contract:
        """A contract within period and floor, with this supplier and value where they are given."""
        signed = self.day()
        return Contract(
            number=f"Contrato nº {self.rng.randint(1, 399):03d}/{signed.year:04d}",
            object=self.rng.choice(self.theme.objects),
            modality=self.rng.choice(self.theme.modalities),
            supplier=supplier or self.rng.choice(self.suppliers),
            value=self.value() if value is None else value,
            signed=signed,
        )

    def tender(self) -> str:
        """The number of a contest between suppliers, as it is cited: "Pregão eletrônico nº 90012/2024"."""
        # Where a supplier is the only possible one there are no rivals to compare.
        contested = [modality for modality in self.theme.modalities if modality != INEXIGIBILIDADE]
        modality = self.rng.choice(contested)
        return f"{modality.capitalize()} nº {self.rng.randint(90001, 90480)}/{self.day().year:04d}"

    def basis(self, matter: str, when: date) -> str:
        """The article that rules a matter on a day: "art. 125 da Lei 14.133/2021". No law is cited before its time."""
        new, old = _ARTICLES[matter]
        if when >= _NEW_LAW:
            return f"{new} da Lei 14.133/2021"
        return f"{old} da Lei 8.666/1993" if when >= _OLD_LAW else "legislação de licitações da época"


class Found(msgspec.Struct, frozen=True):
    """What one agent found, before confidence and severity are put to it: the evidence and a pt-BR sentence on it."""

    description: str
    evidence_count: int
    evidence: dict[str, Any]
    suppliers: tuple[Supplier, ...] = ()
    organ: str = ""


Kind = Callable[[Case, float], Found]
"""Invents one finding of one kind: given the case and a strength of 0 to 1 (the finding's confidence), it returns what
was found, its evidence being as strong as that."""


def round_up(amount: float) -> float:
    """An amount in whole cents, never less than it was."""
    return math.ceil(amount * 100) / 100


def _amount(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        return 0.0
    # Compared before it is converted: an integer may be too large for a float.
    return float(value) if value <= CEILING else math.inf


def _dates(text: Any) -> tuple[date, date] | None:
    # The session has refused malformed ranges; a story must not fail over one that comes another way.
    if not isinstance(text, str):
        return None
    try:
        first, last = (date.fromisoformat(part.strip()) for part in text[:64].split("/"))
    except ValueError:
        return None
    return (first, last) if first <= last else None


def _years(query: str) -> tuple[date, date]:
    years = [int(year) for year in _YEAR.findall(query)] or _DEFAULT_YEARS
    return date(min(years), 1, 1), date(max(years), 12, 31)
