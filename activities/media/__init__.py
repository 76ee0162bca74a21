"""Files of conversations: kept by reference, in a folder or in a bucket."""
