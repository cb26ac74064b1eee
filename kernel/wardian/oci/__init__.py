"""`wardian-oci`: the OCI runtime command line over the same core (runtime-spec, runtime.md)."""
