"""Logging: what a line looks like, and that nothing of what a client sent ever gets into one."""

import asyncio
import gc
import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import orjson
import pytest
from aiohttp import web

from cidadao_rt import logs

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl"
CANARY = "hunter2"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def standard_logging() -> Iterator[None]:
    """Logging is global: give it back as it was."""
    root, access = logging.root, logging.getLogger("aiohttp.access")
    handlers, level, access_level = root.handlers[:], root.level, access.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    access.setLevel(access_level)


def written(log: Callable[[], object], *, level: str = "debug", format: str = "json") -> str:
    """What comes out of `log`; every record is one line."""
    stream = io.StringIO()
    logs.configure(level, format, stream)
    log()
    return stream.getvalue()


def record(log: Callable[[], object]) -> dict[str, Any]:
    line = written(log)
    assert len(line.splitlines()) == 1
    assert line.endswith("\n")
    decoded = orjson.loads(line)
    assert isinstance(decoded, dict)
    return decoded


def shown(name: str = "cidadao_rt.x", **changes: Any) -> dict[str, Any]:
    """The fields of a record with these attributes, without a logger."""
    return logs.fields(logging.makeLogRecord({"name": name, "levelname": "INFO", "created": 0.0, **changes}))


ours = logging.getLogger("cidadao_rt.test")


# What a line looks like


def test_json_is_one_object_a_line() -> None:
    when = logging.makeLogRecord(
        {"name": "cidadao_rt.x", "levelname": "WARNING", "created": 1700000000.1239, "msg": "%s left", "args": ("ana",)}
    )
    assert orjson.loads(logs.Json().format(when)) == {
        "ts": "2023-11-14T22:13:20.123Z",
        "level": "warning",
        "logger": "cidadao_rt.x",
        "event": "ana left",
    }


def test_text_is_one_readable_line() -> None:
    when = logging.makeLogRecord(
        {"name": "cidadao_rt.x", "levelname": "INFO", "created": 0.5, "msg": "closed", "code": 1001, "reason": "a b"}
        | {"user": "ana", "clean": True}
    )
    assert logs.Text().format(when) == (
        '1970-01-01T00:00:00.500Z info     cidadao_rt.x: closed code=1001 reason="a b" user=ana clean=true'
    )


def test_structured_fields_follow_under_their_own_names() -> None:
    got = record(lambda: ours.info("x", extra={"connection_id": "c", "session_id": "s", "tries": 3, "anything": [1.5]}))
    assert {name: got[name] for name in ("connection_id", "session_id", "tries", "anything")} == {
        "connection_id": "c",
        "session_id": "s",
        "tries": 3,
        "anything": [1.5],
    }


def test_a_field_never_takes_the_place_of_a_fixed_one() -> None:
    got = record(lambda: ours.info("real", extra={"event": "other", "ts": 1, "level": 2, "logger": 3}))
    assert (got["event"], got["event_"], got["ts_"], got["level_"], got["logger_"]) == ("real", "other", 1, 2, 3)


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    terminal = Terminal()
    logs.configure("info", "auto", terminal)
    ours.info("x")
    assert "cidadao_rt.test: x" in terminal.getvalue()
    assert orjson.loads(written(lambda: ours.info("x"), format="auto"))["event"] == "x"


def test_the_format_that_is_named_is_taken_whatever_the_stream_is() -> None:
    terminal = Terminal()
    logs.configure("info", "json", terminal)
    ours.info("x")
    assert orjson.loads(terminal.getvalue())["event"] == "x"
    assert " info " in written(lambda: ours.info("x"), format="text")


def test_the_stream_is_stderr_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    logs.configure()
    ours.info("x")
    assert orjson.loads(stderr.getvalue())["event"] == "x"


def test_less_than_the_level_is_not_written() -> None:
    assert written(lambda: ours.info("x"), level="warning") == ""
    assert written(lambda: ours.warning("x"), level="warning") != ""


def test_a_message_with_the_wrong_arguments_is_still_written() -> None:
    assert record(lambda: ours.info("%d left", "x"))["event"] == "%d left"


def test_a_message_that_is_an_object_is_withheld() -> None:
    assert record(lambda: ours.info(ValueError(CANARY)))["event"] == logs.WITHHELD


class Colour(StrEnum):
    RED = "red"


class Opaque:
    def __repr__(self) -> str:
        return CANARY


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (-(2**63) + 1, -(2**63) + 1),
        (2**63, "<int>"),
        pytest.param(10**5000, "<int>", id="long"),
        (float("inf"), None),
        (Colour.RED, "red"),
        (("a", 1), ["a", 1]),
        ({"a"}, ["a"]),
        ({"a": {"b": 1}, 1: Opaque(), Opaque(): 2}, {"a": {"b": 1}, "1": "<Opaque>", "<Opaque>": 2}),
        (b"hunter2", "<bytes>"),
        (Opaque(), "<Opaque>"),
        (ValueError(CANARY), "<ValueError>"),
        ("\ud800", "\\ud800"),
    ],
)
def test_a_field_is_plain_or_only_the_name_of_its_type(value: Any, plain: Any) -> None:
    got = record(lambda: ours.info("x", extra={"value": value}))
    assert got["value"] == plain


def test_nesting_ends_somewhere() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert record(lambda: ours.info("x", extra={"value": loop}))["value"] == [[[[[["<list>"]]]]]]


@pytest.mark.parametrize("format", ["json", "text"])
def test_control_characters_stay_escaped_on_one_line(format: str) -> None:
    wild = "a\nb\r\x1b[31m\x00\x7f\x85\x9b\u2028\u2029\u202e\u2066z"
    line = written(lambda: ours.info(wild, extra={"value": wild, "nested": {wild: wild}}), format=format)
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    assert line[:-1].isprintable()
    if format == "json":
        got = orjson.loads(line)
        assert got["event"] == got["value"] == got["nested"][wild] == wild


# Exceptions


def fail() -> None:
    raise ValueError(CANARY)


def log_failure() -> None:
    try:
        fail()
    except ValueError:
        ours.exception("it failed", stack_info=True)


@pytest.mark.parametrize("format", ["json", "text"])
def test_neither_the_message_nor_the_lines_of_an_exception_are_written(format: str) -> None:
    line = written(log_failure, format=format)
    assert "ValueError" in line
    assert CANARY not in line
    assert "raise" not in line


def test_an_exception_is_its_type_and_frames() -> None:
    got = record(log_failure)
    assert got["error"] == "ValueError"
    assert [frame.rpartition("/")[2].partition(":")[0] for frame in got["trace"]] == ["test_logs.py"] * 2
    assert [frame.rpartition(" ")[2] for frame in got["trace"]] == ["log_failure", "fail"]
    assert all(frame.partition(":")[2].partition(" ")[0].isdigit() for frame in got["trace"])


def test_a_long_trace_is_cut_in_the_middle() -> None:
    def deep(levels: int) -> None:
        if levels == 0:
            raise ValueError
        deep(levels - 1)

    def log() -> None:
        try:
            deep(100)
        except ValueError:
            ours.exception("deep")

    trace = record(log)["trace"]
    assert len(trace) == 31
    assert trace[5] == "..."
    assert trace[0].endswith("log")
    assert trace[-1].endswith("deep")


def test_without_an_exception_there_is_no_error() -> None:
    got = record(lambda: ours.info("x", exc_info=True))
    assert "error" not in got
    assert "trace" not in got


# Redaction, where all else has failed


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("GET /ws?token=abc&x=1", "GET /ws?token=***&x=1"),
        ("access_token=abc def", "access_token=*** def"),
        ("?next=%2Fws%3Ftoken%3Dabc", "?next=%2Fws%3Ftoken%3D***"),
        ("TOKEN=abc", "TOKEN=***"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        (f"it was {JWT}, then", "it was ***, then"),
        (f"'{JWT.rpartition('.')[0]}'", "'***'"),
        ("token = x, eyJ", "token = x, eyJ"),
    ],
)
def test_what_looks_like_a_token_is_masked(text: str, left: str) -> None:
    got = record(lambda: ours.info("%s", text, extra={"value": text, "nested": {"list": [text], text: 1}}))
    assert got["event"] == left
    assert got["value"] == left
    assert got["nested"] == {"list": [left], left: 1}


@pytest.mark.parametrize("name", ["token", "bearer_token", "Authorization", "cookie", "jwt_secrets", "password"])
def test_a_field_that_is_called_a_secret_is_masked(name: str) -> None:
    got = record(lambda: ours.info("x", extra={name: CANARY, "headers": {name: CANARY}}))
    assert (got[name], got["headers"][name]) == ("***", "***")


# Other libraries


@pytest.mark.parametrize("name", ["aiohttp.server", "asyncio", "cidadao_rt_other", "root", "py.warnings"])
def test_of_others_neither_arguments_nor_fields_are_written(name: str) -> None:
    other = logging.getLogger(name)
    got = record(lambda: other.warning("from %s", CANARY, extra={"request": CANARY}))
    assert set(got) == {"ts", "level", "logger", "event", "at"}
    assert (got["logger"], got["event"]) == (name, "from %s")
    assert got["at"].startswith("test_logs.py:")


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (f"Exception in callback f('{CANARY}')", "Exception in callback"),
        (f"Task exception was never retrieved\nfuture: {CANARY}", "Task exception was never retrieved"),
        ("Unhandled exception in event loop\nx: y", "Unhandled exception in event loop"),
        ("Unhandled exception", "Unhandled exception"),
        (f"{CANARY} connected", logs.WITHHELD),
        (ValueError(CANARY), logs.WITHHELD),
    ],
)
def test_of_a_message_that_may_be_formatted_only_a_known_opening_is_written(message: Any, event: str) -> None:
    assert shown("asyncio", msg=message)["event"] == event


def test_a_template_is_written_up_to_its_first_line() -> None:
    assert shown("asyncio", msg="a %s\nb", args=("x",))["event"] == "a %s"


def test_handlers_and_barriers_of_others_are_taken_away() -> None:
    other = logging.getLogger("aiohttp.server")
    aside = io.StringIO()
    other.addHandler(logging.StreamHandler(aside))
    other.propagate = False
    assert record(lambda: other.warning("Unhandled exception"))["event"] == "Unhandled exception"
    assert aside.getvalue() == ""


def test_access_lines_are_not_written_and_withheld_if_asked_for() -> None:
    access = logging.getLogger("aiohttp.access")
    assert written(lambda: access.info(f"GET /ws?x={CANARY}")) == ""
    assert record(lambda: access.warning(f"GET /ws?x={CANARY}"))["event"] == logs.WITHHELD


async def ask(server: Any, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        f"GET /ws?token={CANARY} HTTP/1.1 {CANARY}\r\n\r\n".encode(),
        f"GET /ws?token={CANARY} HTTP/1.1\r\nHost: a\r\nBad{CANARY} header\r\n\r\n".encode(),
        f"GET /ws HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {CANARY}\r\nContent-Length: {CANARY}\r\n\r\n".encode(),
        f"{CANARY}\x00 / HTTP/1.1\r\n\r\n".encode(),
        b"\x16\x03\x01" + CANARY.encode() * 20 + b"\r\n\r\n",
        f"GET /fail?x={CANARY} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode(),
        f"GET /nothing?x={CANARY} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode(),
        f"GET /wrong?x={CANARY} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode(),
    ],
)
@pytest.mark.parametrize("format", ["json", "text"])
async def test_what_aiohttp_logs_of_a_request_holds_nothing_of_it(
    aiohttp_server: Any, request_bytes: bytes, format: str
) -> None:
    async def failing(request: web.Request) -> web.Response:
        raise ValueError(request.query["x"])

    async def nothing(request: web.Request) -> None:
        return None

    async def wrong(request: web.Request) -> str:
        return request.query["x"]

    application = web.Application()
    application.router.add_get("/fail", failing)
    application.router.add_get("/nothing", nothing)  # type: ignore[arg-type]
    application.router.add_get("/wrong", wrong)  # type: ignore[arg-type]
    server = await aiohttp_server(application)
    stream = io.StringIO()
    logs.configure("debug", format, stream)
    logging.getLogger("aiohttp.access").setLevel(logging.DEBUG)

    assert b"HTTP/1." in await ask(server, request_bytes)
    assert CANARY not in stream.getvalue()
    if format == "json":
        lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
        assert any(line["logger"] == "aiohttp.server" and line["event"] != logs.WITHHELD for line in lines)


async def test_what_asyncio_logs_of_a_task_or_callback_holds_nothing_of_it() -> None:
    async def failing(text: str) -> None:
        raise ValueError(text)

    def callback(text: str) -> None:
        raise ValueError(text)

    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    loop = asyncio.get_running_loop()
    task = loop.create_task(failing(CANARY), name=CANARY)
    await asyncio.wait([task])
    del task
    gc.collect()
    loop.call_soon(callback, CANARY)
    await asyncio.sleep(0)
    loop.call_exception_handler({"message": f"{CANARY} was lost", "protocol": CANARY})

    assert CANARY not in stream.getvalue()
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [
        "Task exception was never retrieved",
        "Exception in callback",
        logs.WITHHELD,
    ]
    assert [line.get("error") for line in lines] == ["ValueError", "ValueError", None]


# When logging itself fails, and what nobody catches


def test_a_stream_that_is_gone_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    stream.close()
    ours.info("%s", CANARY)
    assert capsys.readouterr() == ("", "")


def test_exceptions_that_nobody_caught_are_logged_without_their_message(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    logs.catch_uncaught()
    error = ValueError(CANARY)

    class Args:
        exc_type, exc_value, exc_traceback = ValueError, error, None

    class Ended:
        exc_type, exc_value, exc_traceback = SystemExit, None, None

    sys.excepthook(ValueError, error, None)
    sys.unraisablehook(Args)  # type: ignore[arg-type]
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    threading.excepthook(Ended)  # type: ignore[arg-type]

    assert CANARY not in stream.getvalue()
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["error"]) for line in lines] == [("uncaught exception", "ValueError")] * 3
