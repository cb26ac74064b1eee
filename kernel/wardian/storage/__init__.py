"""Storage drivers: where the layers and the writable snapshots of containers lie."""
