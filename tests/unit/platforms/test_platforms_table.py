"""Platforms by name, what decides how their runs are judged, and what each refuses before anything stands."""

from pathlib import Path
from typing import Any

import pytest

from serverless_mlperf.config import load_config
from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.base import Credentials
from serverless_mlperf.platforms.local.host import undisturbed_at_once
from serverless_mlperf.platforms.local.provider import host_architecture
from serverless_mlperf.platforms.provider import Wishes
from serverless_mlperf.platforms.table import PLATFORMS, make_provider, traits_of
from serverless_mlperf.workloads import ARCHITECTURES, Cell


def test_unknown_platform_is_refused_with_the_known_ones() -> None:
    """Whether its traits or its provider are asked for."""
    for ask in (lambda: traits_of("mars"), lambda: make_provider("mars", Wishes("b"))):
        with pytest.raises(InputError, match=f"known are {', '.join(PLATFORMS)}"):
            ask()


def test_traits_are_what_the_platforms_are() -> None:
    """Only the local platform shares the host; only AWS bills."""
    assert {name: (row.traits.shares_host, row.traits.bills) for name, row in PLATFORMS.items()} == {
        "local": (True, False),
        "aws": (False, True),
    }


def test_local_platform_has_the_hosts_architecture_alone() -> None:
    """Another one is refused in a line that names both and says what to do."""
    provider, here = make_provider("local", Wishes("b")), host_architecture()
    (own,), (other,) = [a for a in ARCHITECTURES if a == here], [a for a in ARCHITECTURES if a != here]
    provider.check(None, [768], [own])
    with pytest.raises(InputError, match=f"--architecture {other}: .* is {here}; give --architecture {here}"):
        provider.check(None, [768], [other])


def test_local_platform_has_as_many_environments_as_the_host() -> None:
    """By default those that it runs undisturbed; it is in no region and says no more than the host does."""
    from serverless_mlperf.host import host_cores

    provider = make_provider("local", Wishes("b"))
    assert provider.environments(768) == undisturbed_at_once(768, host_cores())
    assert (provider.region, dict(provider.describe())) == (None, {})


def test_cells_of_two_architectures_stand_side_by_side() -> None:
    """x86_64 is not named, so that names and results of before stay what they were."""
    config = load_config(
        None,
        {"tasks": ["classification"], "engine_and_formats": ["ie-ir"], "memory_mib": [768], "platform": "aws",
         "architectures": list(ARCHITECTURES)},
    )  # fmt: skip
    assert [cell.name for cell in config.cells] == ["classification-ie-ir-768", "classification-ie-ir-768-arm64"]
    assert config.cells[0] == Cell("classification", "ie-ir", 768)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"region": "eu-west-1"}, "--region is an option of --platform aws"),
        ({"python": "3.12"}, "--python is an option of --platform aws"),
        ({"project": "mine"}, "--project is an option of --platform aws"),
        ({"ephemeral": True}, "--ephemeral is an option of --platform aws"),
        ({"platform": "aws", "faults": "lose=0.1"}, "--faults are injected by the local platform"),
        ({"platform": "aws", "bucket_name": "mine"}, "--bucket-name is the local platform's"),
        ({"architectures": ["mips"]}, "architectures: "),
    ],
)
def test_option_of_another_platform_is_refused(options: dict[str, Any], said: str) -> None:
    """None is taken and then not looked at."""
    with pytest.raises(InputError, match=said):
        load_config(None, options)


def test_prices_are_those_of_the_functions_region() -> None:
    """Unless others are asked for; a platform that is nowhere changes nothing."""
    config = load_config(None, {"platform": "aws"})
    asked = load_config(None, {"platform": "aws", "price_region": "us-east-1"})
    assert (config.in_region("eu-west-1").price_region, config.in_region("eu-west-1").region) == ("eu-west-1",) * 2
    assert asked.in_region("eu-west-1").price_region == "us-east-1"
    assert config.in_region(None) is config


def test_whose_credentials_are_used_is_no_setting() -> None:
    """Profile and ephemerality are not stored with a result."""
    config = load_config(None, {"platform": "aws", "profile": "hush", "ephemeral": True})
    assert (config.wishes.profile, config.wishes.ephemeral) == ("hush", True)
    assert not {"profile", "ephemeral"} & config.model_dump().keys()


def test_secrets_do_not_show() -> None:
    """Neither key nor token are in the words for them."""
    assert "hush" not in repr(Credentials("AKID", "hush-key", "hush-token"))


def test_aws_without_credentials_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choosing AWS without credentials is refused in a line before anything is built."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="no credentials"):
        make_provider("aws", Wishes("b", region="us-east-1"))
