"""The command line: what it prints, where, and with which exit status."""

import errno
import io
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jwt
import pytest

from cidadao_rt import __version__, cli
from cidadao_rt.words.config import Config
from cidadao_rt.words.settings import KEYS

SECRET = "s" * 32
ROOT = Path(__file__).parents[1]


class Run:
    """What one run of the command line did."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty directory and no variable that sets anything."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name not in ("PATH", "SYSTEMROOT"):
            monkeypatch.delenv(name)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def run(*arguments: str) -> Run:
        status = cli.main(arguments)
        captured = capsys.readouterr()
        return Run(status, captured.out, captured.err)

    return run


class App:
    """Stands for `cidadao_rt.app`: becomes ready on `port`, then ends as `end` says."""

    def __init__(self) -> None:
        self.configs: list[Config] = []
        self.port = 8080
        self.error: BaseException | None = None
        self.error_when_ready: BaseException | None = None
        self.status = 0

    def serve(self, config: Config, *, ready: Callable[[int], None]) -> int:
        self.configs.append(config)
        if self.error:
            raise self.error
        ready(self.port)
        if self.error_when_ready:
            raise self.error_when_ready
        return self.status


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    app = App()
    module = ModuleType("cidadao_rt.app")
    module.serve = app.serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cidadao_rt.app", module)
    # What is global is left to the tests of logging.
    monkeypatch.setattr("cidadao_rt.logs.configure", lambda *arguments: None)
    monkeypatch.setattr("cidadao_rt.logs.catch_uncaught", lambda: None)
    return app


def refused(run: Run, status: int = 2) -> str:
    """The one line of an error."""
    assert (run.status, run.out) == (status, "")
    assert run.err.startswith("cidadao-rt: ")
    assert run.err.endswith("\n")
    assert len(run.err.splitlines()) == 1
    return run.err.removeprefix("cidadao-rt: ").rstrip("\n")


# Commands and options


def test_the_version_is_printed(run: Callable[..., Run]) -> None:
    done = run("--version")
    assert (done.status, done.out, done.err) == (0, f"cidadao-rt {__version__}\n", "")


@pytest.mark.parametrize("command", [["--help"], ["-h"], ["serve", "--help"], ["token", "-h"], ["check-config", "-h"]])
def test_help_is_printed(run: Callable[..., Run], command: list[str]) -> None:
    done = run(*command)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("usage: cidadao-rt")


def test_without_a_command_the_server_runs(run: Callable[..., Run], app: App) -> None:
    assert run("--port", "9").status == 0
    assert run().status == 0
    assert [config.server.port for config in app.configs] == [9, 8080]


def test_the_process_arguments_are_taken_where_none_are_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cidadao-rt", "--version"])
    assert cli.main() == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["srve"], ["serve", "auth.jwt_secrets=hunter2"], ["--port", "9", "serve"], ["serve", "--ver"], ["--user", "ana"]],
)
def test_an_argument_that_is_not_known_is_refused_and_not_quoted(
    run: Callable[..., Run], app: App, arguments: list[str]
) -> None:
    error = refused(run(*arguments))
    commands = "serve, token, check-config, tail, record, verify, bench"
    assert error == f"unknown argument; the command comes first ({commands}), see --help"
    assert app.configs == []


@pytest.mark.parametrize("arguments", [["--host"], ["token"], ["check-config", "--set"]])
def test_an_argument_that_is_missing_is_refused_in_one_line(run: Callable[..., Run], arguments: list[str]) -> None:
    refused(run(*arguments))


# Which file is read


def source_of_port(run: Callable[..., Run], *arguments: str) -> str:
    done = run("check-config", "--json", *arguments)
    assert (done.status, done.err) == (0, "")
    return str(json.loads(done.out)["server.port"]["source"])


def test_the_file_that_is_named_wins_over_the_one_that_lies_there(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source_of_port(run) == "default"
    for name in ("config.toml", "environment.toml", "named.toml"):
        Path(name).write_text("[server]\nport = 1\n")
    assert source_of_port(run) == "config.toml line 2"
    monkeypatch.setenv("CIDADAO_RT_CONFIG", "")
    assert source_of_port(run) == "config.toml line 2"
    monkeypatch.setenv("CIDADAO_RT_CONFIG", "environment.toml")
    assert source_of_port(run) == "environment.toml line 2"
    assert source_of_port(run, "--config", "named.toml") == "named.toml line 2"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing.toml", "no such file or directory"),
        ("", "no such file or directory"),
        (".", "is a directory"),
        ("a\nb", "no such file or directory"),
        ("a\x00b", "not possible"),
    ],
)
def test_a_named_file_that_cannot_be_read_is_an_error(run: Callable[..., Run], path: str, reason: str) -> None:
    shown = path.replace("\n", "\\n").replace("\x00", "\\x00")
    assert refused(run("check-config", "--config", path)) == f"{shown}: cannot be read: {reason}"


def test_a_file_of_the_environment_that_cannot_be_read_is_an_error(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIDADAO_RT_CONFIG", "missing.toml")
    assert refused(run("serve")) == "missing.toml: cannot be read: no such file or directory"


def test_a_directory_in_place_of_the_default_file_is_an_error(run: Callable[..., Run]) -> None:
    Path("config.toml").mkdir()
    assert refused(run("check-config")) == "config.toml: cannot be read: is a directory"


def test_an_endless_file_is_an_error(run: Callable[..., Run]) -> None:
    Path("config.toml").write_text("#" * (cli.FILE_BYTES + 1))
    assert refused(run("check-config")) == f"config.toml: cannot be read: longer than {cli.FILE_BYTES} bytes"


# check-config


def test_check_config_shows_each_key_its_value_and_its_source(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    done = run("check-config", "--set", "auth.issuer=é", "--host", "a", "--set", "server.host=b", "--port", "9")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.partition(" = ")[0] for line in lines] == list(KEYS)
    assert 'auth.jwt_secrets = ["***"]  # environment JWT_SECRET_KEY' in lines
    assert 'auth.issuer = "\\u00e9"  # command line' in lines
    assert 'server.host = "b"  # command line' in lines
    assert "server.port = 9  # command line" in lines
    assert 'log.level = "info"  # default' in lines
    assert SECRET not in done.out


def test_check_config_has_a_form_for_machines(run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    shown = json.loads(run("check-config", "--json").out)
    assert list(shown) == list(KEYS)
    assert shown["auth.jwt_secrets"] == {"value": ["***"], "source": "environment JWT_SECRET_KEY"}
    assert shown["limits.max_connections"] == {"value": 10000, "source": "default"}


def test_check_config_names_what_is_wrong(run: Callable[..., Run]) -> None:
    error = refused(run("check-config", "--port", "http"))
    assert error == "server.port (command line): must be a whole number from 0 to 65535"


# token


def claims(token: str, **options: Any) -> dict[str, Any]:
    return jwt.decode(token, SECRET, algorithms=["HS256"], **options)


def test_token_prints_a_token_only(run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 4e9)
    monkeypatch.setenv("CIDADAO_RT_AUTH__JWT_SECRETS", f"{SECRET},{'t' * 32}")
    done = run("token", "--user", "ana", "--role", "user", "--role", "admin", "--investigation", "i", "--ttl", "60")
    assert (done.status, done.err, done.out.count("\n")) == (0, "", 1)
    options = {"verify_iat": False}
    got = claims(done.out.strip(), options=options)
    assert (got["sub"], got["iat"], got["exp"]) == ("ana", 4_000_000_000, 4_000_000_060)
    assert (got["roles"], got["investigations"]) == (["user", "admin"], ["i"])
    assert claims(run("token", "--user", "ana").out.strip(), options=options)["exp"] == 4_000_003_600


def test_a_token_is_made_as_tokens_are_checked(run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s" * 64
    monkeypatch.setenv("JWT_SECRET_KEY", secret)
    settings = ["auth.algorithms=HS512,HS256", "auth.issuer=i", "auth.audience=a"]
    done = run("token", "--user", "ana", *(part for setting in settings for part in ("--set", setting)))
    jwt.decode(done.out.strip(), secret, algorithms=["HS512"], issuer="i", audience="a")


def test_without_a_secret_there_is_no_token(run: Callable[..., Run]) -> None:
    error = refused(run("token", "--user", "ana"))
    assert error == (
        "there is no secret to sign with: set auth.jwt_secrets in config.toml, or CIDADAO_RT_AUTH__JWT_SECRETS"
        " or JWT_SECRET_KEY"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--user", ""],
        ["--user", "u" * 257],
        ["--user", "\udcff"],
        ["--user", "u", "--role", "\udcff"],
        *(["--user", "u", "--ttl", ttl] for ttl in ("0", "-1", "nan", "inf", "1h", "", "1e10")),
    ],
)
def test_a_token_that_could_not_be_used_is_not_made(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    refused(run("token", *arguments))


# serve


def test_a_server_without_a_secret_makes_one_and_says_how_to_reach_it(run: Callable[..., Run], app: App) -> None:
    app.port = 4321
    done = run("serve", "--port", "0")
    (config,) = app.configs
    assert (done.status, done.err) == (0, "")
    assert config.server.mode == "development"
    (secret,) = config.auth.jwt_secrets
    assert len(secret) >= 64
    assert secret not in done.out

    words = done.out.split()
    token = words[-1]
    got = jwt.decode(token, secret, algorithms=["HS256"])
    assert (got["sub"], got["roles"], got["exp"] - got["iat"]) == ("dev", ["user"], 86400)
    assert [word for word in words if "://" in word] == [
        "http://127.0.0.1:4321/",
        f"ws://127.0.0.1:4321/ws?token={token}",
        f"ws://127.0.0.1:4321/ws/investigations/INVESTIGATION_ID?token={token}",
        f"ws://127.0.0.1:4321/ws/chat?agent=drummond&token={token}",
    ]


def test_two_runs_make_two_secrets(run: Callable[..., Run], app: App) -> None:
    run("serve")
    run("serve")
    assert len({config.auth.jwt_secrets for config in app.configs}) == 2


def test_the_secret_that_is_made_fits_every_algorithm(run: Callable[..., Run], app: App) -> None:
    done = run("serve", "--set", "auth.algorithms=HS512", "--set", "auth.issuer=i", "--set", "auth.audience=a")
    (secret,) = app.configs[0].auth.jwt_secrets
    jwt.decode(done.out.split()[-1], secret, algorithms=["HS512"], issuer="i", audience="a")


def test_a_configured_secret_prints_no_token(
    run: Callable[..., Run], app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    done = run("serve", "--host", "0.0.0.0", "--set", "server.mode=development")
    assert app.configs[0].auth.jwt_secrets == (SECRET,)
    assert [word for word in done.out.split() if "://" in word] == [
        "http://127.0.0.1:8080/",
        "ws://127.0.0.1:8080/ws",
        "ws://127.0.0.1:8080/ws/investigations/INVESTIGATION_ID",
        "ws://127.0.0.1:8080/ws/chat?agent=drummond",
    ]
    assert "token" not in done.out
    assert "eyJ" not in done.out


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"])
def test_only_this_machine_reaches_a_loopback_address(host: str) -> None:
    assert cli.is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "0", "127.1", "localhost.example", "example.com", ""])
def test_a_server_that_others_reach_needs_a_secret(run: Callable[..., Run], app: App, host: str) -> None:
    assert not cli.is_loopback(host)
    if host:
        error = refused(run("serve", "--host", host))
        assert error == (
            "a server that others can reach needs a secret: set auth.jwt_secrets in config.toml, or"
            " CIDADAO_RT_AUTH__JWT_SECRETS or JWT_SECRET_KEY"
        )
        assert app.configs == []


@pytest.mark.parametrize(
    ("host", "shown"),
    [("::1", "[::1]"), ("::", "[::1]"), ("fe80::1%eth0", "[fe80::1%25eth0]"), ("a.example", "a.example")],
)
def test_addresses_are_shown_as_urls_have_them(
    run: Callable[..., Run], app: App, monkeypatch: pytest.MonkeyPatch, host: str, shown: str
) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    assert f"http://{shown}:8080/\n" in run("serve", "--host", host).out


def test_with_a_certificate_the_urls_are_secure(run: Callable[..., Run], app: App) -> None:
    for name in ("cert.pem", "key.pem"):
        Path(name).touch()
    done = run("serve", "--set", "server.tls_cert=cert.pem", "--set", "server.tls_key=key.pem")
    urls = [word.partition(":")[0] for word in done.out.split() if "://" in word]
    assert urls == ["https", "wss", "wss", "wss"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            OSError(errno.EADDRINUSE, "error while attempting to bind on address ('127.0.0.1', 8080): in use"),
            "cannot listen on 127.0.0.1:8080: address already in use",
        ),
        (PermissionError(errno.EACCES, "denied"), "cannot listen on 127.0.0.1:8080: permission denied"),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "cannot listen on 127.0.0.1:8080: name or service not known",
        ),
        (OSError("a\nb"), "cannot listen on 127.0.0.1:8080: not possible"),
        (
            ssl.SSLError(1, "[SSL] PEM lib (_ssl.c:1)"),
            "server.tls_cert and server.tls_key: no certificate with its key: not usable",
        ),
    ],
)
def test_a_server_that_cannot_start_says_why_in_one_line(
    run: Callable[..., Run], app: App, error: OSError, text: str
) -> None:
    app.error = error
    assert refused(run("serve"), 1) == text


def test_a_certificate_that_is_none_says_what_it_lacks(run: Callable[..., Run], app: App) -> None:
    Path("cert.pem").write_text("no certificate")
    with pytest.raises(ssl.SSLError) as raised:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain("cert.pem", "cert.pem")
    app.error = raised.value
    error = refused(run("serve"), 1)
    assert error.startswith("server.tls_cert and server.tls_key: no certificate with its key: ")
    assert "_" not in error.rpartition(": ")[2]


def test_a_certificate_that_cannot_be_read_is_named(run: Callable[..., Run], app: App) -> None:
    Path("cert.pem").touch()
    done = run("serve", "--set", "server.tls_cert=cert.pem", "--set", "server.tls_key=key.pem")
    assert refused(done, 1) == "server.tls_key: key.pem: cannot be read: no such file or directory"
    assert app.configs == []


@pytest.mark.parametrize("error", [OSError(errno.EIO, "x"), ssl.SSLError("x")])
def test_an_error_of_a_server_that_ran_is_no_matter_of_configuration(
    run: Callable[..., Run], app: App, error: OSError
) -> None:
    app.error_when_ready = error
    with pytest.raises(type(error)):
        run("serve")


def test_the_exit_status_is_the_servers(run: Callable[..., Run], app: App) -> None:
    app.status = 3
    assert run("serve").status == 3
    app.error_when_ready = KeyboardInterrupt()
    assert run("serve").status == 130


def test_logs_go_to_stderr_as_configured(run: Callable[..., Run], app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr("cidadao_rt.logs.configure", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr("cidadao_rt.logs.catch_uncaught", lambda: calls.append("uncaught"))
    run("serve", "--set", "log.level=debug", "--set", "log.format=text")
    assert calls == [("debug", "text", sys.stderr), "uncaught"]


# Nobody listens


class Deaf(io.TextIOBase):
    encoding = "ascii"

    def write(self, text: str) -> int:
        raise BrokenPipeError


class Ascii(io.StringIO):
    encoding = "ascii"


def test_a_server_whose_stdout_is_gone_runs_on(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.status = 7
    monkeypatch.setattr(sys, "stdout", Deaf())
    assert cli.main(["serve"]) == 7
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["serve"]) == 7


def test_a_command_whose_answer_nobody_reads_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setattr(sys, "stdout", Deaf())
    assert cli.main(["check-config"]) == 1
    assert cli.main(["token", "--user", "ana"]) == 1


def test_what_a_terminal_cannot_show_is_escaped(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Ascii()
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    cli.main(["serve", "--host", "são.example"])
    assert "http://s\\xe3o.example:8080/" in stdout.getvalue()


# As a process


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "cidadao_rt", *arguments]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(command, env=environment, text=True, timeout=30, check=False, **options)


def test_the_module_runs() -> None:
    done = process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"cidadao-rt {__version__}\n", "")


def test_a_missing_secret_ends_the_process_with_one_line() -> None:
    done = process("--host", "0.0.0.0")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_pipe_that_nobody_reads_makes_no_noise() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = process("check-config", stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
