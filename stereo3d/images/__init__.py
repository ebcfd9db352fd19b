"""Images as arrays: reading photos, reducing them to grey, fitting patches."""
