"""Settings: one frozen object; a bad value stops the start with key, expected and got."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr, ValidationError

from hookline.config import ALL_ROLES, Settings, load_settings, unknown_variables
from hookline.errors import SettingError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse-battery-staple"


@pytest.mark.parametrize(
    ("environ", "key", "expected", "got"),
    [
        ({"HOOKLINE_PORT": "eighty"}, "HOOKLINE_PORT", "a whole number from 0 to 65535", "'eighty'"),
        ({"HOOKLINE_PORT": "70000"}, "HOOKLINE_PORT", "a whole number from 0 to 65535", "'70000'"),
        (
            {"HOOKLINE_ALLOW_NETWORKS": "10.0.0.0/8,nope"},
            "HOOKLINE_ALLOW_NETWORKS",
            "a list of CIDRs",
            "nope",
        ),
        ({"HOOKLINE_SOURCE_IPS": "1.2.3"}, "HOOKLINE_SOURCE_IPS", "a list of IP addresses", "'1.2.3'"),
        ({"HOOKLINE_RETRY_TIME_SCALE": "0"}, "HOOKLINE_RETRY_TIME_SCALE", "above 0", "'0'"),
        ({"HOOKLINE_RETRY_TIME_SCALE": "nan"}, "HOOKLINE_RETRY_TIME_SCALE", "above 0", "'nan'"),
        (
            {"HOOKLINE_DATABASE": "mysql://u@h/d"},
            "HOOKLINE_DATABASE",
            "sqlite:///FILE or postgresql",
            "mysql",
        ),
        ({"HOOKLINE_DATABASE": "sqlite:///:memory:"}, "HOOKLINE_DATABASE", "sqlite:///FILE", ":memory:"),
        (
            {"HOOKLINE_PUBLIC_URL": "example.com"},
            "HOOKLINE_PUBLIC_URL",
            "an http or https URL",
            "'example.com'",
        ),
        ({"HOOKLINE_ROLES": "receive"}, "HOOKLINE_ROLES", "receive,execute,deliver", "'receive'"),
        ({"HOOKLINE_ROLES": "dance"}, "HOOKLINE_ROLES", "a list of receive, execute, deliver", "'dance'"),
        (
            {"HOOKLINE_ENV_PASSTHROUGH": "HOOKLINE_SECRET_KEY"},
            "HOOKLINE_ENV_PASSTHROUGH",
            "none beginning",
            "SEC",
        ),
        (
            {"HOOKLINE_LOG_LEVEL": "loud"},
            "HOOKLINE_LOG_LEVEL",
            "one of debug, info, warning, error",
            "'loud'",
        ),
        (
            {"HOOKLINE_BLOBS": "ftp://bucket"},
            "HOOKLINE_BLOBS",
            "file:///FOLDER or s3://BUCKET",
            "'ftp://bucket'",
        ),
        ({"HOOKLINE_BLOBS": "s3://bucket?key=1"}, "HOOKLINE_BLOBS", "s3://BUCKET", "'s3://bucket?key=1'"),
        ({"HOOKLINE_FAILPOINTS": "after_commit:kill"}, "HOOKLINE_FAILPOINTS", "left out", "a value"),
        (
            {"HOOKLINE_CONFIG": "/nowhere/hookline.toml"},
            "HOOKLINE_CONFIG",
            "a TOML file that exists",
            "nowhere",
        ),
    ],
)
def test_a_bad_value_names_key_expected_and_got(
    environ: dict[str, str], key: str, expected: str, got: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingError) as caught:
        load_settings(environ=environ, directory=tmp_path)

    assert key in caught.value.message
    assert expected in caught.value.message
    assert got in caught.value.message


@pytest.mark.parametrize(
    "environ",
    [
        {"HOOKLINE_SECRET_KEY": "short-s3cret"},
        {"HOOKLINE_SECRET_KEY_PREVIOUS": "short-s3cret"},
        {"HOOKLINE_ADMIN_KEY": "with s3cret spaces"},
        {"HOOKLINE_SMTP_URL": "ftp://user:s3cret@host"},
        {"HOOKLINE_EGRESS_PROXY": "http://user:s3cret@host"},
        {"HOOKLINE_EGRESS_PROXY": "socks5://user:s3cret@host:1080"},
        {"HOOKLINE_DATABASE": "mysql://user:s3cret@host/db"},
        {"HOOKLINE_DATABASE": "postgresql://user:s3cret@host:port/db"},
    ],
)
def test_an_error_never_shows_a_secret(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        load_settings(environ=environ, directory=tmp_path)

    assert "s3cret" not in caught.value.message
    assert caught.value.__cause__ is None


def test_repr_shows_no_secret() -> None:
    settings = Settings(
        database=f"postgresql://hookline:{SECRET}@db/hookline",
        admin_key=SecretStr(SECRET),
        secret_key=SecretStr(SECRET),
        secret_key_previous=SecretStr(SECRET),
        smtp_url=SecretStr(f"smtp://user:{SECRET}@mail"),
        egress_proxy=SecretStr(f"http://user:{SECRET}@proxy:3128"),
    )

    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
    assert "hookline@db/hookline" in repr(settings)


def test_settings_are_frozen() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_flags_win_over_environment_and_environment_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "hookline.toml").write_text('port = 1\nhost = "10.0.0.1"\nlog_level = "debug"\n')

    settings = load_settings(
        {"port": 3, "host": None}, environ={"HOOKLINE_PORT": "2", "HOOKLINE_HOST": "::1"}, directory=tmp_path
    )

    assert (settings.port, settings.host, settings.log_level) == (3, "::1", "debug")


def test_a_mistyped_key_in_the_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "hookline.toml").write_text("prot = 80\n")

    with pytest.raises(SettingError, match="no such setting; did you mean port"):
        load_settings(environ={}, directory=tmp_path)


@pytest.mark.parametrize("text", ["", " ", ","])
def test_an_empty_list_means_none(text: str, tmp_path: Path) -> None:
    settings = load_settings(environ={"HOOKLINE_ALLOW_NETWORKS": text}, directory=tmp_path)

    assert settings.allow_networks == ()


def test_lists_are_comma_separated(tmp_path: Path) -> None:
    settings = load_settings(environ={"HOOKLINE_ALLOW_NETWORKS": "10.0.0.0/8, ::1/128"}, directory=tmp_path)

    assert settings.allow_networks == (ip_network("10.0.0.0/8"), ip_network("::1/128"))


def test_on_sqlite_one_node_is_the_whole_system(tmp_path: Path) -> None:
    environ = {"HOOKLINE_DATABASE": "sqlite:///a.db", "HOOKLINE_ROLES": "deliver,receive"}

    with pytest.raises(
        SettingError, match="HOOKLINE_ROLES must be receive,execute,deliver, got 'receive,deliver'"
    ):
        load_settings(environ=environ, directory=tmp_path)


def test_roles_are_split_on_postgresql(tmp_path: Path) -> None:
    environ = {"HOOKLINE_DATABASE": "postgresql://db/hookline", "HOOKLINE_ROLES": "deliver,receive"}

    assert load_settings(environ=environ, directory=tmp_path).roles == ("receive", "deliver")
    assert (
        load_settings(environ={"HOOKLINE_ROLES": "deliver,execute,receive"}, directory=tmp_path).roles
        == ALL_ROLES
    )


@pytest.mark.parametrize(
    "database", ["sqlite:////tmp/hookline-crashtest-1/a.db", "postgresql://h/hookline_crashtest_1"]
)
def test_failpoints_are_taken_only_with_a_throwaway_database(database: str, tmp_path: Path) -> None:
    environ = {"HOOKLINE_DATABASE": database, "HOOKLINE_FAILPOINTS": "after_commit:kill@3"}

    assert load_settings(environ=environ, directory=tmp_path).failpoints == "after_commit:kill@3"


def test_a_misspelt_variable_is_known_by_the_setting_that_it_is_near_to() -> None:
    environ = {
        "HOOKLINE_PROT": "1",
        "HOOKLINE_PORT": "2",
        "HOOKLINE_URL": "3",
        "HOOKLINE_APP_COLOUR": "4",
        "PROT": "5",
    }

    assert unknown_variables(environ) == {"HOOKLINE_PROT": "HOOKLINE_PORT", "HOOKLINE_APP_COLOUR": None}
