"""``python -m wardian.bare ORDERS LIFE``: look after the plain cells of one kernel."""

import sys

from wardian.bare.steward import main

if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
