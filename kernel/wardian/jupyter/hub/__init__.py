"""JupyterHub on one machine: sessions of its users, apart from each other."""
