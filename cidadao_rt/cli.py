"""The command line: run the server, make a token, show what is configured, look at a gateway that runs.

Exit status: 0 when all went well, 1 when it could not be done, 2 when what was asked for or configured is wrong, 3 when
`tail`, `record` or `verify` could not connect. What a person or a script wants is on stdout; errors, one line each, and
logs are on stderr.
"""

import argparse
import json
import math
import os
import secrets
import ssl
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from ipaddress import ip_address
from typing import NoReturn

import msgspec

from . import __version__, logs
from .bench import arguments as bench_arguments
from .motion.agents.library import Library
from .tools import arguments as tool_arguments
from .tools import output
from .tools.errors import ToolError
from .words import tokens
from .words.config import Config
from .words.scenario_file import ScenarioError
from .words.settings import FILE_VARIABLE, ConfigError, Settings, describe, merge, one_line

PROG = "cidadao-rt"
TOOLS = ("tail", "record", "verify")
MEASURES = ("bench",)
COMMANDS = ("serve", "token", "check-config", *TOOLS, *MEASURES)
DEFAULT_FILE = "config.toml"
FILE_BYTES = 1 << 20
TTL_SECONDS = 3600.0
MOST_TTL_SECONDS = 1e9
DEVELOPMENT_USER = "dev"
DEVELOPMENT_TTL_SECONDS = 86400.0

_SET_A_SECRET = "set auth.jwt_secrets in config.toml, or CIDADAO_RT_AUTH__JWT_SECRETS or JWT_SECRET_KEY"  # noqa: S105


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (that of the process by default), and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in (*COMMANDS, "-h", "--help", "--version"):
        arguments.insert(0, "serve")
    try:
        options, unknown = _parser().parse_known_args(arguments)
        if unknown:
            # Not quoted: it may be a secret whose `--set` was forgotten.
            raise ConfigError(f"unknown argument; the command comes first ({', '.join(COMMANDS)}), see --help")
        if options.command in (*TOOLS, *MEASURES):
            # Only here, since they load a client that the others do not need.
            module = ".bench.command" if options.command in MEASURES else f".tools.{options.command}"
            return int(import_module(module, __package__).run(options))
        run = {"serve": _serve, "token": _token, "check-config": _check_config}[options.command]
        return run(options)
    except ToolError as error:
        return _fail(str(error), error.status)
    except ConfigError as error:
        return _fail(str(error), 2)
    except SystemExit as done:  # --help and --version
        return int(done.code or 0)
    except KeyboardInterrupt:
        return 130


class _Failure(ToolError):
    """What was asked for is right, but cannot be done; the message is shown."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, like every other error."""
        raise ConfigError(one_line(message))


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False, allow_abbrev=False)
    common.add_argument("--config", metavar="PATH", help=f"default: ${FILE_VARIABLE}, else ./{DEFAULT_FILE} if present")
    # One list for all three, so that the last one of a key wins.
    for name, prefix, metavar in (
        ("--host", "server.host=", "ADDRESS"),
        ("--port", "server.port=", "PORT"),
        ("--set", "", "SECTION.KEY=VALUE"),
    ):
        common.add_argument(
            name,
            dest="settings",
            action="append",
            default=[],
            metavar=metavar,
            type=prefix.__add__,
            help="any key of config.toml; may be repeated" if name == "--set" else f"the same as --set {prefix}…",
        )
    description, epilog = "The real-time gateway of Cidadão.AI.", "Without a command: serve."
    parser = _Parser(prog=PROG, allow_abbrev=False, description=description, epilog=epilog)
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    commands.add_parser("serve", parents=[common], allow_abbrev=False, help="run the server until SIGTERM or SIGINT")
    token = commands.add_parser("token", parents=[common], allow_abbrev=False, help="print a signed token")
    token.add_argument("--user", required=True, metavar="ID", help="whom the token speaks for (sub)")
    token.add_argument("--role", action="append", default=[], metavar="ROLE", help="may be repeated")
    token.add_argument("--investigation", action="append", default=[], metavar="ID", help="shared with the user")
    token.add_argument("--ttl", metavar="SECONDS", default=str(TTL_SECONDS), help="default: %(default)s")
    check = commands.add_parser(
        "check-config", parents=[common], allow_abbrev=False, help="show each key, its value and where it comes from"
    )
    check.add_argument("--json", action="store_true", help="as one JSON object")
    tool_arguments.add(commands.add_parser)
    bench_arguments.add(commands.add_parser)
    return parser


def _check_config(options: argparse.Namespace) -> int:
    settings = _settings(options)
    _check_scenarios(settings)
    described = describe(settings)
    if options.json:
        text = json.dumps({one.key: {"value": one.value, "source": one.source} for one in described}, indent=2)
    else:
        text = "\n".join(f"{one.key} = {json.dumps(one.value)}  # {one_line(one.source)}" for one in described)
    return 0 if _say(text) else 1


def _token(options: argparse.Namespace) -> int:
    config = _settings(options).config
    if not config.auth.jwt_secrets:
        raise ConfigError(f"there is no secret to sign with: {_SET_A_SECRET}")
    if not 1 <= len(options.user) <= tokens.SUBJECT_LENGTH:
        raise ConfigError(f"--user must have 1 to {tokens.SUBJECT_LENGTH} characters")
    if any("\ud800" <= character <= "\udfff" for text in (options.user, *options.role) for character in text):
        raise ConfigError("--user and --role must be UTF-8")
    try:
        ttl = float(options.ttl)
    except ValueError:
        ttl = math.nan
    if not 0 < ttl <= MOST_TTL_SECONDS:
        raise ConfigError(f"--ttl must be a number above 0 and at most {MOST_TTL_SECONDS:.0f}, in seconds")
    return 0 if _say(_mint(config, options.user, options.role, options.investigation, ttl)) else 1


def _serve(options: argparse.Namespace) -> int:
    settings = _settings(options)
    _check_scenarios(settings)
    config = settings.config
    makes_secret = not config.auth.jwt_secrets
    if makes_secret:
        if not is_loopback(config.server.host):
            raise ConfigError(f"a server that others can reach needs a secret: {_SET_A_SECRET}")
        config = _with_own_secret(config)
    _check_readable("server.tls_cert", config.server.tls_cert)
    _check_readable("server.tls_key", config.server.tls_key)
    logs.configure(config.log.level, config.log.format, sys.stderr)
    logs.catch_uncaught()
    # Only here, so that the other commands need no server to start.
    from .app import serve  # noqa: PLC0415

    is_ready = False

    def ready(port: int) -> None:
        nonlocal is_ready
        is_ready = True
        token = _mint(config, DEVELOPMENT_USER, ["user"], [], DEVELOPMENT_TTL_SECONDS) if makes_secret else ""
        _say(banner(config, port, token))

    try:
        return serve(config, ready=ready)
    except ssl.SSLError as error:
        if is_ready:
            raise
        # Only what OpenSSL raised has a reason.
        reason = (getattr(error, "reason", None) or "not usable").replace("_", " ").lower()
        raise _Failure(f"server.tls_cert and server.tls_key: no certificate with its key: {reason}") from None
    except OSError as error:
        if is_ready:
            raise
        address = f"{_in_url(config.server.host)}:{config.server.port}"
        raise _Failure(f"cannot listen on {address}: {_reason(error)}") from None


def banner(config: Config, port: int, token: str = "") -> str:
    """Where the server is to be found, ready to paste; with `token`, which is a secret, the URLs carry it."""
    host, secure = _in_url(config.server.host), "s" if config.server.tls_cert else ""
    query = f"token={token}" if token else ""
    lines = [
        f"cidadao_rt {__version__} ({config.server.mode})",
        "",
        f"Console    http{secure}://{host}:{port}/",
        f"WebSocket  ws{secure}://{host}:{port}/ws{'?' * bool(token)}{query}",
        f"           ws{secure}://{host}:{port}/ws/investigations/INVESTIGATION_ID{'?' * bool(token)}{query}",
        f"           ws{secure}://{host}:{port}/ws/chat?agent=drummond{'&' * bool(token)}{query}",
    ]
    if token:
        lines += [f'Token      of user "{DEVELOPMENT_USER}", for 24 hours or until this process ends:', token]
    return "\n".join(lines)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to `host`; a name other than localhost could be anything."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _settings(options: argparse.Namespace) -> Settings:
    # A file that was named wins over one that happens to lie there.
    path = options.config if options.config is not None else os.environ.get(FILE_VARIABLE) or None
    if path is None and os.path.lexists(DEFAULT_FILE):
        path = DEFAULT_FILE
    if path is None:
        return merge(None, os.environ, options.settings)
    return merge(_read(path), os.environ, options.settings, file_name=path)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            text = file.read(FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(one_line(f"{path}: cannot be read: {_reason(error)}")) from None
    if len(text) > FILE_BYTES:
        raise ConfigError(one_line(f"{path}: cannot be read: longer than {FILE_BYTES} bytes"))
    return text


def _check_scenarios(settings: Settings) -> None:
    agents = settings.config.agents
    try:
        Library(agents.scenario, agents.scenarios_path)
    except ScenarioError as error:
        key, _, rest = str(error).partition(": ")
        raise ConfigError(one_line(f"{key} ({settings.sources[key]}): {rest}")) from None


def _check_readable(key: str, path: str) -> None:
    """Name the file that is at fault, which the errors of `ssl` do not."""
    if path:
        try:
            with open(path, "rb") as file:
                file.read(1)
        except (OSError, ValueError) as error:
            raise _Failure(f"{key}: {path}: cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """What the system says, without what Python adds."""
    number = getattr(error, "errno", None) or 0
    return (os.strerror(number) if number > 0 else getattr(error, "strerror", None) or "not possible").lower()


def _with_own_secret(config: Config) -> Config:
    # 64 random bytes, in ASCII: long enough for every HMAC that the configuration allows.
    auth = msgspec.structs.replace(config.auth, jwt_secrets=(secrets.token_urlsafe(64),))
    server = msgspec.structs.replace(config.server, mode="development")
    return msgspec.structs.replace(config, auth=auth, server=server)


def _mint(config: Config, user: str, roles: Sequence[str], investigations: Sequence[str], ttl: float) -> str:
    return tokens.mint(
        config.auth.jwt_secrets[0],
        sub=user,
        issued_at=time.time(),
        ttl=ttl,
        roles=roles,
        investigations=investigations,
        algorithm=config.auth.algorithms[0],
        issuer=config.auth.issuer,
        audience=config.auth.audience,
    )


def _in_url(host: str) -> str:
    """The host as a URL on this machine has it: in brackets if it is IPv6, and never "any address"."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return f"[{host.replace('%', '%25')}]" if ":" in host else host


def _say(text: str) -> bool:
    """Print to stdout at once; False if nobody reads it, which is no reason to stop a server."""
    try:
        output.say(text)
    except output.GoneError:
        return False
    return True


def _fail(message: str, status: int) -> int:
    with suppress(OSError, ValueError):
        print(f"{PROG}: {one_line(message)}", file=sys.stderr, flush=True)
    return status
