"""What two proxies do to the streams between them so that fewer bytes pass: zstd, and leaving out what passed before.

`wire` is how it looks on the wire, `chunker` cuts streams where their content says so, `store` keeps chunks that have
passed, `encoders` and `decoders` are one direction's halves, `session` both directions of a connection, without I/O;
`link` is a session on an asyncio reader and writer, `tally` counts what was saved.
"""
