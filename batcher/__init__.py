"""batcher: an async batch job runner for thumbnails of recordings in the ZEGO cloud."""

__version__ = "0.1.0"
__all__ = ["__version__"]
