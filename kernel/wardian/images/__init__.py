"""Images: an OCI content store, and the images that are made from the host's own programs."""
