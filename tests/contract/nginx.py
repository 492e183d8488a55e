"""Debian's nginx in front of a gateway: its own directory, a free port of loopback, ended with the test."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from machine import need

UPGRADE = """
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;
"""
STREAMS = """
proxy_buffering off;
proxy_read_timeout 1h;
"""
BUFFERS = """
proxy_http_version 1.1;
proxy_buffering on;
proxy_buffers 8 64k;
proxy_ignore_headers X-Accel-Buffering;
gzip on;
gzip_types text/event-stream application/json;
gzip_min_length 0;
"""

_CONFIG = """
daemon off;
master_process off;
worker_processes 1;
pid {here}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' close;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{target};
            {directives}
        }}
    }}
}}
"""


def free_port() -> int:
    """A port that nobody had a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def nginx(here: Path, target: int, directives: str) -> AsyncIterator[str]:
    """An nginx that passes everything on to `target` as `directives` say; its address."""
    program = need("nginx")
    port = free_port()
    config = here / "nginx.conf"
    config.write_text(_CONFIG.format(here=here, port=port, target=target, directives=directives))
    process = await asyncio.create_subprocess_exec(
        program, "-p", str(here), "-c", str(config), "-e", "stderr", stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(10):
            while not await _answers(port):
                assert process.returncode is None, await process.stderr.read() if process.stderr else ""
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        # Its last words are read, or it might wait for somebody to.
        await process.communicate()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
