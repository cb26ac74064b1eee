"""The whole of jupyter_kernel_test for both kernels, as far as the languages have it."""

from __future__ import annotations

import inspect
from typing import ClassVar

import jupyter_kernel_test as jkt

from tests.kernel.page import PATIENCE_S


def _be_patient() -> None:
    """Wait longer than the suite's own 15 s, which a busy machine may need."""
    hasty = jkt.TIMEOUT
    jkt.TIMEOUT = PATIENCE_S
    for method in vars(jkt.KernelTests).values():
        if inspect.isfunction(method) and method.__defaults__:
            method.__defaults__ = tuple(
                PATIENCE_S if value is hasty else value for value in method.__defaults__
            )


_be_patient()

# A PNG of one pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg+M9QDwADgQF/"
    "e5IkGQAAAABJRU5ErkJggg=="
)


class TestPythonKernel(jkt.KernelTests):  # type: ignore[misc]  # jupyter_kernel_test publishes no types
    kernel_name = "wardian-python"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    code_page_something = "print?"
    code_generate_error = "raise ValueError('no')"
    code_execute_result: ClassVar = [
        {"code": "6*7", "result": "42"},
        {"code": "'a' * 3", "result": "'aaa'"},
        {"code": "[1, 2]", "result": "[1, 2]"},
    ]
    code_display_data: ClassVar = [
        {
            "code": "from IPython.display import HTML, display; display(HTML('<b>x</b>'))",
            "mime": "text/html",
        },
        {
            "code": "from IPython.display import Math, display; display(Math('x^2'))",
            "mime": "text/latex",
        },
    ]
    code_clear_output = "from IPython.display import clear_output; clear_output()"
    code_history_pattern = "*6*7*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "print"
    completion_samples: ClassVar = [
        {"text": "zi", "matches": {"zip"}},
        {"text": "%containe", "matches": {"%container", "%containers"}},
        {"text": "%container li", "matches": {"list"}},
    ]
    complete_code_samples: ClassVar = ["1", "print('hello, world')", "%container list"]
    incomplete_code_samples: ClassVar = ["def f(x):", "print('''hello", "%%sh\necho"]
    invalid_code_samples: ClassVar = ["import = 7", "x = (1,]"]


class TestShellKernel(jkt.KernelTests):  # type: ignore[misc]  # jupyter_kernel_test publishes no types
    kernel_name = "wardian-shell"
    language_name = "bash"
    file_extension = ".sh"
    code_hello_world = "echo 'hello, world'"
    code_stderr = "echo test >&2"
    code_generate_error = "false"
    completion_samples: ClassVar = [
        {"text": "wardian_no_such_comm", "matches": set()},
        {"text": "%containe", "matches": {"%container", "%containers"}},
    ]
    complete_code_samples: ClassVar = ["echo hi", "for x in 1 2; do echo $x; done"]
    incomplete_code_samples: ClassVar = ["for x in 1 2; do", "echo 'open"]
    invalid_code_samples: ClassVar = [")("]
    code_display_data: ClassVar = [{"code": f"printf '{PIXEL}' | base64 -d", "mime": "image/png"}]
    # A shell has no values, no pager, no docstrings and nothing that clears.
    test_execute_result = None
    test_history = None
    test_pager = None
    test_inspect = None
    test_clear_output = None


class TestPythonWelcome(jkt.IopubWelcomeTests):  # type: ignore[misc]  # jupyter_kernel_test publishes no types
    kernel_name = "wardian-python"
    support_iopub_welcome = True


class TestShellWelcome(jkt.IopubWelcomeTests):  # type: ignore[misc]  # jupyter_kernel_test publishes no types
    kernel_name = "wardian-shell"
    support_iopub_welcome = True
