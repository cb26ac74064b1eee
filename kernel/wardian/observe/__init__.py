"""What a container does, seen from the host: samplers make Frames, views show them."""
