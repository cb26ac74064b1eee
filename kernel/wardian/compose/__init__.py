"""``wardian compose``: an application of several containers, from an ordinary compose file."""
