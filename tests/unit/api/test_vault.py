"""The vault: what it seals opens with the same key and context and with nothing else."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.engine.vault import ANSWER, AUTHENTICATION, SealBrokenError, Vault

VAULT = Vault("a secret key of the tests")
NOW = datetime(2026, 1, 15, tzinfo=UTC)


@given(st.binary(max_size=2000), st.binary(max_size=20))
def test_what_is_sealed_opens_again(plain: bytes, context: bytes) -> None:
    """P13."""
    sealed = VAULT.seal(plain, context)

    assert VAULT.open(sealed, context) == plain
    assert len(plain) < 8 or plain not in sealed


@given(st.data())
def test_a_changed_bit_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(VAULT.seal(b"secret", ANSWER))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(SealBrokenError):
        VAULT.open(bytes(sealed), ANSWER)


def test_another_key_or_context_does_not_open() -> None:
    sealed = VAULT.seal(b"secret", ANSWER)

    with pytest.raises(SealBrokenError):
        VAULT.open(sealed, AUTHENTICATION)
    with pytest.raises(SealBrokenError):
        Vault("another secret key").open(sealed, ANSWER)
    with pytest.raises(SealBrokenError):
        VAULT.open(b"", ANSWER)
    with pytest.raises(SealBrokenError):
        VAULT.open(sealed[:30], ANSWER)


def test_the_same_value_never_looks_the_same() -> None:
    assert len({VAULT.seal(b"secret", ANSWER) for _ in range(100)}) == 100


def test_no_key_shows() -> None:
    """P13."""
    assert "tests" not in repr(VAULT)
    with pytest.raises(TypeError):
        pickle.dumps(VAULT)


def test_the_check_value_knows_the_key() -> None:
    assert Vault("a secret key of the tests").is_same_key(VAULT.check_value)
    assert not Vault("another secret key").is_same_key(VAULT.check_value)


def test_a_link_opens_its_path_until_it_expires() -> None:
    token = VAULT.sign_link("/results/1", NOW + timedelta(minutes=1))

    assert VAULT.verify_link("/results/1", token, NOW)
    assert not VAULT.verify_link("/results/2", token, NOW)
    assert not VAULT.verify_link("/results/1", token, NOW + timedelta(minutes=1))
    assert not VAULT.verify_link("/results/1", "9" + token, NOW)
    assert not VAULT.verify_link("/results/1", token + "\n", NOW)
    assert not VAULT.verify_link("/results/1", "", NOW)


def test_parts_of_a_digest_cannot_be_moved() -> None:
    assert VAULT.digest("ab", "c") != VAULT.digest("a", "bc")


OLD, NEW = "the old key of the tests", "the new key of the tests"


def test_while_one_key_takes_over_from_another_both_open_and_the_new_one_seals() -> None:
    """P13."""
    old, both, new = Vault(OLD), Vault(NEW, OLD), Vault(NEW)
    sealed = old.seal(b"secret", ANSWER)
    again = both.reseal(sealed, ANSWER)
    assert again is not None

    assert both.open(sealed, ANSWER) == new.open(again, ANSWER) == b"secret"
    assert both.reseal(again, ANSWER) is None
    assert new.open(both.seal(b"x", ANSWER), ANSWER) == b"x"
    for vault, value in (
        (old, again),
        (new, sealed),
        (both, Vault("a third key altogether").seal(b"x", ANSWER)),
    ):
        with pytest.raises(SealBrokenError):
            vault.open(value, ANSWER)
    with pytest.raises(SealBrokenError):
        both.reseal(sealed, AUTHENTICATION)


def test_links_and_digests_of_the_previous_key_go_on() -> None:
    """Who holds a link keeps it, and who has a password keeps it: it could not be digested anew."""
    old, both = Vault(OLD), Vault(NEW, OLD)
    token = old.sign_link("/a", NOW + timedelta(hours=1))
    kept = both.keep_digest_key()
    new = Vault(NEW)
    resealed = new.take_digest_key(kept)

    assert both.verify_link("/a", token, NOW)
    assert not new.verify_link("/a", token, NOW)
    assert resealed is None
    assert old.digest("basic", "x") == both.digest("basic", "x") == new.digest("basic", "x")
    assert Vault(NEW).digest("basic", "x") != old.digest("basic", "x")
    assert both.is_previous_key(old.check_value)
    assert not both.is_same_key(old.check_value)
    assert not Vault(NEW, NEW).has_previous_key
