"""The vectors of others: RFC 7516, appendix A, typed in; Wycheproof and RFC 7520 where their files are at hand.

Of all of them only what is RSA-OAEP-256 with A256GCM, and names its key, may open.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import RSAKey

from app.security import base64url
from app.security.envelopes.cipher import open_, unwrap
from app.security.envelopes.compact import Envelope, read_envelope
from app.security.envelopes.errors import InvalidEnvelope
from tests.security.test_vectors import VECTORS

ENCRYPTION = VECTORS / "json_web_encryption_test.json"
OAEP = VECTORS / "rsa_oaep_2048_sha256_mgf1sha256_test.json"

WITHOUT_KID = 90
"""The one test of RSA-OAEP-256 with A256GCM: sound, but it does not name its key, which this service requires."""

A_1 = (
    "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ."
    "OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgckCL9kiMT03JGeipsEdY3mx_etLbbWSrFr05kLzcSr4qKAq7YN7e9jwQRb23nf"
    "a6c9d-StnImGyFDbSv04uVuxIp5Zms1gNxKKK2Da14B8S4rzVRltdYwam_lDp5XnZAYpQdb76FdIKLaVmqgfwX7XWRxv2322i-vDxRfqNzo_tETK"
    "zpVLzfiwQyeyPGLBIO56YJ7eObdv0je81860ppamavo35UgoRdbYaBcoh9QcfylQr66oc6vFWXRcZ_ZT2LawVCWTIy3brGPi6UklfCpIMfIjf7iG"
    "dXKHzg.48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6jiSdiwkIr3ajwQzaBtQD_A."
    "XFBoMYUZodetZdvTiFvSkQ"
)
A_2 = (
    "eyJhbGciOiJSU0ExXzUiLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0."
    "UGhIOguC7IuEvf_NPVaXsGMoLOmwvc1GyqlIKOK1nN94nHPoltGRhWhw7Zx0-kFm1NJn8LE9XShH59_i8J0PH5ZZyNfGy2xGdULU7sHNF6Gp2vPL"
    "gNZ__deLKxGHZ7PcHALUzoOegEI-8E66jX2E4zyJKx-YxzZIItRzC5hlRirb6Y5Cl_p-ko3YvkkysZIFNPccxRU7qve1WYPxqbb2Yw8kZqa2rMWI"
    "5ng8OtvzlV7elprCbuPhcCdZ6XDP0_F8rkXds2vE4X-ncOIM8hAYHHi29NX0mcKiRaD0-D-ljQTP-cFPgwCp6X-nZZd9OHBv-B3oWh2TbqmScqXM"
    "R4gp_A.AxY8DCtDaGlsbGljb3RoZQ.KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY.9hH0vgRfYgPnAHOd8stkvw"
)
A_3 = (
    "eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0."
    "6KB707dM9YTIgHtLvtgWQ8mKwboJW3of9locizkDTHzBC2IlrT1oOQ."
    "AxY8DCtDaGlsbGljb3RoZQ.KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY.U0m_YmjN04DJvceFICbCVQ"
)


@pytest.mark.parametrize("text", [A_1, A_2, A_3], ids=["A.1 RSA-OAEP", "A.2 RSA1_5", "A.3 A128KW"])
def test_the_examples_of_rfc_7516_are_by_other_algorithms_and_refused(text: str) -> None:
    with pytest.raises(InvalidEnvelope, match="other algorithms"):
        read_envelope(text.encode())


def load(path: Path) -> Any:
    if not path.exists():
        pytest.skip(f"the vectors are not at {path}: name their folder in TASK_EXECUTOR_TEST_VECTORS")
    return json.loads(path.read_text())


def private_key(jwk: dict[str, Any]) -> rsa.RSAPrivateKey | None:
    if jwk["kty"] != "RSA":
        return None
    numbers = {name: jwk[name] for name in ("kty", "n", "e", "d", "p", "q", "dp", "dq", "qi")}
    key = load_pem_private_key(RSAKey.import_key(numbers).as_pem(private=True), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def outcome(jwk: dict[str, Any], text: str) -> str:
    """Why it stays closed, or its plaintext in hexadecimal."""
    try:
        envelope = read_envelope(text.encode())
        key = private_key(jwk)
        return "no RSA key" if key is None else open_(envelope, key).hex()
    except InvalidEnvelope as error:
        return error.cause


def test_wycheproof_opens_nothing_that_is_invalid_or_by_another_algorithm() -> None:
    groups = load(ENCRYPTION)["testGroups"]
    outcomes = {test["tcId"]: outcome(group["private"], test["jwe"]) for group in groups for test in group["tests"]}
    causes = {number: found for number, found in outcomes.items() if " " in found}
    assert len(outcomes) == 139
    assert causes == outcomes
    assert causes[WITHOUT_KID] == "the header's kid is not a string"


def test_the_one_that_only_lacks_a_kid_opens_by_the_same_arithmetic() -> None:
    groups = load(ENCRYPTION)["testGroups"]
    jwk, test = next(
        (group["private"], test) for group in groups for test in group["tests"] if test["tcId"] == WITHOUT_KID
    )
    protected, *others = test["jwe"].encode().split(b".")
    key = private_key(jwk)
    assert key is not None
    assert open_(Envelope("", None, protected, *map(base64url.decode, others)), key).hex() == test["pt"]


def test_wycheproof_s_keys_unwrap_where_the_padding_is_sound_and_nowhere_else() -> None:
    group = load(OAEP)["testGroups"][0]
    key = load_pem_private_key(group["privateKeyPem"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    found = [(test, unwrap(bytes.fromhex(test["ct"]), key)) for test in group["tests"]]
    # A content key has 32 bytes, and there is no label: everything else is replaced by a random key.
    fitting = {
        test["tcId"] for test, _ in found if test["result"] == "valid" and len(test["msg"]) == 64 and not test["label"]
    }
    assert {test["tcId"] for test, content_key in found if content_key.hex() == test["msg"]} == fitting
    assert len(found) == 37
    assert {len(content_key) for _, content_key in found} == {32}


@pytest.mark.parametrize(
    "name",
    [
        "5_1.key_encryption_using_rsa_v15_and_aes-hmac-sha2.json",
        "5_2.key_encryption_using_rsa-oaep_with_aes-gcm.json",
        "5_6.direct_encryption_using_aes-gcm.json",
        "5_8.key_wrap_using_aes-keywrap_with_aes-gcm.json",
    ],
)
def test_the_examples_of_rfc_7520_are_by_other_algorithms_and_refused(name: str) -> None:
    with pytest.raises(InvalidEnvelope, match="other algorithms"):
        read_envelope(load(VECTORS / "rfc7520" / name)["output"]["compact"].encode())
