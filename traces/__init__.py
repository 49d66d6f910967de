"""Traces: record, replay, shrink, explain, draw."""
