"""JupyterHub on one machine, as root. Users have accounts there, with subordinate ids (useradd).

    npm install --global configurable-http-proxy; pip install jupyterhub 'wardian[lab]'
    jupyterhub -f jupyterhub_config.py

How users log in (c.JupyterHub.authenticator_class; PAM unless said) and TLS are yours to add.
"""

from wardian.jupyter.hub.stock import lay_in

c = get_config()  # noqa: F821

# Sessions apart from each other, each with a keeper of its own; see ARCHITECTURE.md, "A hub".
c.JupyterHub.spawner_class = "wardian.jupyter.hub.spawner.HostSpawner"
# The base image and the toolbox once for all, 190 MiB and four seconds; no user can write them.
c.HostSpawner.shared_images = lay_in("/var/lib/wardian-shared")

# What a session may take, its containers included. sizing.md says what it does take.
c.HostSpawner.mem_limit = "2G"
c.HostSpawner.cpu_limit = 2
c.HostSpawner.pids_limit = 512

c.Spawner.default_url = "/lab"
# A class logs in at once: none is turned away (a limit answers 429), all wait a little longer.
c.JupyterHub.concurrent_spawn_limit = 0
c.Spawner.start_timeout = 600
c.Spawner.http_timeout = 600
# Kernels speak through sockets in the user's home: ports of the loopback are open to all users.
c.HostSpawner.args = ["--KernelManager.transport=ipc"]
# There are no language servers; JupyterLab would look for them by Node, a second of a core.
c.HostSpawner.args += ["--ServerApp.jpserver_extensions=jupyter_lsp=False"]
# A session goes on while the hub is restarted.
c.JupyterHub.cleanup_servers = False
