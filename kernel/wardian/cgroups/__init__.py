"""Control groups (cgroups(7)): one interface over version 1, version 2 and both at once."""
