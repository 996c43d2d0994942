"""The daily run: whatever a timer starts, as often as it likes. Importing this loads nothing."""
