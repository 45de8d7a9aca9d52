"""One visitor: session, turns, language; and the server they share."""
