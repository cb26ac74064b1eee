"""``python -m wardian.cli`` is ``wardian``."""

from wardian.cli import main

main()
