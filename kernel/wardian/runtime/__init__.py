"""The life of containers: specification, creation, processes, state, the keeper and init."""
