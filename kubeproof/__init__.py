"""The front door: command line and pytest plug-in. Builds systems, runs them, prints."""
