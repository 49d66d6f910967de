"""Engines: what compiles a spec. Heavy libraries are imported when an engine is used."""
