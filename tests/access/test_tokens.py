"""Who is let in with which token: each way to be wrong ends in 401 before the upgrade."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from exec_testkit.door import knock
from exec_testkit.server import ServerProcess
from exec_testkit.wire import WireClient

pytestmark = [pytest.mark.process, pytest.mark.slow]

TOKEN = "cap-7f3a9d2e51b84c60"
SECRET = "shared-secret-that-is-long-enough-for-all-of-the-algorithms-of-hmac"


def bearer(token: str | bytes) -> bytes:
    data = token.encode() if isinstance(token, str) else token
    return b"Authorization: Bearer " + data


def private_file(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.touch(mode=0o600)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


@pytest.fixture(scope="module")
def capability(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    path = private_file(tmp_path_factory.mktemp("token"), "token", f"  {TOKEN}\n")
    with ServerProcess(
        "--log-level", "debug", "--ws-auth", "capability-token", "--ws-token-file", path
    ) as server:
        yield server


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    path = private_file(tmp_path_factory.mktemp("secret"), "secret", SECRET)
    with ServerProcess(
        *("--log-level", "debug", "--ws-auth", "signed-bearer-token"),
        *("--ws-shared-secret-file", path, "--ws-issuer", "issuer", "--ws-audience", "us"),
    ) as server:
        yield server


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that are accepted; ``None`` leaves one out."""
    now = int(time.time())
    good = {"exp": now + 600, "nbf": now - 600, "iss": "issuer", "aud": "us", **changes}
    return {name: value for name, value in good.items() if value is not None}


def token(key: Any = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm)


def by_hand(header: Mapping[str, Any], payload: object, secret: bytes = SECRET.encode()) -> str:
    """Sign what no library would."""

    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = payload if isinstance(payload, str) else json.dumps(payload)
    signed_part = f"{encode(json.dumps(header).encode())}.{encode(text.encode())}"
    return f"{signed_part}.{encode(hmac.digest(secret, signed_part.encode(), 'sha256'))}"


# --------------------------------------------------------------------------- capability tokens


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
def test_the_right_token_gets_in(capability: ServerProcess, scheme: bytes) -> None:
    header = b"Authorization: " + scheme + b" " + TOKEN.encode()
    assert knock(capability.url, header)[0] == 101
    assert knock(capability.url, header + b"   ")[0] == 101


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([], "no bearer token"),
        ([b"Authorization: Bearer"], "malformed"),
        ([b"Authorization: Bearer  "], "malformed"),
        ([b"Authorization:"], "malformed"),
        ([b"Authorization: " + TOKEN.encode()], "malformed"),
        ([b"Authorization: Bearer\t" + TOKEN.encode()], "malformed"),
        ([b"Authorization: Basic " + TOKEN.encode()], "malformed"),
        ([bearer("tökén")], "malformed"),
        ([bearer(b"\xff\xfe")], "malformed"),
        ([bearer(TOKEN + "\xa0")], "malformed"),
        ([bearer(TOKEN[:-1])], "wrong"),
        ([bearer(TOKEN + "x")], "wrong"),
        ([bearer(TOKEN.upper())], "wrong"),
        ([bearer(TOKEN[:8] + " " + TOKEN[8:])], "wrong"),
        ([bearer(hashlib.sha256(TOKEN.encode()).hexdigest())], "wrong"),
        ([bearer("x" * 8000)], "wrong"),
        ([bearer("x" * 10_000)], "malformed"),
        ([bearer("x" * 1_000_000)], "malformed"),
        ([b"authorization: x", bearer(TOKEN)], "malformed"),
        ([b"X-Authorization: Bearer " + TOKEN.encode()], "no bearer token"),
        ([b"Cookie: token=" + TOKEN.encode()], "no bearer token"),
        ([b"Sec-WebSocket-Protocol: " + TOKEN.encode()], "no bearer token"),
    ],
)
def test_any_other_is_refused(capability: ServerProcess, headers: list[bytes], body: str) -> None:
    status, text = knock(capability.url, *headers)
    assert (status, text.startswith(body)) == (401, True), text


def test_a_token_in_the_query_means_nothing(capability: ServerProcess) -> None:
    for name in (b"token", b"access_token", b"authorization"):
        line = b"GET /?" + name + b"=" + TOKEN.encode() + b" HTTP/1.1"
        assert knock(capability.url, request_line=line)[0] == 401


def test_a_digest_on_the_command_line_does_as_well() -> None:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest().upper()
    with ServerProcess("--ws-auth", "capability-token", "--ws-token-sha256", digest) as server:
        assert knock(server.url, bearer(TOKEN))[0] == 101
        assert knock(server.url, bearer(digest))[0] == 401


def test_the_checks_come_in_their_order(capability: ServerProcess) -> None:
    url, good, bad = capability.url, bearer(TOKEN), bearer("wrong")
    assert knock(url, b"Origin: http://evil.example", good)[0] == 403
    assert knock(url, b"Origin:", bad, request_line=b"GET /nothing HTTP/1.1")[0] == 403
    assert knock(url, bad, request_line=b"GET /nothing HTTP/1.1")[0] == 404
    assert knock(url, bad, request_line=b"POST / HTTP/1.1")[0] == 405
    assert knock(url, bad, upgrade=False)[0] in (400, 426)
    assert knock(url, bad)[0] == 401
    assert knock(url, upgrade=False, request_line=b"GET /readyz HTTP/1.1") == (200, "")


async def test_who_is_let_in_can_work(capability: ServerProcess) -> None:
    client = await WireClient.ready(capability.url, token=TOKEN)
    await client.start("p", ["echo", "fine"])
    assert (await client.finish("p"))[0]["stdout"] == b"fine\n"
    await client.close()


# --------------------------------------------------------------------------- signed tokens


@pytest.mark.parametrize(
    "make",
    [
        lambda: token(),
        lambda: token(nbf=None),
        lambda: token(aud=["them", "us"]),
        lambda: token(exp=int(time.time()) - 20),  # within the clock skew
        lambda: token(nbf=int(time.time()) + 20),
        lambda: token(iat="nonsense", sub=5, jti=[], custom={"a": 1}),
        lambda: by_hand({"alg": "HS256", "typ": "anything"}, claims()),
        lambda: by_hand({"alg": "HS256", "kid": "ignored"}, claims()),
    ],
)
def test_a_token_that_is_fine_gets_in(signed: ServerProcess, make: Callable[[], str]) -> None:
    assert knock(signed.url, bearer(make())) == (101, "")


NOW = int(time.time())


@pytest.mark.parametrize(
    ("make", "body"),
    [
        (lambda: token(exp=NOW - 60), "expired token"),
        (lambda: token(exp=-5), "expired token"),
        (lambda: token(nbf=int(time.time()) + 600), "token is not valid yet"),
        (lambda: token(iss="somebody"), "token of another issuer"),
        (lambda: token(iss=None), "token of another issuer"),
        (lambda: token(aud="them"), "token for another audience"),
        (lambda: token(aud=None), "token for another audience"),
        (lambda: token(aud=[]), "token for another audience"),
        (lambda: token(exp=NOW - 60, iss="somebody", aud="them"), "expired token"),
        (lambda: token(exp=None), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, claims(exp=NOW + 600.5)), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, claims(exp=str(NOW + 600))), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, claims(exp=True)), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, claims(exp=2**63)), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, {**claims(), "exp": None}), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, claims(nbf="soon")), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, claims(iss=["issuer"])), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, claims(aud={"us": 1})), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, claims(aud=["us", 5])), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, [claims()]), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, "not json"), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, "[" * 3000), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256", "crit": ["exp"]}, claims()), "invalid signed token"),
        (lambda: by_hand({"alg": "HS512"}, claims()), "invalid signed token"),
        (lambda: by_hand({"alg": "none"}, claims()), "invalid signed token"),
        (lambda: by_hand({}, claims()), "invalid signed token"),
        (lambda: by_hand({"alg": ["HS256"]}, claims()), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, claims(), b"x" * 40), "invalid signed token"),
        (lambda: by_hand({"alg": "HS256"}, claims(), b""), "invalid signed token"),
        (lambda: jwt.encode(claims(), "", algorithm="none"), "invalid signed token"),
        (lambda: token(algorithm="HS384"), "invalid signed token"),
        (lambda: token()[:-5], "invalid signed token"),
        (lambda: token()[:40], "invalid signed token"),
        (lambda: token().rpartition(".")[0], "invalid signed token"),
        (lambda: token().rpartition(".")[0] + ".", "invalid signed token"),
        (lambda: token() + ".x", "invalid signed token"),
        (lambda: "." + token(), "invalid signed token"),
        (lambda: "..", "invalid signed token"),
        (lambda: "x", "invalid signed token"),
        (lambda: "A" * 7000, "invalid signed token"),
        (lambda: SECRET, "invalid signed token"),
    ],
)
def test_a_token_that_is_not_fine_says_why_it_is_not(
    signed: ServerProcess, make: Callable[[], str], body: str
) -> None:
    assert knock(signed.url, bearer(make())) == (401, f"{body}\n")


def test_nothing_of_a_token_is_in_the_log(capability: ServerProcess, signed: ServerProcess) -> None:
    marks = []
    for server, sent in [
        (capability, TOKEN),
        (capability, "mark-wrong-capability"),
        (signed, token(sub="mark-in-claims")),
        (signed, token(sub="mark-in-claims", exp=1)),
        (signed, token("k" * 40, sub="mark-in-claims")),
    ]:
        knock(server.url, bearer(sent))
        line = b"GET /?token=mark-in-query HTTP/1.1"
        knock(server.url, bearer(sent), request_line=line)
        marks.append(sent)
    assert knock(signed.url, bearer("x"), upgrade=False)[0] in (400, 426)
    log = capability.log() + signed.log()
    assert "refused a connection: wrong bearer token" in log
    assert "refused a connection: expired token" in log
    for mark in (*marks, *(part for sent in marks for part in sent.split(".")), "mark-", SECRET):
        assert mark not in log


def test_all_ways_to_be_wrong_take_the_same_time(
    capability: ServerProcess, signed: ServerProcess
) -> None:
    good = token()
    for server, tokens in [
        (capability, ["x", TOKEN[:-1] + "x", "x" + TOKEN[1:], TOKEN + "x", "x" * 4000]),
        (signed, [good[:-2] + "xx", good[:-43] + "x" * 43, token("k" * 40)]),
    ]:
        taken: dict[str, list[float]] = {sent: [] for sent in tokens}
        for _ in range(60):  # in turn, so that whatever else the machine does hits all of them
            for sent in tokens:
                start = time.perf_counter()
                assert knock(server.url, bearer(sent))[0] == 401
                taken[sent].append(time.perf_counter() - start)
        medians = [statistics.median(times) for times in taken.values()]
        assert max(medians) < 2 * min(medians) + 0.001, medians


# --------------------------------------------------------------------------- keys


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    algorithm = {
        rsa.RSAPrivateKey: "RS256",
        ec.EllipticCurvePrivateKey: "ES256",
        ed25519.Ed25519PrivateKey: "EdDSA",
    }
    name = next(name for kind, name in algorithm.items() if isinstance(key, kind))
    document = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
    return {**document, **members}


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        (RSA_KEY, ["RS256", "RS512", "PS256"], []),
        (EC_KEY, ["ES256"], []),
        (ED_KEY, ["EdDSA"], []),
    ],
)
def test_a_public_key_accepts_what_its_private_key_signed(
    tmp_path: Path, key: Any, accepted: list[str], refused: list[str]
) -> None:
    pem = public_pem(key)
    path = private_file(tmp_path, "key.pem", pem)
    others = {RSA_KEY: "RS256", EC_KEY: "ES256", ED_KEY: "EdDSA"}
    other_of_its_kind = {
        RSA_KEY: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        EC_KEY: ec.generate_private_key(ec.SECP256R1()),
        ED_KEY: ed25519.Ed25519PrivateKey.generate(),
    }
    with ServerProcess("--ws-auth", "signed-bearer-token", "--ws-public-key-file", path) as server:
        for algorithm in accepted:
            assert knock(server.url, bearer(token(key, algorithm)))[0] == 101
        wrong = [
            # the public key, which everybody has, as the secret of an HMAC
            by_hand({"alg": "HS256"}, claims(), pem),
            by_hand({"alg": "HS256"}, claims(), pem.strip()),
            by_hand({"alg": accepted[0]}, claims(), pem),
            by_hand({"alg": "none"}, claims()),
            jwt.encode(claims(), "", algorithm="none"),
            token(other_of_its_kind[key], accepted[0]),
            token(),
            token(key, accepted[0], exp=1),
            *(token(other, name) for other, name in others.items() if other is not key),
            # a key that the token brings along
            by_hand({"alg": "HS256", "jwk": {"kty": "oct", "k": "YQ"}}, claims(), b"a"),
        ]
        for sent in wrong:
            assert knock(server.url, bearer(sent))[0] == 401, sent


def test_a_key_set_is_searched_by_id_and_each_key_keeps_to_its_algorithms(tmp_path: Path) -> None:
    keys = [
        jwk(RSA_KEY, kid="rsa", alg="RS256", use="sig"),
        jwk(EC_KEY, kid="ec"),
        jwk(ED_KEY, kid="ed", key_ops=["verify"]),
        {"kty": "oct", "k": "AAAA", "use": "enc"},
    ]
    path = private_file(tmp_path, "jwks.json", json.dumps({"keys": keys}))

    def sign(key: Any, algorithm: str, key_id: Any) -> str:
        headers = {} if key_id is None else {"kid": key_id}
        return jwt.encode(claims(), key, algorithm=algorithm, headers=headers)

    with ServerProcess("--ws-auth", "signed-bearer-token", "--ws-jwks-file", path) as server:
        for key, algorithm, key_id in [
            (RSA_KEY, "RS256", "rsa"),
            (EC_KEY, "ES256", "ec"),
            (ED_KEY, "EdDSA", "ed"),
        ]:
            assert knock(server.url, bearer(sign(key, algorithm, key_id)))[0] == 101
        for sent in [
            sign(RSA_KEY, "RS512", "rsa"),  # the set says RS256
            sign(RSA_KEY, "RS256", "ec"),
            sign(RSA_KEY, "RS256", "unknown"),
            sign(RSA_KEY, "RS256", None),
            sign(EC_KEY, "ES256", "EC"),
        ]:
            assert knock(server.url, bearer(sent))[0] == 401
        sent = by_hand({"alg": "RS256", "kid": 5}, claims())
        assert knock(server.url, bearer(sent))[0] == 401


# --------------------------------------------------------------------------- start and reload


def outcome(*arguments: str) -> str:
    with pytest.raises(RuntimeError, match="no URL") as caught:
        ServerProcess(*arguments)
    return str(caught.value)


def test_a_server_whose_secrets_cannot_be_used_does_not_start(tmp_path: Path) -> None:
    signed_with = ("--ws-auth", "signed-bearer-token")
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    odd = ec.generate_private_key(ec.SECP256K1())
    private = EC_KEY.private_bytes(Encoding.PEM, *_unencrypted_pkcs8())
    cases: list[tuple[str, str | bytes, str]] = [
        ("--ws-shared-secret-file", "x" * 31, "32 bytes or more"),
        ("--ws-shared-secret-file", public_pem(RSA_KEY), "a key in PEM"),
        ("--ws-public-key-file", "x" * 40, "not a public key in PEM"),
        ("--ws-public-key-file", private, "a private key"),
        ("--ws-public-key-file", public_pem(weak), "less than 2048 bits"),
        ("--ws-public-key-file", public_pem(odd), "use RSA, EC"),
        ("--ws-jwks-file", "{}", "no list of `keys`"),
        ("--ws-jwks-file", "nonsense", "not JSON"),
        ("--ws-jwks-file", '{"keys": []}', "no key for signatures"),
        ("--ws-jwks-file", '{"keys": [{"kty": "oct", "k": "AAAA"}]}', "neither RSA"),
        ("--ws-jwks-file", json.dumps({"keys": [jwk(EC_KEY), jwk(ED_KEY)]}), "all different"),
        ("--ws-jwks-file", json.dumps({"keys": [jwk(EC_KEY, d="AAAA")]}), "a private key"),
        ("--ws-jwks-file", json.dumps({"keys": [jwk(EC_KEY, alg="HS256")]}), "`alg`"),
        ("--ws-jwks-file", json.dumps({"keys": [jwk(EC_KEY, x="AA")]}), "makes no sense"),
    ]
    for option, content, text in cases:
        path = private_file(tmp_path, "file", content)
        assert text in outcome(*signed_with, option, path), (option, text)


def _unencrypted_pkcs8() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    return PrivateFormat.PKCS8, NoEncryption()


async def test_a_new_token_is_in_force_after_sighup_and_who_is_in_stays_in(tmp_path: Path) -> None:
    path = private_file(tmp_path, "token", "old-token")
    arguments = ("--ws-auth", "capability-token", "--ws-token-file", path, "--log-level", "info")
    with ServerProcess(*arguments) as server:
        client = await WireClient.ready(server.url, token="old-token")
        private_file(tmp_path, "token", "new-token")
        assert knock(server.url, bearer("old-token"))[0] == 101
        reload(server, "were read again")
        assert knock(server.url, bearer("new-token"))[0] == 101
        assert knock(server.url, bearer("old-token"))[0] == 401
        assert await client.call("environment/status") == {"status": "ready"}

        tmp_path.joinpath("token").unlink()
        reload(server, "not reloaded, what was loaded before stays in force")
        assert knock(server.url, bearer("new-token"))[0] == 101
        assert str(tmp_path) not in server.log()
        await client.close()


def reload(server: ServerProcess, line: str) -> None:
    """Send SIGHUP and wait for what it comes to."""
    before = server.log().count(line)
    server.signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while server.log().count(line) == before:
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.01)
