"""What outlives the process: messages and sessions, behind interfaces, and the database they are kept in.

`interface` says what the service needs; `database` is SQLite in one file; each other module keeps one kind of thing
there.
A module that keeps something declares a `Schema` and is given the `Database`, see `messages` for an example.
"""
