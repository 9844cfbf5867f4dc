"""Sources of manifests: local files and URLs, plain or compressed, as bytes."""
