"""Deaths in the middle of things, and the host afterwards."""

import pytest

pytest.register_assert_rewrite("tests.faults.leftovers")
