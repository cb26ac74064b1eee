"""What runs inside the container: standard library, and IPython where it can be imported.

These modules are mounted read-only into containers and run under whatever Python is there, from
3.8 on, so they import nothing of wardian and nothing that 3.8 does not have.
"""
