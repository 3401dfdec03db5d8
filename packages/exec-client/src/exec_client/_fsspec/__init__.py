"""Parts of the fsspec filesystem."""
