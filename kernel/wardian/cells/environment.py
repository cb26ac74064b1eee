"""Where the toolbox is in a container, and the environment in which its programs are found."""

from __future__ import annotations

from collections.abc import Mapping

from wardian.runtime.spec import DEFAULT_PATH

MOUNT_POINT = "/.wardian"
USER_BASE = "/opt/wardian"  # where pip installs: in the container's writable layer
PIP = {
    "PYTHONUSERBASE": USER_BASE,
    "PIP_BREAK_SYSTEM_PACKAGES": "1",  # the system is the host's, which is not touched
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


def with_toolbox(env: Mapping[str, str], *, is_python_ours: bool) -> dict[str, str]:
    """The environment, with the toolbox found last of all, and pip at work where it can write.

    ``PYTHONHOME`` of an image is meant for the image's Python, so ours must not see it.
    """
    folders = [f"{MOUNT_POINT}/bin", f"{MOUNT_POINT}/box"]
    if not is_python_ours:
        return {**env, "PATH": ":".join([env.get("PATH", DEFAULT_PATH), *folders])}
    path = ":".join([env.get("PATH", DEFAULT_PATH), f"{USER_BASE}/bin", *folders])
    kept = {name: value for name, value in env.items() if name != "PYTHONHOME"}
    return {**kept, **PIP, "PATH": path}
