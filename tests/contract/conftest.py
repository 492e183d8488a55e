"""Every driver under one name: how it was written, and the transport it is held to."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from contract import node, python
from contract.drivers import Driver, Options, Token
from contract.raw import RAW

Drive = Callable[..., AbstractAsyncContextManager[Driver]]


@pytest.fixture
async def drive() -> AsyncIterator[Drive]:
    """Make a driver with `async with drive(name, base, token, ...)`; it is closed at the end, and is not open yet."""
    async with node.Workshop() as workshop:

        @contextlib.asynccontextmanager
        async def make(name: str, base: str, token: Token, **options: Any) -> AsyncIterator[Driver]:
            written, _, transport = name.partition("-")
            chosen = Options(**options)
            driver: Driver
            match written:
                case "raw":
                    driver = RAW[transport](base, token, chosen)
                case "python":
                    driver = python.Client(base, token, chosen, transport)
                case _:
                    driver = await workshop.client(base, token, chosen, transport)
            try:
                yield driver
            finally:
                await driver.close()

        yield make
