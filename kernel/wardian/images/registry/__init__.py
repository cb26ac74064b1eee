"""Registries: images over HTTP (OCI distribution-spec), with docker's logins and settings."""
