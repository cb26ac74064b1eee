"""Korean for JupyterLab, also where its own Korean is not installed.

JupyterLab offers the languages of the entry points ``jupyterlab.languagepack``; extensions' words
(``jupyterlab.locale``) come only in a language that is on offer. So Korean is offered here, by
JupyterLab's own pack where there is one.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

_WORDS = Path(__file__).parent / "locale/ko_KR/LC_MESSAGES/wardian.json"
_SPEC = find_spec("jupyterlab_language_pack_ko_KR")

# JupyterLab takes whatever lies beside this file.
korean = SimpleNamespace(__file__=_SPEC.origin if _SPEC is not None else str(_WORDS))
