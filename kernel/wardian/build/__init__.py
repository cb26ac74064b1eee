"""Images as code: the Dockerfile's parser, and the builder that runs what it says."""
