"""The handshake's text, read by a client that is not ours."""

import pytest
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from cidadao_rt.words import handshake


def test_a_client_accepts_what_we_switch_with() -> None:
    client = ClientProtocol(parse_uri("ws://gateway/ws"))
    request = client.connect()
    client.send_request(request)
    client.receive_data(handshake.switch(request.headers["Sec-WebSocket-Key"]))
    assert client.handshake_exc is None
    assert client.state is State.OPEN


def test_extensions_are_named_only_where_agreed_on() -> None:
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in handshake.switch(key)
    assert b"Extensions" not in handshake.switch(key)
    assert b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" in handshake.switch(key, "permessage-deflate")


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("dGhlIHNhbXBsZSBub25jZQ==", True), ("", False), ("dGhlIHNhbXBsZQ==", False), ("não é base64", False),
        ("dGhlIHNhbXBsZSBub25jZQ", False), ("\ud800", False),
    ],
)  # fmt: skip
def test_a_key_is_sixteen_bytes(key: str, good: bool) -> None:
    assert handshake.is_key(key) is good


@pytest.mark.parametrize(
    ("header", "there"),
    [("Upgrade", True), ("keep-alive, UPGRADE", True), ("", False), ("upgraded", False), ("keep-alive", False)],
)
def test_a_token_in_a_header(header: str, there: bool) -> None:
    assert handshake.has_token(header, "upgrade") is there
