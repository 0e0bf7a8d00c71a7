"""The FTP server of the test kit: pyftpdlib, with faults on demand.

Arguments: directory, log, manner (plain, old, tls, implicit), certificate, key. Says its port on
standard output, and ends when standard input does.
"""

import os
import sys
import threading

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

root, log_path, manner, certificate, key, user, password = sys.argv[1:]
log = open(log_path, "a", buffering=1)
broken = set()


class Half:
    """A file that can be read half-way only; without `fileno`, which would let sendfile bypass it."""

    def __init__(self, file):
        self.file = file
        self.left = os.fstat(file.fileno()).st_size // 2
        self.name, self.closed = file.name, False

    def read(self, count):
        if self.left <= 0:
            raise OSError("the disk is tired")
        data = self.file.read(min(count, self.left))
        self.left -= len(data)
        return data

    def seek(self, *where):
        return self.file.seek(*where)

    def close(self):
        self.closed = True
        self.file.close()


class Files(AbstractedFS):
    def open(self, filename, mode):
        file = super().open(filename, mode)
        # The first time only.
        if "r" in mode and os.path.basename(filename).startswith("half-") and filename not in broken:
            broken.add(filename)
            return Half(file)
        return file


def made(base):
    class Handler(base):
        abstracted_fs = Files
        timeout = 60
        auth_failed_timeout = 0
        banner = "ready"

        def pre_process_command(self, line, cmd, arg):
            shown = "****" if cmd == "PASS" else arg
            log.write(f"{self.remote_port} {cmd} {shown}\n")
            super().pre_process_command(line, cmd, arg)

        def get_repr_info(self, as_str=False, extra_info=None):
            # The original raises where a client died while it sent, and then again for each look at
            # what it left behind, for ever.
            return "somebody" if as_str else {"client": "somebody"}

        def on_login(self, username):
            if username == user:
                self.fs.cwd = "/home"

    return Handler


if manner in ("tls", "implicit"):
    from pyftpdlib.handlers import TLS_FTPHandler

    Handler = made(TLS_FTPHandler)
    Handler.certfile, Handler.keyfile = certificate, key
    Handler.tls_control_required = Handler.tls_data_required = True
    if manner == "implicit":
        Explicit = Handler

        class Handler(Explicit):
            def handle(self):
                self.secure_connection(self.ssl_context)

            def handle_ssl_established(self):
                super().handle()

            def ftp_AUTH(self, line):
                self.respond("550 not here")
else:
    Handler = made(FTPHandler)

if manner == "old":
    commands = dict(Handler.proto_cmds)
    for name in ("MLST", "MLSD", "MFMT", "FEAT", "SITE CHMOD", "EPSV"):
        commands.pop(name)
    Handler.proto_cmds = commands

Handler.authorizer = DummyAuthorizer()
Handler.authorizer.add_user(user, password, root, perm="elradfmwMT")
Handler.authorizer.add_anonymous(os.path.join(root, "home"))
server = FTPServer(("127.0.0.1", 0), Handler)
print(server.address[1], flush=True)


def watch():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=watch, daemon=True).start()
server.serve_forever()
