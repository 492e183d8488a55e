"""Tokens: which admit whom, and that no other admits anybody."""

import base64
import hashlib
import hmac
import json
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from cidadao_rt.words.tokens import BadToken, Keyring, Principal, mint, verify

SECRET = "the secret of Cidadão.AI, of 64 bytes or more, so that HS512 takes it too"
OTHER = "the secret of Supabase, of 64 bytes or more, so that HS512 takes it as well"
KEYS = Keyring((SECRET,))
NOW = 1_705_314_600.0
EXP = int(NOW) + 600
GOOD: dict[str, Any] = {"sub": "ana", "exp": EXP}

INVALID = "Invalid token"
EXPIRED = "Token expired"
REQUIRED = "Authentication required"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(payload: str | bytes, header: str = '{"alg":"HS256","typ":"JWT"}', key: str = SECRET) -> str:
    """A token of any bytes, signed correctly with HS256: what no JWT library would write."""
    text = payload.encode() if isinstance(payload, str) else payload
    signed = f"{b64(header.encode())}.{b64(text)}"
    return f"{signed}.{b64(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())}"


def token(key: str = SECRET, /, **claims: Any) -> str:
    """A correctly signed token; a claim given as `...` is left out."""
    return forge(json.dumps({k: v for k, v in {**GOOD, **claims}.items() if v is not ...}), key=key)


def refused(text: str | None, keys: Keyring = KEYS, now: float = NOW) -> str:
    """The close reason with which a token is refused."""
    with pytest.raises(BadToken) as raised:
        verify(text, keys, now)
    assert str(raised.value) == raised.value.reason
    return raised.value.reason


# -- good ones -------------------------------------------------------------------------------------------------------


def test_a_good_token_says_who_and_until_when() -> None:
    """`exp` and `sub` are all that a token needs."""
    assert verify(token(), KEYS, NOW) == Principal("ana", float(EXP))


def test_a_token_of_another_library_is_read() -> None:
    """What PyJWT signs for Cidadão.AI's own backend, extra claims and all, is understood."""
    text = jwt.encode({**GOOD, "email": "ana@example.org", "iat": int(NOW), "type": "access"}, SECRET)
    assert verify(text, KEYS, NOW).sub == "ana"


def test_a_second_secret_is_tried() -> None:
    """Cidadão.AI's and Supabase's tokens are valid side by side, whichever secret stands first."""
    for secrets in ((SECRET, OTHER), (OTHER, SECRET)):
        for key in secrets:
            assert verify(token(key), Keyring(secrets), NOW).sub == "ana"


def test_every_secret_is_held_to_the_same_rules() -> None:
    """A second secret is no back door: an expired token and a claim too few are refused under it as well."""
    keys = Keyring((SECRET, OTHER))
    assert refused(token(OTHER, exp=int(NOW))) == INVALID
    assert refused(token(OTHER, exp=int(NOW)), keys) == EXPIRED
    assert refused(token(OTHER, sub=...), keys) == INVALID


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_configuration_allows_the_algorithms(algorithm: str) -> None:
    """A token is good under an algorithm that is allowed, and under no other, whatever it says of itself."""
    text = jwt.encode(GOOD, SECRET, algorithm=algorithm)
    assert verify(text, Keyring((SECRET,), (algorithm,)), NOW).sub == "ana"
    others = tuple({"HS256", "HS384", "HS512"} - {algorithm})
    assert refused(text, Keyring((SECRET,), others)) == INVALID


def test_a_token_is_not_changed_by_being_shown_later() -> None:
    """The same token gives the same principal for as long as it lives: the time is only compared."""
    assert verify(token(), KEYS, NOW) == verify(token(), KEYS, EXP - 0.001)


# -- bad ones: what is no token of ours ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, ""])
def test_without_a_token_authentication_is_required(text: str | None) -> None:
    """The document's 1008 "Authentication required" is for those who bring nothing, and for them alone."""
    assert refused(text) == REQUIRED


@pytest.mark.parametrize(
    "text",
    [
        " ", ".", "..", "...", "a.b.c", "not a token", "null", "undefined", "é.é.é", "\x00", "\ud800.\ud800.\ud800",
        "e30.e30.", "e30.e30.e30", "eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9..", "=.=.=", "a" * 100_000,
        "." * 10_000,
    ],
    ids=lambda text: ascii(text)[:24],
)  # fmt: skip
def test_garbage_is_invalid(text: str) -> None:
    """Whatever stands in `?token=`, even text that cannot be encoded, is answered and never crashes."""
    assert refused(text) == INVALID


@settings(deadline=None)
@given(st.text(min_size=1) | st.lists(st.binary().map(b64), min_size=2, max_size=4).map(".".join))
def test_random_text_admits_nobody(text: str) -> None:
    """No text that was not signed gets in, and refusing it raises nothing but `BadToken`."""
    assert refused(text) == INVALID


@pytest.mark.parametrize(
    "payload",
    [
        "[]", "null", "1", '"sub"', "", "{", '{"sub":"ana"', b"\xff", b'{"sub":"\xff","exp":9999999999}',
        '{"a":' * 100_000, '{"sub":"ana","exp":9999999999,"x":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"sub":"ana","exp":' + "9" * 5000 + "}",
    ],
    ids=lambda payload: ascii(payload)[:24],
)  # fmt: skip
def test_a_signed_payload_that_is_no_claims_is_invalid(payload: str | bytes) -> None:
    """A payload made to break a parser, even signed with our secret, is refused like any other."""
    assert refused(forge(payload)) == INVALID


@pytest.mark.parametrize(
    "header",
    [
        "[]", "null", "{", "{}", '{"typ":"JWT"}', '{"alg":null}', '{"alg":1}', '{"alg":true}', '{"alg":[]}',
        '{"alg":{}}', '{"alg":""}', '{"alg":["HS256"]}', '{"alg":"hs256"}', '{"alg":"HS256","kid":5}',
        '{"alg":"HS256","crit":["x"],"x":1}', '{"alg":"HS256","crit":["b64"],"b64":false}',
        '{"alg":' * 5000 + "1" + "}" * 5000, "[" * 100_000,
    ],
    ids=lambda header: header[:24],
)  # fmt: skip
def test_a_header_that_is_no_header_is_invalid(header: str) -> None:
    """The header is read before anything is known to be signed, so it may say anything at all."""
    assert refused(forge(json.dumps(GOOD), header)) == INVALID


def test_a_changed_token_is_invalid() -> None:
    """A signature holds for its payload alone: claims put under another token's signature are refused."""
    head, _, signature = token().split(".")
    assert refused(f"{head}.{b64(json.dumps({**GOOD, 'sub': 'eva'}).encode())}.{signature}") == INVALID
    assert refused(token()[:-4]) == INVALID
    assert refused(token().rpartition(".")[0] + ".") == INVALID


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_an_unsigned_token_is_invalid(alg: str) -> None:
    """`alg: none` is on no allow-list, in whatever case and with whatever signature."""
    header = json.dumps({"alg": alg})
    unsigned = f"{b64(header.encode())}.{b64(json.dumps(GOOD).encode())}."
    assert refused(unsigned) == INVALID
    assert refused(unsigned, Keyring((SECRET,), ("HS256", "HS384", "HS512"))) == INVALID
    assert refused(forge(json.dumps(GOOD), header)) == INVALID


def test_another_key_is_invalid() -> None:
    """A token of somebody else's secret is refused, also where there is no secret to compare it with."""
    assert refused(token(OTHER)) == INVALID
    assert refused(token(OTHER), Keyring((SECRET, SECRET[::-1]))) == INVALID
    assert refused(token(), Keyring(())) == INVALID


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_key_confusion_admits_nobody() -> None:
    """An RSA public key, which everybody has, opens nothing: not as an HS256 secret, and RS256 is not allowed."""
    pem = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    confused = token(pem)
    both = ("HS256", "RS256")
    for keys in (KEYS, Keyring((SECRET,), both), Keyring((pem,)), Keyring((pem,), both), Keyring((pem, SECRET), both)):
        assert refused(confused, keys) == INVALID
    assert refused(jwt.encode(GOOD, rsa_key(), algorithm="RS256")) == INVALID
    assert refused(jwt.encode(GOOD, rsa_key(), algorithm="RS256"), Keyring((SECRET,), both)) == INVALID


# -- bad ones: claims ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leeway", [0.0, 0.5, 30.0])
def test_a_token_ends_exactly_at_its_exp(leeway: float) -> None:
    """It is good until just before `exp` (plus the leeway), and expired from that moment on."""
    keys = Keyring((SECRET,), leeway=leeway)
    end = EXP + leeway
    assert verify(token(), keys, end - 0.001).expires_at == end
    assert refused(token(), keys, end) == EXPIRED
    assert refused(token(), keys, end + 1e9) == EXPIRED


@pytest.mark.parametrize("exp", ["0", "-5", "-1e10", "1.5"])
def test_an_exp_long_past_is_expired(exp: str) -> None:
    """Zero, negative and fractional times are times like others."""
    assert refused(forge(f'{{"sub":"ana","exp":{exp}}}')) == EXPIRED


def test_an_exp_may_be_fractional() -> None:
    """RFC 7519 allows a NumericDate with a fraction, and it counts."""
    text = token(exp=EXP + 0.5)
    assert verify(text, KEYS, EXP + 0.25).expires_at == EXP + 0.5
    assert refused(text, KEYS, EXP + 0.5) == EXPIRED


@pytest.mark.parametrize(
    "exp",
    [
        "null", f'"{EXP}"', '""', "true", "false", "[]", f"[{EXP}]", "{}", "NaN", "Infinity", "-Infinity", "1e999",
        "1e11", "-1e11", f"{EXP}000", "9" * 400,
    ],
    ids=lambda exp: exp[:16],
)  # fmt: skip
def test_an_exp_that_is_no_time_is_invalid(exp: str) -> None:
    """Strings, booleans, not-a-number and the far future (milliseconds, too) never count as a time."""
    assert refused(forge(f'{{"sub":"ana","exp":{exp}}}')) == INVALID


@pytest.mark.parametrize("claim", ["exp", "sub"])
def test_exp_and_sub_are_required(claim: str) -> None:
    """A token that never ends, or that is nobody's, is refused however well it is signed."""
    assert refused(token(**{claim: ...})) == INVALID
    assert refused(token(**{claim: None})) == INVALID


@pytest.mark.parametrize("sub", ["", "a" * 257, 5, 0, True, 1.5, ["ana"], {"ana": 1}], ids=lambda sub: ascii(sub)[:16])
def test_a_sub_that_is_no_name_is_invalid(sub: object) -> None:
    """`sub` is a string of 1 to 256 characters; a number is not silently turned into one."""
    assert refused(token(sub=sub)) == INVALID


@pytest.mark.parametrize("sub", ["a", "a" * 256, "é" * 256, "😀" * 256, " ", "0"], ids=lambda sub: ascii(sub)[:16])
def test_a_sub_is_measured_in_characters(sub: str) -> None:
    """256 characters are allowed in any script, and a `sub` is taken as it stands."""
    assert verify(token(sub=sub), KEYS, NOW).sub == sub


def test_a_sub_that_no_message_can_carry_is_invalid() -> None:
    """Half of a surrogate pair is no character: admitted, its user could never be written a welcome."""
    assert refused(forge(f'{{"sub":"ana\\ud800","exp":{EXP}}}')) == INVALID
    assert verify(forge(f'{{"sub":"\\ud83d\\ude00","exp":{EXP}}}'), KEYS, NOW).sub == "😀"


def test_a_refresh_token_is_invalid() -> None:
    """A refresh token, signed with the same secret, opens no connection; other types and none do."""
    assert refused(token(type="refresh")) == INVALID
    for type_ in ("access", "", None, 5, ["refresh"], ...):
        assert verify(token(type=type_), KEYS, NOW).sub == "ana"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.parametrize("leeway", [0.0, 30.0])
def test_a_token_of_the_future_is_not_good_yet(claim: str, leeway: float) -> None:
    """`nbf` and `iat` may lie ahead by a second and the leeway; beyond, the token is refused until they come."""
    keys = Keyring((SECRET,), leeway=leeway)
    ahead = NOW + leeway + 1
    assert verify(token(**{claim: ahead}), keys, NOW).sub == "ana"
    assert refused(token(**{claim: ahead + 0.01}), keys) == INVALID
    assert refused(token(**{claim: NOW + 500}), keys) == INVALID
    assert verify(token(**{claim: NOW + 500}), keys, NOW + 500).sub == "ana"
    assert verify(token(**{claim: 0}), keys, NOW).sub == "ana"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.parametrize("value", [None, "0", "", True, [], {}, 1e11, float("nan"), float("inf")])
def test_nbf_and_iat_that_are_no_times_are_invalid(claim: str, value: object) -> None:
    """The claims may be left out, but what stands there must be a time."""
    assert refused(token(**{claim: value})) == INVALID


def test_only_a_token_of_the_future_may_be_shown_again() -> None:
    """A refused token may be remembered as bad for ever, but not one that waiting makes good."""
    bad = [None, "garbage", token(OTHER), token(exp=int(NOW)), token(sub=5), token(exp="x"), token(nbf="x")]
    for text in bad:
        with pytest.raises(BadToken) as raised:
            verify(text, KEYS, NOW)
        assert raised.value.lasting
    for claim in ("nbf", "iat"):
        with pytest.raises(BadToken) as raised:
            verify(token(**{claim: NOW + 60}), KEYS, NOW)
        assert not raised.value.lasting


@pytest.mark.parametrize("aud", ["cidadao", ["cidadao"], ["other", "cidadao"]])
def test_an_audience_may_be_one_or_a_list(aud: object) -> None:
    """A token meant for us among others is meant for us."""
    assert verify(token(aud=aud), Keyring((SECRET,), audience="cidadao"), NOW).sub == "ana"


@pytest.mark.parametrize("aud", [..., None, "", "other", "cidadao2", "cid", [], ["other"], 5, {"cidadao": 1}, [["x"]]])
def test_another_audience_is_invalid_where_one_is_configured(aud: object) -> None:
    """A token meant for another service, or for nobody in particular, is refused; unconfigured, it is not looked at."""
    assert refused(token(aud=aud), Keyring((SECRET,), audience="cidadao")) == INVALID
    assert verify(token(aud=aud), KEYS, NOW).sub == "ana"


@pytest.mark.parametrize("iss", [..., None, "", "other", "cidadao2", "cid", ["cidadao"], 5])
def test_another_issuer_is_invalid_where_one_is_configured(iss: object) -> None:
    """Only the configured issuer's tokens are taken; unconfigured, it is not looked at."""
    assert refused(token(iss=iss), Keyring((SECRET,), issuer="cidadao")) == INVALID
    assert verify(token(iss=iss), KEYS, NOW).sub == "ana"
    assert verify(token(iss="cidadao"), Keyring((SECRET,), issuer="cidadao"), NOW).sub == "ana"


CLAIMS = ["exp", "sub", "nbf", "iat", "iss", "aud", "jti", "role", "roles", "investigations", "type"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(CLAIMS), json_values),
    st.sampled_from([KEYS, Keyring((OTHER, SECRET), issuer="i", audience="a", leeway=5.0)]),
)
def test_no_signed_claims_do_anything_but_admit_or_be_refused(claims: dict[str, Any], keys: Keyring) -> None:
    """Whatever a signer puts into the claims, the result is a well-formed principal or a `BadToken`."""
    try:
        principal = verify(forge(json.dumps({**GOOD, "iss": "i", "aud": "a", **claims})), keys, NOW)
    except BadToken:
        return
    assert isinstance(principal.sub, str)
    assert 1 <= len(principal.sub) <= 256
    assert NOW < principal.expires_at < 1e11 + 6
    assert all(isinstance(name, str) for name in principal.roles | principal.investigations)


# -- grants ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({}, set()),
        ({"role": "analyst"}, {"analyst"}),
        ({"roles": ["analyst", "admin"]}, {"analyst", "admin"}),
        ({"role": "analyst", "roles": ["admin", "analyst"]}, {"analyst", "admin"}),
        ({"role": ["analyst"], "roles": "admin"}, {"analyst", "admin"}),
        ({"role": None, "roles": None}, set()),
        ({"role": 5, "roles": [1, None, True, ["admin"], {"admin": 1}, "x"]}, {"x"}),
        ({"role": {"admin": True}, "roles": {"admin": True}}, set()),
    ],
)
def test_roles_are_the_union_of_role_and_roles(claims: dict[str, Any], roles: set[str]) -> None:
    """Both spellings count, as one or as a list; what is no string is no role."""
    assert verify(token(**claims), KEYS, NOW).roles == roles


@pytest.mark.parametrize(
    ("claim", "shared"),
    [
        (["i1", "i2"], {"i1", "i2"}),
        ("i1", {"i1"}),
        ([], set()),
        (None, set()),
        (5, set()),
        (True, set()),
        ({"i1": True}, set()),
        ([1, None, ["i1"], "i2"], {"i2"}),
    ],
)
def test_the_investigations_shared_with_a_user(claim: object, shared: set[str]) -> None:
    """The claim `investigations` is a list of ids, or one; anything else grants nothing and refuses nothing."""
    assert verify(token(investigations=claim), KEYS, NOW).investigations == shared


@pytest.mark.parametrize(
    ("claims", "sees", "changes"),
    [
        ({}, False, False),
        ({"sub": "bia"}, True, True),
        ({"investigations": ["i1"]}, True, False),
        ({"investigations": ["i2"]}, False, False),
        ({"role": "admin"}, True, True),
        ({"roles": ["x", "service"]}, True, True),
        ({"role": "Admin"}, False, False),
        ({"role": "administrator"}, False, False),
    ],
)
def test_who_may_see_and_who_may_change(claims: dict[str, Any], sees: bool, changes: bool) -> None:
    """Of bia's investigation i1: she, admin and service see and stop it; who was shown it sees it; others neither."""
    principal = verify(token(**claims), KEYS, NOW)
    assert principal.may_see("i1", "bia") is sees
    assert principal.may_change("bia") is changes


# -- minting ---------------------------------------------------------------------------------------------------------


def test_a_minted_token_comes_back_as_it_went() -> None:
    """Everything given to `mint` is what `verify` reads, under the configured issuer and audience."""
    text = mint(
        SECRET,
        sub="ana",
        issued_at=NOW,
        ttl=600,
        roles=("analyst", "service"),
        investigations=("i1",),
        algorithm="HS512",
        issuer="cidadao",
        audience="rt",
    )
    keys = Keyring((OTHER, SECRET), ("HS512",), "cidadao", "rt")
    assert verify(text, keys, NOW) == Principal("ana", NOW + 600, frozenset({"analyst", "service"}), frozenset({"i1"}))
    assert refused(text) == INVALID


def test_a_minted_token_says_no_more_than_it_was_given() -> None:
    """Without roles, investigations, issuer and audience the claims are absent; it is an access token."""
    text = mint(SECRET, sub="ana", issued_at=NOW, ttl=60)
    assert jwt.decode(text, options={"verify_signature": False}) == {
        "sub": "ana",
        "iat": int(NOW),
        "exp": int(NOW) + 60,
        "type": "access",
    }
    assert refused(text, Keyring((SECRET,), issuer="cidadao")) == INVALID
    assert refused(text, Keyring((SECRET,), audience="rt")) == INVALID


@settings(deadline=None)
@given(
    st.floats(0, 4e9), st.floats(2, 1e6), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
)
def test_a_minted_token_is_good_at_once_and_no_longer_than_asked(issued_at: float, ttl: float, sub: str) -> None:
    """It is good from the moment it is minted for its whole time to live, to the second, and never beyond."""
    text = mint(SECRET, sub=sub, issued_at=issued_at, ttl=ttl)
    principal = verify(text, KEYS, issued_at)
    assert principal.sub == sub
    assert issued_at + ttl - 1 < principal.expires_at <= issued_at + ttl
    assert refused(text, now=issued_at + ttl) == EXPIRED
