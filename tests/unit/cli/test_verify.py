"""``hookline verify``: what a captured request lacks, in plain words, and never what it should have carried."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from hookline.cli import main
from hookline.core.inbound import PRESETS, Request, sign
from hookline.core.signing import agenticflow_signature, new_secret
from hookline.testing.samples import SAMPLES, URL, sample_request, verifying_secret

if TYPE_CHECKING:
    from pathlib import Path


class Verify:
    """Runs the command on a request. secret: what it is told, the right one unless it says otherwise."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def __call__(self, request: Request, secret: str, *options: str, code: int | None = None) -> str:
        headers, body = self._folder / "headers", self._folder / "body"
        headers.write_text("".join(f"{name}: {value}\n" for name, value in request.headers))
        body.write_bytes(request.body)
        with pytest.raises(SystemExit) as caught:
            main(["verify", "--secret", secret, "--headers", f"{headers}", "--body", f"{body}", *options])
        if code is not None:
            assert caught.value.code == code
        captured = self._capsys.readouterr()
        return captured.out + captured.err

    def json(self, request: Request, secret: str, *options: str) -> Any:
        return json.loads(self(request, secret, *options, "--json"))


@pytest.fixture
def verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verify:
    return Verify(tmp_path, capsys)


def secret_of(preset: str) -> str:
    return verifying_secret(PRESETS[preset], SAMPLES[preset].secret)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_presets_request_is_found_valid(preset: str, verify: Verify) -> None:
    """Issue 3 points 6 and 7."""
    request = sample_request(preset, now=now())

    (found,) = verify.json(request, secret_of(preset), "--preset", preset, "--url", request.url)

    assert found == {"scheme": preset, "valid": True, "reason": None, "reasons": []}


@pytest.mark.parametrize("preset", ["stripe", "github", "slack", "shopify", "svix", "discord", "telegram"])
def test_without_a_preset_the_request_says_whose_it_is(preset: str, verify: Verify) -> None:
    assert f"{preset}: valid" in verify(sample_request(preset, now=now()), secret_of(preset), code=0)


def test_a_request_without_any_signature_is_an_error(verify: Verify) -> None:
    said = verify(Request(headers=(("host", "x"),), body=b"{}"), "secret", code=1)

    assert "--preset" in said


def test_the_previous_secret_is_named(verify: Verify) -> None:
    """Issue 3 point 7: signed with the previous secret."""
    request = sample_request("stripe", now=now())

    said = verify(request, "the new one", "--previous-secret", secret_of("stripe"), code=0)

    assert "signed with the previous secret" in said


def test_a_signature_beside_one_that_fits_is_explained_by_it(verify: Verify) -> None:
    """While a webhook's secret is rotated the AgenticFlow header keeps the old one (CONTRACT section 5)."""
    old, new = new_secret(b"o" * 32), new_secret(b"n" * 32)
    request = sign(PRESETS["standard"], new, now=now(), body=b"{}")
    both = (*request.headers, ("X-AgenticFlow-Signature", agenticflow_signature(old, b"{}")))
    request = Request(headers=both, body=b"{}")

    said = verify(request, new, code=1)

    assert "standard: valid" in said
    assert "The other signature fits, so the body is right" in " ".join(said.split())
    assert "No usual mistake" not in said
    assert "agenticflow: valid" in verify(request, new, "--previous-secret", old, code=0)


def test_a_secret_where_a_public_key_is_due_is_named(verify: Verify) -> None:
    """P12: of a webhook whose signature is v1a."""
    said = " ".join(verify(sample_request("standard_v1a", now=now()), new_secret(b"n" * 32), code=1).split())

    assert "give the webhook's public_key" in said
    assert "No usual mistake" not in said


def test_the_clock_is_named_with_its_seconds(verify: Verify) -> None:
    """Issue 3 point 7: clock 412 s off."""
    request = sample_request("slack", now=datetime.fromtimestamp(time.time() - 412, UTC))

    said = verify(request, secret_of("slack"), code=1)

    assert "clock is off by 412 s" in said or "clock is off by 413 s" in said
    assert "The signature itself fits" in said


def test_a_scheme_of_ones_own_is_read_from_a_file(verify: Verify, tmp_path: Path) -> None:
    definition = {"header": "X-Sig", "encoding": "base64", "algorithm": "sha512"}
    (tmp_path / "scheme.json").write_text(json.dumps(definition))
    from hookline.core.inbound import scheme_from

    request = sign(scheme_from(definition), "own secret", now=now(), body=b"{}")

    assert "own: valid" in verify(request, "own secret", "--scheme", f"{tmp_path}/scheme.json", code=0)
    (tmp_path / "scheme.json").write_text('{"header": "X-Sig", "algorithm": "md5"}')
    assert "sha256" in verify(request, "own secret", "--scheme", f"{tmp_path}/scheme.json", code=1)


def test_bad_options_are_explained(verify: Verify) -> None:
    request = sample_request("svix", now=now())

    assert "not supported yet" in verify(request, "s", "--preset", "paypal", code=1)
    assert "stripe" in verify(request, "s", "--preset", "strip", code=1)
    assert "--secret does not fit svix" in verify(request, "no base64!", code=1)
    assert "exclude" in verify(request, "s", "--preset", "svix", "--scheme", "x", code=1)


def test_a_secret_of_odd_bytes_is_only_another_secret(verify: Verify) -> None:
    """What a terminal hands over need not be UTF-8."""
    for preset in ("github", "standard", "gitlab"):
        assert "does not verify" in verify(
            sample_request(preset, now=now()), "\udcff\udc80", "--preset", preset, code=1
        )


def test_nothing_printed_would_let_anyone_sign(verify: Verify) -> None:
    """CONTRACT section 1: never the expected value."""
    for preset in PRESETS:
        request = sample_request(preset, now=now())
        good = dict(request.headers).get(PRESETS[preset].signature[0].names[0], "nothing")
        other = "whsec_" + "A" * 43 + "="
        if preset == "discord":
            other = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        if preset == "standard_v1a":
            other = "whpk_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="

        said = verify(request, other, "--preset", preset, "--url", URL)

        assert other not in said
        assert good.rpartition("=")[2] not in said or good.endswith("=")
        assert "does not verify" in said
