"""Raw files as published: the table of sources, fetching, verifying, adopting what is on disk, unpacking."""
