"""Models and other large inputs by content: kept on disk, fetched from peers in chunks, each chunk proved."""
