"""The values of binder/hub, put together as Helm does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

HUB = Path(__file__).parents[2] / "binder/hub"
PROFILES = ("restricted", "user-namespaced", "dedicated-node")
Values = dict[str, Any]


def merged(below: Values, above: Values) -> Values:
    """One file of values over another: mappings are joined, everything else is replaced."""
    joined = {**below}
    for key, value in above.items():
        under = joined.get(key)
        both = isinstance(value, dict) and isinstance(under, dict)
        joined[key] = merged(under, value) if both and under is not None else value
    return joined


def files_of(chart: str) -> list[Path]:
    """What is common first, then the profiles."""
    return [HUB / chart / f"{name}.yaml" for name in ("course", *PROFILES)]


def given(chart: str, profile: str) -> Values:
    """What Helm is given for a chart and profile."""
    course, chosen = (
        yaml.safe_load((HUB / chart / f"{name}.yaml").read_text()) for name in ("course", profile)
    )
    return merged(course, chosen)


def values_of(chart: str, profile: str) -> Values:
    """What of it the hub is given: in BinderHub's chart the hub's is a part."""
    values = given(chart, profile)
    hub: Values = values["jupyterhub"] if chart == "binderhub" else values
    return hub
