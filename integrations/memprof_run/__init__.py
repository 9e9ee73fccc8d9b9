"""``memprof run COMMAND``: profile an application that its server's own command starts, without a change to it."""
