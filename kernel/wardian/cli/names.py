"""Names for containers that were given none: two words, as docker's."""

from __future__ import annotations

import os

_ADJECTIVES = """
    amber bold bright calm clever dewy eager fair fond fresh gentle glad green happy keen kind
    lively lucid mellow mild neat nimble noble patient placid proud quick quiet rare serene
    shady silent sleek steady sunny swift tender tidy vivid warm wise witty
"""
_PLANTS = """
    acacia alder aloe aspen aster azalea birch bonsai borage cedar clover cosmos cypress dahlia
    daisy elder fern fig ginkgo hazel heather holly hyssop iris ivy juniper larch laurel lilac
    lotus maple mimosa moss myrtle nettle oak olive orchid peony pine poppy quince reed rowan
    rush sage sedge sorrel spruce tansy thyme tulip violet willow yarrow yew
"""


def new_name() -> str:
    """A name such as ``quiet_fern``."""
    return f"{_one_of(_ADJECTIVES)}_{_one_of(_PLANTS)}"


def new_longer_name() -> str:
    """A name such as ``quiet_fern_3f9c``, for when the short one is taken."""
    return f"{new_name()}_{os.urandom(2).hex()}"


def _one_of(words: str) -> str:
    among = words.split()
    return among[int.from_bytes(os.urandom(4), "big") % len(among)]  # secrets takes 4 ms to import
