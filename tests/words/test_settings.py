"""The merging of file, environment and command line: who wins, what each source may look like, what errors say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidadao_rt.words.config import Config
from cidadao_rt.words.settings import KEYS, ConfigError, Settings, describe, merge

ONE, TWO, THREE = "1" * 32, "2" * 32, "3" * 32


def refused(**sources: Any) -> str:
    """The error these sources end in; always one line of printable characters."""
    with pytest.raises(ConfigError) as raised:
        merge(**sources)
    text = str(raised.value)
    assert text.isprintable()
    assert raised.value.__cause__ is None
    return text


def value(settings: Settings, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(settings.config, section), name)


# Who wins


def test_without_sources_everything_is_at_its_default() -> None:
    settings = merge()
    assert settings.config == Config()
    assert set(settings.sources.values()) == {"default"}
    assert list(settings.sources) == list(KEYS)


def test_an_empty_file_changes_nothing() -> None:
    assert merge(b"").config == Config()


def test_the_later_source_wins_and_is_remembered() -> None:
    file = '[server]\nport = 1\n\n# a comment\nhost = "a"\nmode = "development"\n'
    environment = {"CIDADAO_RT_SERVER__PORT": "2", "CIDADAO_RT_SERVER__HOST": "b"}
    settings = merge(file, environment, ["server.port=3"])
    assert (value(settings, "server.port"), settings.sources["server.port"]) == (3, "command line")
    assert (value(settings, "server.host"), settings.sources["server.host"]) == (
        "b",
        "environment CIDADAO_RT_SERVER__HOST",
    )
    assert (value(settings, "server.mode"), settings.sources["server.mode"]) == ("development", "config.toml line 6")
    assert settings.sources["server.tls_key"] == "default"


def test_the_last_of_two_arguments_wins() -> None:
    assert merge(arguments=["server.port=1", "server.port=2"]).config.server.port == 2


def test_a_value_that_is_overridden_is_not_looked_at() -> None:
    settings = merge('[broker]\nurl = "redis://x"', {"REDIS_URL": "redis://y"}, ["broker.url=memory://"])
    assert settings.config.broker.url == "memory://"


# The file


@pytest.mark.parametrize(
    "file",
    [
        "[server]\nport = 9",
        "[ server ] # comment\r\n  port=9\r\n",
        b"\xef\xbb\xbf[server]\nport = 9",
        "\nserver.port = 9",
        "# x = 1\nserver . port = 9",
    ],
)
def test_a_key_of_the_file_is_remembered_with_its_line(file: str | bytes) -> None:
    settings = merge(file, file_name="etc/x.toml")
    assert settings.config.server.port == 9
    assert settings.sources["server.port"] == "etc/x.toml line 2"


def test_a_key_whose_line_is_not_found_is_remembered_with_the_file() -> None:
    assert merge("server = {port = 9}").sources["server.port"] == "config.toml"


def test_whole_numbers_may_stand_for_seconds() -> None:
    seconds = merge("[server]\ndrain_seconds = 3").config.server.drain_seconds
    assert (seconds, type(seconds)) == (3.0, float)


@pytest.mark.parametrize(
    ("file", "error"),
    [
        ("port = 1", "port (config.toml line 1): unknown section or key; did you mean server.port?"),
        ("[sever]\nport = 1", "sever (config.toml line 1): unknown section or key; did you mean [server]?"),
        ("[server]\nprot = 1", "server.prot (config.toml line 2): unknown key; did you mean server.port?"),
        ("[server]\nissuer = 1", "server.issuer (config.toml line 2): unknown key; did you mean auth.issuer?"),
        ("[server]\nzzz = 1", "server.zzz (config.toml line 2): unknown key"),
        ('"a\\nb" = 1', "a\\nb (config.toml): unknown section or key"),
        ("server = 1", "server (config.toml line 1): must be a section: [server]"),
        ("[[server]]\nport = 1", "server (config.toml): must be a section: [server]"),
        ("[server.port]\nx = 1", "server.port (config.toml): must be a whole number from 0 to 65535"),
        ('[server]\nport = "1"', "server.port (config.toml line 2): must be a whole number from 0 to 65535"),
        ("[server]\nhost = 1", "server.host (config.toml line 2): must be a string"),
        ("[server]\nhost = 2020-01-01", "server.host (config.toml line 2): must be a string"),
        ('[server]\nhost = "a\\u0000"', "server.host (config.toml line 2): must not hold control characters"),
        (
            "[server]\ndrain_seconds = nan",
            "server.drain_seconds (config.toml line 2): must be a number of at least 0 and at most 1000000000",
        ),
        (
            f"[agents]\nspeed = {'9' * 400}",
            "agents.speed (config.toml line 2): must be a number above 0 and at most 1000000",
        ),
        (
            '[auth]\nissuer = ""\njwt_secrets = "x"',
            "auth.jwt_secrets (config.toml line 3):"
            " must be a list of strings (as text: a JSON array, or separated by commas)",
        ),
        ('[log]\nlevel = "INFO"', 'log.level (config.toml line 2): must be one of "debug", "error", "info", "warning"'),
        ("[server]\nport = x", "config.toml: is not TOML: Invalid value (at line 2, column 8)"),
        (b"[server]\nhost = '\xff'", "config.toml: is not UTF-8"),
        ("a = " + "[" * 5000, "config.toml: is not TOML to be read: a number too long, or nested too deep"),
        ("a = " + "9" * 5000, "config.toml: is not TOML to be read: a number too long, or nested too deep"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(file: str | bytes, error: str) -> None:
    assert refused(file=file) == error


def test_a_long_name_is_cut() -> None:
    assert len(refused(file=f"{'a' * 5000} = 1")) < 500


# The environment


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("server.port", "0", 0),
        ("agents.seed", "-7", -7),
        ("agents.speed", "2", 2.0),
        ("agents.speed", "2.5e1", 25.0),
        ("server.tls_cert", "", ""),
        ("log.format", "json", "json"),
        ("server.trusted_proxies", "", ()),
        ("server.trusted_proxies", "10.0.0.1, ::1,", ("10.0.0.1", "::1")),
        ("server.trusted_proxies", ' ["10.0.0.1"]', ("10.0.0.1",)),
        ("auth.jwt_secrets", f'["{ONE[1:]},"]', (f"{ONE[1:]},",)),
    ],
)
def test_text_is_read_as_the_type_of_its_key(key: str, text: str, expected: Any) -> None:
    variable = f"CIDADAO_RT_{key.upper().replace('.', '__')}"
    for settings, source in (
        (merge(environment={variable: text}), f"environment {variable}"),
        (merge(arguments=[f"{key}={text}"]), "command line"),
    ):
        assert value(settings, key) == expected
        assert type(value(settings, key)) is type(expected)
        assert settings.sources[key] == source


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("server.port", ""),
        ("server.port", " 80"),
        ("server.port", "8_0"),
        ("server.port", "80.0"),
        ("server.port", "٨٠"),
        ("server.port", "true"),
        ("server.port", "65536"),
        ("limits.max_connections", "9" * 5000),
        ("agents.speed", "inf"),
        ("agents.speed", "nan"),
        ("agents.speed", "1e999"),
        ("agents.speed", "1,5"),
        ("agents.speed", "0"),
        ("server.mode", "prod"),
        ("auth.jwt_secrets", "[1]"),
        ("auth.jwt_secrets", "[oops"),
        ("auth.jwt_secrets", "[" * 5000),
        ("auth.issuer", "a\x1bb"),
        ("auth.issuer", "\udcff"),
        ("auth.jwt_secrets", "\udcff" * 32),
    ],
)
def test_text_of_another_type_is_refused(key: str, text: str) -> None:
    variable = f"CIDADAO_RT_{key.upper().replace('.', '__')}"
    assert refused(environment={variable: text}).startswith(f"{key} (environment {variable}): ")
    assert refused(arguments=[f"{key}={text}"]).startswith(f"{key} (command line): ")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (
            "CIDADAO_RT_SERVER__PROT",
            "CIDADAO_RT_SERVER__PROT (environment): unknown key; did you mean CIDADAO_RT_SERVER__PORT?",
        ),
        ("CIDADAO_RT_PORT", "CIDADAO_RT_PORT (environment): unknown key; did you mean CIDADAO_RT_SERVER__PORT?"),
        (
            "CIDADAO_RT_SERVER_PORT",
            "CIDADAO_RT_SERVER_PORT (environment): unknown key; did you mean CIDADAO_RT_SERVER__PORT?",
        ),
        ("CIDADAO_RT_", "CIDADAO_RT_ (environment): unknown key"),
        (
            "CIDADAO_RT_Server__Port",
            "CIDADAO_RT_Server__Port (environment): unknown key; did you mean CIDADAO_RT_SERVER__PORT?",
        ),
    ],
)
def test_an_unknown_variable_of_ours_is_refused(name: str, error: str) -> None:
    assert refused(environment={name: ONE}) == error


def test_variables_of_others_are_left_alone() -> None:
    environment = {"PATH": "/bin", "CIDADAO_RT": "x", "cidadao_rt_server__port": "1"}
    # Those of other commands: docs/tools.md has the token exported in the shell that then starts a server.
    environment |= {"CIDADAO_RT_CONFIG": "a.toml", "CIDADAO_RT_TOKEN": "a.b.c"}
    assert merge(environment=environment).config == Config()


def test_what_kubernetes_says_of_a_service_of_our_name_is_left_alone() -> None:
    said = {
        "CIDADAO_RT_SERVICE_HOST": "10.0.0.1",
        "CIDADAO_RT_SERVICE_PORT": "8080",
        "CIDADAO_RT_SERVICE_PORT_HTTP": "8080",
        "CIDADAO_RT_PORT": "tcp://10.0.0.1:8080",
        "CIDADAO_RT_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "CIDADAO_RT_PORT_8080_TCP_ADDR": "10.0.0.1",
    }
    assert merge(environment=said | {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).config == Config()
    for name, text in said.items():
        refused(environment={name: text})


@pytest.mark.parametrize(
    ("name", "text", "key", "expected"),
    [
        ("HOST", "::1", "server.host", "::1"),
        ("PORT", "9", "server.port", 9),
        ("ALLOWED_ORIGINS", "https://a.example,*", "auth.allowed_origins", ("https://a.example", "*")),
        ("LOG_LEVEL", "WARNING", "log.level", "warning"),
        ("LOG_FORMAT", "json", "log.format", "json"),
        ("METRICS_PATH", "/m", "metrics.path", "/m"),
        ("GRACEFUL_TIMEOUT", "30", "server.drain_seconds", 30.0),
        ("REDIS_URL", "memory://", "broker.url", "memory://"),
        ("APP_ENV", "development", "server.mode", "development"),
        ("APP_ENV", "testing", "server.mode", "development"),
        ("APP_ENV", "local", "server.mode", "development"),
        ("APP_ENV", "Dev", "server.mode", "development"),
        ("APP_ENV", "production", "server.mode", "production"),
        ("APP_ENV", "staging", "server.mode", "production"),
    ],
)
def test_an_alias_sets_its_key(name: str, text: str, key: str, expected: Any) -> None:
    settings = merge(environment={name: text})
    assert value(settings, key) == expected
    assert settings.sources[key] == f"environment {name}"


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        (
            "APP_ENV",
            "prod",
            'server.mode (environment APP_ENV): must be one of "development", "production"',
        ),
        ("PORT", "http", "server.port (environment PORT): must be a whole number from 0 to 65535"),
        (
            "REDIS_URL",
            "redis://u:p@h",
            'broker.url (environment REDIS_URL): is not available in this version: only "memory://" is',
        ),
        (
            "LOG_LEVEL",
            "LOUD",
            'log.level (environment LOG_LEVEL): must be one of "debug", "error", "info", "warning"',
        ),
    ],
)
def test_an_alias_that_is_wrong_is_named(name: str, text: str, error: str) -> None:
    assert refused(environment={name: text}) == error


def test_an_empty_alias_is_not_set() -> None:
    names = (
        "HOST PORT ALLOWED_ORIGINS LOG_LEVEL LOG_FORMAT METRICS_PATH GRACEFUL_TIMEOUT REDIS_URL APP_ENV"
        " JWT_SECRET_KEY SUPABASE_JWT_SECRET"
    )
    settings = merge('[server]\nhost = "a"', dict.fromkeys(names.split(), ""))
    assert settings == merge('[server]\nhost = "a"')


def test_our_own_variable_wins_over_an_alias_and_an_alias_over_the_file() -> None:
    file = "[server]\nport = 1\ndrain_seconds = 1"
    settings = merge(file, {"PORT": "2", "GRACEFUL_TIMEOUT": "2", "CIDADAO_RT_SERVER__PORT": "3"})
    assert (settings.config.server.port, settings.config.server.drain_seconds) == (3, 2.0)


# Secrets


def test_each_secret_alias_adds_to_the_secrets_of_the_file() -> None:
    settings = merge(f'[auth]\njwt_secrets = ["{ONE}"]', {"SUPABASE_JWT_SECRET": THREE, "JWT_SECRET_KEY": TWO})
    assert settings.config.auth.jwt_secrets == (ONE, TWO, THREE)
    assert (
        settings.sources["auth.jwt_secrets"]
        == "config.toml line 2, environment JWT_SECRET_KEY, environment SUPABASE_JWT_SECRET"
    )


def test_a_secret_alias_is_taken_as_it_is() -> None:
    secret = f"[{ONE}, "
    assert merge(environment={"JWT_SECRET_KEY": secret}).config.auth.jwt_secrets == (secret,)


def test_a_secret_that_is_given_twice_counts_once_and_an_empty_list_is_no_source() -> None:
    settings = merge("[auth]\njwt_secrets = []", {"SUPABASE_JWT_SECRET": ONE, "JWT_SECRET_KEY": ONE})
    assert settings.config.auth.jwt_secrets == (ONE,)
    assert settings.sources["auth.jwt_secrets"] == "environment JWT_SECRET_KEY"


def test_our_own_variable_and_the_command_line_replace_the_secrets_of_all_others() -> None:
    environment = {"JWT_SECRET_KEY": TWO, "CIDADAO_RT_AUTH__JWT_SECRETS": f"{THREE},{ONE}"}
    settings = merge(f'[auth]\njwt_secrets = ["{ONE}"]', environment)
    assert settings.config.auth.jwt_secrets == (THREE, ONE)
    assert settings.sources["auth.jwt_secrets"] == "environment CIDADAO_RT_AUTH__JWT_SECRETS"

    settings = merge(None, environment, ["auth.jwt_secrets="])
    assert settings.config.auth.jwt_secrets == ()
    assert settings.sources["auth.jwt_secrets"] == "command line"


def test_a_short_secret_is_refused_with_the_source_that_gave_it() -> None:
    file = f'[auth]\njwt_secrets = ["{ONE}"]'
    text = "must be at least 32 bytes long each for these algorithms"
    assert (
        refused(file=file, environment={"JWT_SECRET_KEY": TWO, "SUPABASE_JWT_SECRET": "short"})
        == f"auth.jwt_secrets (environment SUPABASE_JWT_SECRET): {text}"
    )
    assert refused(file='[auth]\njwt_secrets = ["short"]') == f"auth.jwt_secrets (config.toml line 2): {text}"


CANARY = "hunter2-hunter2"


@given(
    key=st.sampled_from([*KEYS, "auth.jwt_secret", "jwt_secrets", "x.y"]),
    form=st.sampled_from(["%s", "[%s", '["%s"]', '["%s", 1]', "1%s", "redis://u:%s@h", "\x00%s"]),
    source=st.sampled_from(["file", "environment", "arguments"]),
)
def test_no_error_ever_shows_a_value(key: str, form: str, source: str) -> None:
    form %= CANARY
    quoted = form.replace("\x00", "\\u0000").replace('"', '\\"')
    by_source: dict[str, dict[str, Any]] = {
        "file": {"file": f'{key} = "{quoted}"'},
        "environment": {"environment": {f"CIDADAO_RT_{key.upper().replace('.', '__')}": form}},
        "arguments": {"arguments": [f"{key}={form}"]},
    }
    error = None
    try:
        merge(**by_source[source])
    except ConfigError as raised:
        error = raised
    assert CANARY not in str(error)
    assert str(error).isprintable()


# The command line


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("server.prot=1", "server.prot (command line): unknown key; did you mean server.port?"),
        ("jwt_secrets=x", "jwt_secrets (command line): unknown section or key; did you mean auth.jwt_secrets?"),
        ("=", " (command line): unknown section or key"),
        ("server.port", "a setting on the command line must be section.key=value"),
    ],
)
def test_an_argument_that_sets_nothing_is_refused(argument: str, error: str) -> None:
    assert refused(arguments=[argument]) == error


def test_a_value_on_the_command_line_may_hold_an_equals_sign() -> None:
    assert merge(arguments=["auth.issuer=a=b"]).config.auth.issuer == "a=b"


# What is in force


def test_each_key_is_described_with_its_value_and_source() -> None:
    described = {one.key: one for one in describe(merge(arguments=["server.trusted_proxies=::1", "server.port=9"]))}
    assert list(described) == list(KEYS)
    assert (described["server.port"].value, described["server.port"].source) == (9, "command line")
    assert described["server.trusted_proxies"].value == ["::1"]
    assert (described["log.level"].value, described["log.level"].source) == ("info", "default")


def test_secrets_are_described_as_set_and_no_more() -> None:
    empty = {one.key: one.value for one in describe(merge())}
    assert (empty["auth.jwt_secrets"], empty["metrics.bearer_token"], empty["broker.url"]) == ([], "", "memory://")
    environment = {"JWT_SECRET_KEY": ONE, "SUPABASE_JWT_SECRET": TWO}
    settings = merge(environment=environment, arguments=["metrics.bearer_token=x"])
    described = {one.key: one.value for one in describe(settings)}
    assert (described["auth.jwt_secrets"], described["metrics.bearer_token"]) == (["***", "***"], "***")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pa@ss/w@host:1/0", "redis://***@host:1/0"),
        ("redis://host?password=x@y", "redis://***@y"),
        ("redis://host/0?password=x", "redis://host/0?***"),
    ],
)
def test_credentials_in_a_url_are_masked(url: str, shown: str) -> None:
    merged = merge()
    config = Config(broker=type(merged.config.broker)(url=url))
    assert {one.key: one.value for one in describe(Settings(config, merged.sources))}["broker.url"] == shown
