"""Where a cell's code runs: the protocol, the runners inside the container, their host side."""
