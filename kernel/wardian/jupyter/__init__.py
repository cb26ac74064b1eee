"""The Jupyter side of Wardian: the kernel, its magics, comms, kernelspecs."""
