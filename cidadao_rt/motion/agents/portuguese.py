"""How pt-BR texts write amounts, shares, dates and lists, and how a person's words are read."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date

# A few hundred words tell what a text is about; a text made of thousands of one-letter words must not cost more.
_READ, _WORDS = 4000, 300
_WORD = re.compile(r"[a-z0-9]+")


def words_of(text: str) -> list[str]:
    """The first 300 words of `text`, lower case and without accents: "Licitação de TI" gives licitacao, de, ti."""
    decomposed = unicodedata.normalize("NFKD", text[:_READ]).lower()
    return _WORD.findall("".join(letter for letter in decomposed if not unicodedata.combining(letter)))[:_WORDS]


def begins(word: str, stems: Iterable[str]) -> bool:
    """Whether a word (as `words_of` gives it) begins with a stem; a stem that ends in "$" is the whole word."""
    return any(word == stem[:-1] if stem.endswith("$") else word.startswith(stem) for stem in stems)


def decimal(value: float, places: int = 2) -> str:
    """A number as Brazil writes it: 1234567.5 is "1.234.567,50"."""
    return f"{value:,.{places}f}".translate(str.maketrans(",.", ".,"))


def reais(value: float) -> str:
    """An amount of money, in reais: "R$ 1.234,50"."""
    return f"R$ {decimal(value)}"


def percent(value: float, places: int = 1) -> str:
    """A share given in per cent (not as a fraction): 37.5 is "37,5%"."""
    return f"{decimal(value, places)}%"


def day(value: date) -> str:
    """A date as "31/12/2024"."""
    return f"{value.day:02d}/{value.month:02d}/{value.year:04d}"


def between(first: date, last: date) -> str:
    """When something happened: "entre 01/02/2024 e 31/03/2024", or "em 01/02/2024" where both are the same day."""
    return f"em {day(first)}" if first == last else f"entre {day(first)} e {day(last)}"


def count(number: int, one: str, many: str) -> str:
    """A number with its noun: "1 contrato", "7 contratos"."""
    return f"{decimal(number, 0)} {one if number == 1 else many}"


def listed(items: Sequence[str]) -> str:
    """Items as a sentence joins them: "a", "a e b", "a, b e c"."""
    return " e ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
