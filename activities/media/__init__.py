"""Files of conversations, stored in a folder or a bucket and referenced by messages."""
