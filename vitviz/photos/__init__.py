"""Photographs: opening untrusted files, samples, the web, folders."""
