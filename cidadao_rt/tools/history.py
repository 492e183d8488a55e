"""What the gateway itself says that it has sent, so that an event which reached nobody is missed all the same."""

import asyncio
from collections.abc import Iterable

import aiohttp
from yarl import URL

from .target import Target

SECONDS = 10.0
"""For all histories together; what is not to be had by then is not compared."""

_LIMIT = 500


async def history(where: Target, investigations: Iterable[str]) -> set[str] | None:
    """The ids of all events of these investigations; None where the gateway does not tell them in time."""
    found: set[str] = set()
    try:
        headers = {"Authorization": f"Bearer {where.token}"}
        async with asyncio.timeout(SECONDS), aiohttp.ClientSession(headers=headers, raise_for_status=True) as http:
            for id_ in sorted(investigations):
                await _read(http, where, id_, found)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError):
        # Also an answer that is not what a history looks like: there is nothing to compare with then.
        return None
    return found


async def _read(http: aiohttp.ClientSession, where: Target, id_: str, found: set[str]) -> None:
    scheme = {"ws": "http", "wss": "https"}
    base = URL(where.base)
    url = base.with_scheme(scheme.get(base.scheme, base.scheme)) / "api/v1/topics" / f"investigation:{id_}" / "history"
    after: dict[str, str] = {}
    while True:
        async with http.get(url, params={"limit": str(_LIMIT), **after}, allow_redirects=False) as response:
            page = await response.json()
        found.update(event["id"] for event in page["events"])
        if not page["events"] or after.get("after") == page["cursor"]:
            return
        after = {"after": page["cursor"]}
