"""``get_ipython().kernel``: what libraries expect of an ipykernel, where a runner has it."""

from __future__ import annotations

import builtins
import getpass
import logging
import os
import sys
from typing import Any, Dict, Optional

from .link import Link

NO_STDIN = "raw_input was called, but this frontend does not support input requests."
END_OF_INPUT = "\x04"


class StdinNotImplementedError(NotImplementedError):
    """As ipykernel calls it: the frontend has no way to ask the user."""


class Session:
    """The little of a Jupyter session that code in cells asks for."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def session(self) -> str:
        """The id of the client's session."""
        return str(self._link.header.get("session", ""))

    @property
    def username(self) -> str:
        """The name that the client gave."""
        return str(self._link.header.get("username", ""))


class Kernel:
    """Stands in for ipykernel's kernel object."""

    implementation = "ipython"

    def __init__(self, link: Link, loop: Any) -> None:
        self.link = link
        self.io_loop = loop
        self.session = Session(link)
        self.log = logging.getLogger("wardian")
        self.shell: Any = None
        self.comm_manager: Any = None
        self.user_module: Any = None
        self._allow_stdin = False

    # --- what cells belong to --------------------------------------------------------------

    def get_parent(self, _channel: Optional[str] = None) -> Dict[str, Any]:
        """The request that is being handled, as far as it is known here: its header."""
        return {"header": self.link.header, "content": {}, "metadata": {}}

    @property
    def _parent_header(self) -> Dict[str, Any]:
        return self.get_parent()

    def send_response(
        self, _socket: Any, kind: str, content: Dict[str, Any], *_: Any, **options: Any
    ) -> None:
        """Publish a message on iopub."""
        if kind == "stream":
            stream = sys.stderr if content.get("name") == "stderr" else sys.stdout
            stream.write(content.get("text", ""))
        else:
            self.link.publish(kind, content, options.get("metadata"), options.get("buffers") or ())

    iopub_socket = None

    # --- input -----------------------------------------------------------------------------

    def allow_stdin(self, *, allow: bool) -> None:
        """Whether the client of the running cell can be asked."""
        self._allow_stdin = allow
        builtins.input = self.raw_input
        getpass.getpass = self.getpass

    def raw_input(self, prompt: object = "") -> str:
        """Read a line from the user. The prompt is shown by the frontend."""
        return self._ask(str(prompt), is_password=False)

    def getpass(
        self, prompt: str = "", stream: Any = None, *, echo_char: Optional[str] = None
    ) -> str:
        """Read a line that is not shown."""
        if stream is not None:
            import warnings

            warnings.warn(
                "The `stream` parameter of `getpass.getpass` will have no effect when using"
                " ipykernel",
                UserWarning,
                stacklevel=2,
            )
        return self._ask(prompt, is_password=True)

    def _ask(self, prompt: str, *, is_password: bool) -> str:
        if self.link.is_child:
            raise EOFError("a forked process cannot ask the user")
        if not self._allow_stdin:
            raise StdinNotImplementedError(
                NO_STDIN if not is_password else NO_STDIN.replace("raw_input", "getpass")
            )
        self.link.flush()
        self.link.discard("input_reply")
        self.link.send(
            {
                "t": "input_request",
                "cell": self.link.cell,
                "prompt": prompt,
                "password": is_password,
            }
        )
        try:
            reply = self.link.wait_for("input_reply")
        except KeyboardInterrupt:
            # Raised anew, to leave our own frames out of the traceback.
            raise KeyboardInterrupt("Interrupted by user") from None
        value = str(reply.get("value", ""))
        if value == END_OF_INPUT:
            raise EOFError
        return value

    def do_shutdown(self, restart: bool) -> Dict[str, Any]:
        """A library that ends the kernel ends the interpreter."""
        self.io_loop.call_soon_threadsafe(self.io_loop.stop)
        return {"status": "ok", "restart": restart}

    @property
    def ident(self) -> str:
        """A name for this process."""
        return f"wardian-{os.getpid()}"
