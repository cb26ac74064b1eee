"""Tests of real containers once more, by a user of this machine who is not root."""
