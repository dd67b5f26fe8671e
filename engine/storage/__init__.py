"""What stands on disk, written whole or not at all: run folders, caches, the folders that may be read."""
