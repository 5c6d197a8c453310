"""DHCP clients of a stack's interfaces (RFC 2131): `Stack.start_dhcp`."""
