"""Every setting of a stack by a dotted name: see `uinet.settings.sysctl`, and docs/settings.md."""
