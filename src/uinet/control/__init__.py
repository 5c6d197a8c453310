"""The control socket of a running stack: read `protocol`, then `session`, `server`; docs/control.md is the guide."""
