"""Hosts that allow less and less, by nesting: what the doctor says of each is what happens."""
