"""The `tallymark` command: what it offers (`table`), the process tree (`supervisor`), and the commands of its own.

Here is no counting. The layers' commands live in `stream.commands`, `batch.commands` and `serving.commands`; the table
names them as text and they are imported when somebody calls one.
"""
