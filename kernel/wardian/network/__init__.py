"""Networks of containers: bridges, veth pairs, addresses, NAT, published ports, names."""
