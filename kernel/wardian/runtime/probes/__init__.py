"""Trying what this host allows: each probe does the thing itself, in a child, and undoes it.

``python -m wardian.runtime.probes ROOT`` tries everything and prints a `finding.Report` as JSON.
It is a process of its own, because unshare(2) and fork(2) are for processes of one thread.
"""
