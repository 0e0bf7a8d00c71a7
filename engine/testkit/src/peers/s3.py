"""The object store of the test kit: moto behind a gate that looks at requests as S3 does.

Arguments: log, certificate, key, access key, secret key. Says its ports on standard output, a line
each for http and https; then answers each line of standard input, `[action, arguments…]` in JSON,
with the result in JSON, and ends when standard input does.

What moto does not check, the gate does, with botocore's own code: signatures in queries, headers
that have to be signed, the region a bucket named `far-…` is in. A bucket named `public-…` may be read
by anybody. A page of a listing has a hundred keys. The first fetch of a key that starts with `half-`
breaks off half-way.
"""

import base64
import json
import os
import ssl
import sys
import threading
from urllib.parse import parse_qs, urlsplit

log_path, certificate, key_file, access_key, secret_key = sys.argv[1:]
os.environ.update(
    AWS_ACCESS_KEY_ID=access_key,
    AWS_SECRET_ACCESS_KEY=secret_key,
    AWS_DEFAULT_REGION="us-east-1",
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE="/dev/null",
    AWS_SHARED_CREDENTIALS_FILE="/dev/null",
    MOTO_S3_DEFAULT_MAX_KEYS="100",
)

import boto3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

# The metadata of sr3: WSGI knows no underscores in names of headers, and moto sees a dash.
NOTED, PLAIN = "x-amz-meta-sarracenia_v3", "x-amz-meta-sarracenia-v3"

log = open(log_path, "a", buffering=1)
broken = set()


class Refused(Exception):
    def __init__(self, status, code, headers=()):
        super().__init__(code)
        self.status, self.code, self.headers = status, code, list(headers)


def check(environ, bucket):
    """Whether the request may pass; raises what S3 would answer otherwise."""
    query = parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
    headers = {
        name[5:].lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    if PLAIN in headers:
        headers[NOTED] = headers.pop(PLAIN)
    if access_key in headers.get("authorization", ""):
        return  # the client below
    if "X-Amz-Signature" not in query:
        if bucket.startswith("public-") and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return
        raise Refused("403 Forbidden", "AccessDenied")
    who, _, region, service, _ = query["X-Amz-Credential"][0].rsplit("/", 4)
    if who != access_key:
        raise Refused("403 Forbidden", "InvalidAccessKeyId")
    if query.get("X-Amz-Security-Token", ["session+token="]) != ["session+token="]:
        raise Refused("400 Bad Request", "ExpiredToken")
    if bucket.startswith("far-") and region != "eu-west-1":
        moved = [("x-amz-bucket-region", "eu-west-1")]
        raise Refused("301 Moved Permanently", "PermanentRedirect", moved)
    signed = query["X-Amz-SignedHeaders"][0].split(";")
    if any(name.startswith("x-amz-") and name not in signed for name in headers):
        raise Refused("403 Forbidden", "AccessDenied")
    raw = urlsplit(environ["RAW_URI"])
    kept = [part for part in raw.query.split("&") if not part.startswith("X-Amz-Signature=")]
    scheme = environ["wsgi.url_scheme"]
    request = AWSRequest(
        method=environ["REQUEST_METHOD"],
        url=f"{scheme}://{headers['host']}{raw.path}?{'&'.join(kept)}",
        headers={name: headers[name] for name in signed},
    )
    request.context["timestamp"] = query["X-Amz-Date"][0]
    auth = S3SigV4QueryAuth(Credentials(access_key, secret_key), service, region)
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    if auth.signature(to_sign, request) != query["X-Amz-Signature"][0]:
        raise Refused("403 Forbidden", "SignatureDoesNotMatch")


class Gate:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        path = urlsplit(environ["RAW_URI"]).path
        bucket, _, key = path.lstrip("/").partition("/")
        client = "boto" in environ.get("HTTP_USER_AGENT", "").lower()
        range_ = environ.get("HTTP_RANGE", "-")
        method = environ["REQUEST_METHOD"]
        try:
            check(environ, bucket)
        except Refused as refused:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            log.write(f"{method} {path} {refused.status[:3]} {range_}\n")
            body = f"<Error><Code>{refused.code}</Code><Message>no &amp; no</Message></Error>"
            start_response(refused.status, [("Content-Length", str(len(body))), *refused.headers])
            return [b"" if method == "HEAD" else body.encode()]
        said = []

        def start(status, headers, *rest):
            said.append(status[:3])
            headers = [(NOTED if name.lower() == PLAIN else name, value) for name, value in headers]
            return start_response(status, headers, *rest)

        chunks = self.app(environ, start)
        body = b"".join(chunks)
        if not client:
            log.write(f"{method} {path} {said[0]} {range_}\n")
        if method == "GET" and key.startswith("half-") and key not in broken and not client:
            broken.add(key)
            return self.half(body)
        return [body]

    @staticmethod
    def half(body):
        yield body[: len(body) // 2]
        raise ConnectionAbortedError("half of it is enough")


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def make_environ(self):
        environ = super().make_environ()
        if NOTED in self.headers:
            environ["HTTP_" + PLAIN.upper().replace("-", "_")] = self.headers[NOTED]
        return environ

    def log(self, *_):
        pass


app = Gate(DomainDispatcherApplication(create_backend_app))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key_file)
ports = []
for tls in (None, context):
    server = make_server(
        "127.0.0.1", 0, app, threaded=True, request_handler=Handler, ssl_context=tls
    )
    ports.append(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
client = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{ports[0]}",
    config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
)


def make(bucket):
    client.create_bucket(Bucket=bucket)


def put(bucket, key, content, metadata):
    acl = "public-read" if bucket.startswith("public-") else "private"
    body = base64.b64decode(content)
    client.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata, ACL=acl)


def get(bucket, key):
    answer = client.get_object(Bucket=bucket, Key=key)
    return {
        "content": base64.b64encode(answer["Body"].read()).decode(),
        "metadata": answer["Metadata"],
        "type": answer["ContentType"],
        "etag": answer["ETag"],
    }


def keys(bucket):
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def uploads(bucket):
    return len(client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


for port in ports:
    print(port, flush=True)
for line in sys.stdin:
    action, *arguments = json.loads(line)
    print(json.dumps(globals()[action](*arguments)), flush=True)
