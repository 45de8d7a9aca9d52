"""The web app: one file a page. Pages show what the library computes and compute nothing."""
