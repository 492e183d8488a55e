"""The user documentation says the same in both languages: a page in one without its like in the other fails here."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
ENGINEERING = {"docs/design.md"}
"""English only, as is all below docs/decisions."""

FENCE = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#{1,6}) +(.+)$", re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def english() -> set[str]:
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")} - ENGINEERING
    return pages | {"README.md"}


def portuguese() -> set[str]:
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs/pt-BR").rglob("*.md")}
    return pages | {str(path.relative_to(ROOT)) for path in ROOT.glob("*.pt-BR.md")}


def counterpart(page: str) -> str:
    """The Portuguese page's path for an English one's."""
    return page.replace("docs/", "docs/pt-BR/") if page.startswith("docs/") else page.replace(".md", ".pt-BR.md")


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """A page without its code blocks, whose comments look like headings."""
    return FENCE.sub("", text(page))


def sections(page: str) -> list[str]:
    """What stands before the first heading, and under each."""
    return re.split(HEADING.pattern, prose(page), flags=re.MULTILINE)[::3]


def headings(page: str) -> list[tuple[int, str]]:
    return [(len(marks), title.strip()) for marks, title in HEADING.findall(prose(page))]


def blocks(page: str) -> list[str]:
    return [found[0] for found in FENCE.finditer(text(page))]


def rows(section: str) -> list[int]:
    """The number of cells of each row of its tables; a bar in a code span is no border."""
    lines = SPAN.sub("", section).splitlines()
    return [line.count("|") - 1 for line in lines if line.startswith("|")]


def spans(section: str) -> set[str]:
    """Its code spans; a line break in one is a space."""
    return {" ".join(span.split()) for span in SPAN.findall(section)}


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives its headings; the second of a name is `name-1`."""
    seen: dict[str, int] = {}
    found = set()
    for _, title in headings(page):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found


def links(page: str) -> Iterator[str]:
    """The relative links of a page, without what only looks like one in code."""
    for target in LINK.findall(SPAN.sub("", prose(page))):
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield unquote(target)


def targets(page: str) -> set[str]:
    """The files and folders that a page links to."""
    paths = {link.partition("#")[0] for link in links(page)} - {""}
    return {str((ROOT / page).parent.joinpath(path).resolve().relative_to(ROOT)) for path in paths}


PAIRS = sorted((page, counterpart(page)) for page in english())
PAGES = sorted(english() | portuguese())
pairs = pytest.mark.parametrize(("page", "other"), PAIRS, ids=[page for page, _ in PAIRS])


def test_each_page_is_there_in_both_languages() -> None:
    assert len(PAIRS) > 1
    assert {other for _, other in PAIRS} == portuguese()
    assert all((ROOT / page).is_file() for page in ENGINEERING)


@pairs
def test_the_line_under_the_title_leads_to_the_other_language(page: str, other: str) -> None:
    up = "../" if page.startswith("docs/") else ""
    for here, language, target in (
        (page, "Português", other.removeprefix("docs/")),
        (other, "English", up + page.removeprefix("docs/")),
    ):
        title, blank, link, end = text(here).splitlines()[:4]
        assert (title[:2], blank, link, end) == ("# ", "", f"[{language}]({target})", ""), here


@pairs
def test_the_headings_are_of_the_same_levels(page: str, other: str) -> None:
    assert [level for level, _ in headings(page)] == [level for level, _ in headings(other)]


@pairs
def test_the_code_blocks_are_the_same(page: str, other: str) -> None:
    assert blocks(page) == blocks(other)


@pairs
def test_each_section_has_the_same_tables_and_code_words(page: str, other: str) -> None:
    for ours, theirs, (_, title) in zip(sections(page)[1:], sections(other)[1:], headings(page), strict=True):
        assert rows(ours) == rows(theirs), title
        assert spans(ours) == spans(theirs), title


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_somewhere(page: str) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert target.resolve().is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(str(target.resolve().relative_to(ROOT))), link


@pairs
def test_links_stay_in_the_language(page: str, other: str) -> None:
    """A Portuguese page leads to Portuguese pages where there are such, and both lead to the same ones."""
    translated = dict(PAIRS)
    assert {translated.get(target, target) for target in targets(page) - {other}} == targets(other) - {page}
